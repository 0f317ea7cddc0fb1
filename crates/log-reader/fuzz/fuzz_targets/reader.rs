//! Reads any bytes, and checks what is true of every reading.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/fuzzed/property.rs"]
mod property;

fuzz_target!(|bytes: &[u8]| property::check(bytes));
