//! What the kernel asks the host for, and its answers: one line each. The README of this kernel has the protocol.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Arguments;

use sparsemem::{NodeId, PhysAddr, VirtRange};

use super::checks::StoryError;
use crate::event;

/// A DIMM that the host is to plug in.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewDimm {
    /// Its name.
    pub(super) id: &'static str,
    /// Units: bytes. Its size.
    pub(super) bytes: u64,
    /// Its node.
    pub(super) node: NodeId,
    /// Where it has to be; the next free place if that does not matter.
    pub(super) at: Option<PhysAddr>,
}

impl NewDimm {
    /// A DIMM of node 0, anywhere.
    pub(super) const fn new(id: &'static str, bytes: u64) -> Self {
        Self { id, bytes, node: NodeId::new(0), at: None }
    }

    /// The same on a node.
    pub(super) const fn on(self, node: NodeId) -> Self {
        Self { node, ..self }
    }

    /// The same at an address.
    pub(super) const fn at(self, at: PhysAddr) -> Self {
        Self { at: Some(at), ..self }
    }
}

/// Asks for a DIMM; it is in a slot when this returns.
///
/// # Errors
///
/// QEMU's reason not to.
pub(super) fn plug(new: &NewDimm) -> Result<(), StoryError> {
    let NewDimm { id, bytes, node, at } = new;
    let at = at.map(|at| alloc::format!(r#","at":{}"#, at.get())).unwrap_or_default();
    ask(format_args!(r#""plug","id":"{id}","bytes":{bytes},"node":{node}{at}"#)).map(drop)
}

/// Asks to be asked for a DIMM; the slot says so when this returns.
///
/// # Errors
///
/// QEMU's reason not to.
pub(super) fn unplug(id: &str) -> Result<(), StoryError> {
    ask(format_args!(r#""unplug","id":"{id}""#)).map(drop)
}

/// Whether the host has heard that a DIMM is gone.
pub(super) fn knows_gone(id: &str) -> bool {
    ask(format_args!(r#""gone","id":"{id}""#)).is_ok()
}

/// What the host has heard of a slot: event and status.
///
/// # Errors
///
/// The host's reason, or that its answer makes no sense.
pub(super) fn heard_of(slot: u32) -> Result<(u32, u32), StoryError> {
    let answer = ask(format_args!(r#""ost","slot":{slot}"#))?;
    let numbers =
        answer.split_once(' ').and_then(|(event, status)| Some((event.parse().ok()?, status.parse().ok()?)));
    numbers.ok_or_else(|| senseless(&answer))
}

/// The mappings of a range, as QEMU finds them: where, to what, and whether it is more than a base page.
///
/// # Errors
///
/// The host's reason, or that its answer makes no sense.
pub(super) fn mappings(within: VirtRange) -> Result<Vec<(u64, u64, bool)>, StoryError> {
    lines("tlb", within, |line| {
        let mut words = line.split(' ');
        Some((hex(words.next()?)?, hex(words.next()?)?, words.next()? == "large"))
    })
}

/// The mapped parts of a range, as QEMU finds them.
///
/// # Errors
///
/// The host's reason, or that its answer makes no sense.
pub(super) fn mapped(within: VirtRange) -> Result<Vec<(u64, u64)>, StoryError> {
    lines("mem", within, |line| line.split_once(' ').and_then(|(start, end)| Some((hex(start)?, hex(end)?))))
}

/// Asks for something about a range that is answered in lines, and reads each of them.
fn lines<T>(what: &str, within: VirtRange, read: fn(&str) -> Option<T>) -> Result<Vec<T>, StoryError> {
    let (from, to) = (within.start().get(), within.end().get());
    let count = ask(format_args!(r#""{what}","from":{from},"to":{to}"#))?;
    let count: usize = count.parse().map_err(|_| senseless(&count))?;
    let lines: Vec<String> = (0..count).map(|_| line()).collect();
    lines.iter().map(|line| read(line).ok_or_else(|| senseless(line))).collect()
}

fn hex(digits: &str) -> Option<u64> {
    u64::from_str_radix(digits, 16).ok()
}

fn senseless(answer: &str) -> StoryError {
    StoryError::new(format_args!("the host's answer makes no sense: {answer}"))
}

/// Asks, and waits for the answer.
fn ask(what: Arguments<'_>) -> Result<String, StoryError> {
    event::write(format_args!("{{\"event\":\"ask\",\"what\":{what}}}\n"));
    let answer = line();
    match answer.split_once(' ').unwrap_or((&answer, "")) {
        ("ok", text) => Ok(text.to_string()),
        ("no", why) => Err(StoryError::new(format_args!("the host refuses {what}: {why}"))),
        _ => Err(senseless(&answer)),
    }
}

/// The next line of the host. It always comes: a host that has given up ends the emulator.
fn line() -> String {
    let mut line = Vec::new();
    loop {
        match event::read_byte() {
            Some(b'\n') => return String::from_utf8_lossy(&line).into_owned(),
            Some(byte) => line.push(byte),
            None => core::hint::spin_loop(),
        }
    }
}
