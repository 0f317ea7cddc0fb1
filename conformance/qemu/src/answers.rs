//! What the host does when the kernel asks.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::monitor::{Monitor, MonitorError};
use super::protocol::{Answer, Ask, Span};
use super::view;

/// How long a DIMM may take to go after the kernel ejected it: QEMU tells at once.
const GONE_LIMIT: Duration = Duration::from_secs(1);

/// Does what the kernel asks for.
///
/// # Errors
///
/// [`MonitorError`] if QEMU cannot be asked. What it refuses is an answer.
pub(super) fn answer(monitor: &mut Monitor, ask: &Ask) -> Result<Answer, MonitorError> {
    let done = match ask {
        Ask::Plug { id, bytes, node, at } => plug(monitor, id, *bytes, *node, *at),
        Ask::Unplug { id } => nothing(monitor.execute("device_del", &json!({ "id": id }))),
        Ask::Gone { id } => return gone(monitor, id),
        Ask::Ost { slot } => return ost(monitor, *slot),
        Ask::Tlb(Span { from, to }) => {
            monitor.human("info tlb").map(|text| view::leaves(&text, &(*from..*to)))
        }
        Ask::Mem(Span { from, to }) => {
            monitor.human("info mem").map(|text| view::ranges(&text, &(*from..*to)))
        }
    };
    match done {
        Ok(text) => Ok(Answer::Done(text)),
        Err(MonitorError::Refused { why, .. }) => Ok(Answer::Refused(why)),
        Err(error) => Err(error),
    }
}

/// Plugs a DIMM in. Its memory takes nothing of the host's until the kernel writes to it.
fn plug(
    monitor: &mut Monitor,
    id: &str,
    bytes: u64,
    node: u32,
    at: Option<u64>,
) -> Result<String, MonitorError> {
    let memory = memory_of(id);
    let backend = json!({ "qom-type": "memory-backend-ram", "id": memory, "size": bytes, "reserve": false });
    monitor.execute("object-add", &backend)?;
    let mut device = json!({ "driver": "pc-dimm", "id": id, "memdev": memory, "node": node });
    if let Some(at) = at {
        device["addr"] = at.into();
    }
    let plugged = nothing(monitor.execute("device_add", &device));
    if plugged.is_err() {
        nothing(monitor.execute("object-del", &json!({ "id": memory })))?;
    }
    plugged
}

/// Waits until a DIMM is gone, and takes its memory away too.
fn gone(monitor: &mut Monitor, id: &str) -> Result<Answer, MonitorError> {
    let is_it = |event: &Value| event["event"] == "DEVICE_DELETED" && event["data"]["device"] == id;
    if !monitor.wait_for(is_it, Instant::now() + GONE_LIMIT)? {
        return Ok(Answer::Refused(format!("`{id}` is still there")));
    }
    nothing(monitor.execute("object-del", &json!({ "id": memory_of(id) }))).map(Answer::Done)
}

/// What the kernel told of a slot.
fn ost(monitor: &mut Monitor, slot: u64) -> Result<Answer, MonitorError> {
    let slots = monitor.execute("query-acpi-ospm-status", &json!({}))?;
    let slots = slots.as_array().map(Vec::as_slice).unwrap_or_default();
    let number = |it: &Value| it["slot"].as_str().and_then(|text| text.parse::<u64>().ok());
    let found = slots.iter().find(|it| it["slot-type"] == "DIMM" && number(it) == Some(slot));
    Ok(match found {
        Some(it) => Answer::Done(format!("{} {}", it["source"], it["status"])),
        None => Answer::Refused(format!("there is no slot {slot}")),
    })
}

/// The name of the memory behind a DIMM.
fn memory_of(id: &str) -> String {
    format!("memory-of-{id}")
}

/// A result whose value says nothing.
fn nothing(result: Result<Value, MonitorError>) -> Result<String, MonitorError> {
    result.map(|_| String::new())
}
