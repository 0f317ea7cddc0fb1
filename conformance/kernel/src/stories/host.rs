//! Requests to the host, and its answers: one line each. The README of this kernel describes the protocol.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Arguments;

use sparsemem::{NodeId, PhysAddr, VirtRange};

use super::checks::StoryError;
use crate::event;

/// A DIMM for the host to plug in.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewDimm {
    /// Its name.
    pub(super) id: &'static str,
    /// Its size in bytes.
    pub(super) bytes: u64,
    /// Its node.
    pub(super) node: NodeId,
    /// Its address; `None` for the next free one.
    pub(super) at: Option<PhysAddr>,
}

impl NewDimm {
    /// A DIMM of node 0, at any address.
    pub(super) const fn new(id: &'static str, bytes: u64) -> Self {
        Self { id, bytes, node: NodeId::new(0), at: None }
    }

    /// The same DIMM on a node.
    pub(super) const fn on(self, node: NodeId) -> Self {
        Self { node, ..self }
    }

    /// The same DIMM at an address.
    pub(super) const fn at(self, at: PhysAddr) -> Self {
        Self { at: Some(at), ..self }
    }
}

/// Has the host plug in a DIMM. It is in a slot when this returns.
///
/// # Errors
///
/// QEMU's reason for a refusal.
pub(super) fn plug(new: &NewDimm) -> Result<(), StoryError> {
    let NewDimm { id, bytes, node, at } = new;
    let at = at.map(|at| alloc::format!(r#","at":{}"#, at.get())).unwrap_or_default();
    ask(format_args!(r#""plug","id":"{id}","bytes":{bytes},"node":{node}{at}"#)).map(drop)
}

/// Has the host ask for a DIMM back. The slot reports that when this returns.
///
/// # Errors
///
/// QEMU's reason for a refusal.
pub(super) fn unplug(id: &str) -> Result<(), StoryError> {
    ask(format_args!(r#""unplug","id":"{id}""#)).map(drop)
}

/// True if the host reports that a DIMM is removed.
pub(super) fn knows_gone(id: &str) -> bool {
    ask(format_args!(r#""gone","id":"{id}""#)).is_ok()
}

/// The event and status of a slot that the host received.
///
/// # Errors
///
/// The host's reason for a refusal, or that its answer is not valid.
pub(super) fn heard_of(slot: u32) -> Result<(u32, u32), StoryError> {
    let answer = ask(format_args!(r#""ost","slot":{slot}"#))?;
    let numbers =
        answer.split_once(' ').and_then(|(event, status)| Some((event.parse().ok()?, status.parse().ok()?)));
    numbers.ok_or_else(|| senseless(&answer))
}

/// Has the host request a size of a virtio-mem device. The device announces that when this returns.
///
/// # Errors
///
/// QEMU's reason for a refusal.
pub(super) fn request(id: &str, bytes: u64) -> Result<(), StoryError> {
    ask(format_args!(r#""request","id":"{id}","bytes":{bytes}"#)).map(drop)
}

/// The bytes that a virtio-mem device has plugged, and those that it requests, as QEMU has them.
///
/// # Errors
///
/// The host's reason for a refusal, or that its answer is not valid.
pub(super) fn sizes(id: &str) -> Result<(u64, u64), StoryError> {
    let answer = ask(format_args!(r#""sizes","id":"{id}""#))?;
    let numbers =
        answer.split_once(' ').and_then(|(has, wants)| Some((has.parse().ok()?, wants.parse().ok()?)));
    numbers.ok_or_else(|| senseless(&answer))
}

/// Has the host begin to migrate this virtual machine, so slowly that it never ends.
///
/// # Errors
///
/// QEMU's reason for a refusal.
pub(super) fn migrate() -> Result<(), StoryError> {
    ask(format_args!(r#""migrate""#)).map(drop)
}

/// Has the host give the migration up.
///
/// # Errors
///
/// QEMU's reason for a refusal.
pub(super) fn stay() -> Result<(), StoryError> {
    ask(format_args!(r#""stay""#)).map(drop)
}

/// Has the host reset this virtual machine. Nobody is there to get an answer.
pub(super) fn reset() {
    event::write(format_args!("{{\"event\":\"ask\",\"what\":\"reset\"}}\n"));
}

/// The mappings of a range, as QEMU finds them: virtual address, physical address, and whether it is larger than a
/// base page.
///
/// # Errors
///
/// The host's reason for a refusal, or that its answer is not valid.
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
/// The host's reason for a refusal, or that its answer is not valid.
pub(super) fn mapped(within: VirtRange) -> Result<Vec<(u64, u64)>, StoryError> {
    lines("mem", within, |line| line.split_once(' ').and_then(|(start, end)| Some((hex(start)?, hex(end)?))))
}

/// The physical address that QEMU finds for a virtual one.
///
/// # Errors
///
/// The host's reason for a refusal, or that its answer is not valid.
pub(super) fn translated(at: u64) -> Result<Option<u64>, StoryError> {
    let answer = ask(format_args!(r#""gpa","at":{at}"#))?;
    if answer.is_empty() { Ok(None) } else { hex(&answer).map(Some).ok_or_else(|| senseless(&answer)) }
}

/// Makes a request about a range that is answered in lines, and reads each line.
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
    StoryError::new(format_args!("the host's answer is not valid: {answer}"))
}

/// Sends a request, and waits for the answer.
fn ask(what: Arguments<'_>) -> Result<String, StoryError> {
    event::write(format_args!("{{\"event\":\"ask\",\"what\":{what}}}\n"));
    let answer = line();
    match answer.split_once(' ').unwrap_or((&answer, "")) {
        ("ok", text) => Ok(text.to_string()),
        ("no", why) => Err(StoryError::new(format_args!("the host refuses {what}: {why}"))),
        _ => Err(senseless(&answer)),
    }
}

/// The next line of the host. The wait ends, because a host that has given up ends the emulator.
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
