//! The listings of functions of this very program.

use std::hint::black_box;

use sparsemem_disassembly::{Image, ListError, Listing, probe_text};

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn listed_loads_once(from: &u64) -> u64 {
    *from
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn listed_calls(from: &u64) -> u64 {
    listed_loads_once(black_box(from)).wrapping_add(1)
}

fn own() -> Vec<u8> {
    // Called, so that the linker keeps them.
    assert_eq!(listed_calls(black_box(&41)), 42);
    std::fs::read(std::env::current_exe().unwrap()).unwrap()
}

fn listing(symbol: &str) -> Listing {
    probe_text(&own(), symbol).unwrap()
}

#[test]
fn instructions_and_loads_are_counted() {
    let listing = listing("listed_loads_once");
    assert_eq!((listing.loads(), listing.calls()), (1, 0), "{listing}");
    assert_eq!(listing.instructions(), listing.body().len());
    assert!(listing.body().last().unwrap().text.starts_with("ret"), "{listing}");
}

#[test]
fn calls_are_seen() {
    assert_eq!(listing("listed_calls").calls(), 1);
}

#[test]
fn functions_have_their_names() {
    let listing = listing("listed_calls");
    assert_eq!(listing.symbol(), "listed_calls");
    assert!(listing.to_string().contains("call listed_loads_once"), "{listing}");
}

#[test]
fn what_cannot_be_listed_is_named() {
    let missing = probe_text(&own(), "listed_nowhere").unwrap_err();
    assert_eq!(missing, ListError::NoFunction { symbol: "listed_nowhere".to_owned() });
    assert!(missing.to_string().contains("listed_nowhere"));
    assert!(matches!(probe_text(b"no file", "x"), Err(ListError::NotElf { .. })));
    let own = own();
    assert!(Image::parse(&own).unwrap().functions().any(|name| name == "listed_calls"));
}
