//! Machines that a model cannot be booted on, as it says itself.
//!
//! # Invariants
//!
//! 1. A model is excused only if it reaches no other memory than that of boot, and only by an error that names the
//!    machine's own frames. An array for which the machine has room is no excuse.

use alloc::string::ToString;

use sparsemem_core::{BootEvent, MemoryRange, PfnRange, SectionLoss};

use crate::{Capabilities, Facts, Failure, Reach, Reason, Setting, Subject, range};

/// The reason, in the model's own words, why it cannot be booted on the machine at all; it was asked to.
///
/// Only models that reach no more than the memory of boot may have one ([`Reach::BootMemory`](crate::Reach)).
///
/// # Errors
///
/// [`Failure`] if the attempt leaves something.
pub fn unsuited(
    subject: &mut dyn Subject,
    can: Capabilities,
    memory: &[MemoryRange],
) -> Result<Option<Reason>, Failure> {
    let facts = Facts::new(subject, can, memory);
    machine(&mut Setting::new(subject, memory, facts))
}

/// The model's own reason why it cannot be booted on the machine, from an attempt to do so.
///
/// # Errors
///
/// [`Failure`] if the attempt leaves something.
pub(crate) fn machine(setting: &mut Setting<'_>) -> Result<Option<Reason>, Failure> {
    if setting.facts.can.reach == Reach::Everywhere {
        return Ok(None);
    }
    let before = setting.world().balance();
    let (memory, mut lost) = (setting.memory, None);
    let booted = setting.subject.boot(memory, &mut |event| {
        if let BootEvent::SectionLost { why: why @ SectionLoss::Array { .. }, .. } = event {
            lost = Some(why);
        }
    });
    let reason = match (booted, lost) {
        (Ok(summary), Some(why @ SectionLoss::Array { frames, .. })) if summary.sections == 0 => {
            (are_of_machine(setting, frames) && is_large(setting, frames)).then(|| why.to_string())
        }
        _ => None,
    };
    setting.tear_down_to(&before)?;
    Ok(reason.map(Reason::new))
}

/// True if frames lie between the machine's lowest section and the highest one that boot or a scenario needs.
fn are_of_machine(setting: &Setting<'_>, frames: PfnRange) -> bool {
    let shape = setting.facts.shape;
    let starts = setting.memory.iter().map(|memory| memory.frames.start().get());
    let ends = setting.memory.iter().map(|memory| memory.frames.end().get());
    let spare = setting.world().spare().map(|spare| spare.range().end().get() >> shape.page_bits);
    let (first, end) = (starts.min().unwrap_or(0), ends.chain(spare).max().unwrap_or(0).min(shape.frames()));
    let sections = shape.section_of(first)..=shape.section_of(end.saturating_sub(1));
    let machine = range(shape.first_frame(*sections.start()), shape.first_frame(sections.end() + 1));
    frames.intersection(machine) == frames
}

/// True if the descriptors of frames are more than half of the largest piece of the machine's memory.
fn is_large(setting: &Setting<'_>, frames: PfnRange) -> bool {
    let largest = setting.memory.iter().map(|memory| memory.frames.count().get()).max().unwrap_or(0);
    let bytes = frames.count().get().saturating_mul(setting.facts.descriptor_bytes);
    bytes >= largest.saturating_mul(setting.facts.shape.page_bytes()) / 2
}
