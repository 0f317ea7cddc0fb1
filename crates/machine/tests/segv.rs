//! A pointer into an unmapped part of the window faults for real.

mod common;

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};

use common::{GIB, MIB, at, clear, flush, leaf_block, machine, map, pointer};
use sparsemem_core::LeafSize;

/// Tells a process what to touch.
const WHAT: &str = "SPARSEMEM_MACHINE_TOUCH";
/// The signal of a bad access.
const SIGSEGV: i32 = 11;

/// Runs [`touch`] in a process of its own.
fn process(what: &str) -> ExitStatus {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "touch", "--nocapture"])
        .env(WHAT, what)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap()
}

/// Does nothing unless it is told to by the environment.
#[test]
fn touch() {
    let Ok(what) = std::env::var(WHAT) else { return };
    let mut machine = machine(GIB);
    let block = leaf_block(&mut machine, LeafSize::Size2MiB);
    let place = at(&machine, 2 * MIB);
    let tables = map(&mut machine, place, block.phys(), LeafSize::Size2MiB);
    let offset = match what.as_str() {
        "mapped" => 2 * MIB,
        "never mapped" => 4 * MIB,
        _ => {
            clear(&mut machine, place, LeafSize::Size2MiB);
            flush(&mut machine, 2 * MIB, 2 * MIB);
            2 * MIB
        }
    };
    // SAFETY: not always: two of the three are meant to end this process.
    unsafe { pointer(&machine, offset).write_volatile(1) };
    drop((block, tables));
}

#[test]
fn only_what_is_mapped_can_be_touched() {
    assert!(process("mapped").success());
    assert_eq!(process("never mapped").signal(), Some(SIGSEGV));
    assert_eq!(process("flushed").signal(), Some(SIGSEGV));
}
