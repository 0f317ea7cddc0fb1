//! Scenarios with requests that every operation must refuse.

use alloc::format;
use alloc::string::ToString;

use sparsemem_core::{Pfn, PfnRange};

use super::life::take;
use super::{Memmap, Places, Plug, Step};
use crate::failure::{Place, expect};
use crate::{Failure, Setting, Shape, range};

/// Fails unless a step is refused with an error text that contains `words`, and changes nothing.
pub(super) fn refuses(plug: &mut dyn Plug, watched: &[u64], step: Step, words: &str) -> Result<(), Failure> {
    let before = plug.snapshot(watched);
    let during = |failure: Failure| failure.during(format!("{step:?}"));
    let Err(error) = plug.apply(step) else {
        return Err(during(Failure::new(Place::Model, "answer", "a refusal", "success")));
    };
    let said = error.to_string();
    expect(said.contains(words), Place::Model, "words of the refusal", words, &said).map_err(during)?;
    before.is_still(&plug.snapshot(watched)).map_err(during)
}

/// Every operation on one range.
fn all(frames: PfnRange) -> [Step; 6] {
    [
        Step::AddMemory(frames, Memmap::Ram),
        Step::RemoveMemory(frames, Memmap::Ram),
        Step::Online(frames),
        Step::Offline(frames),
        Step::AddDevice(frames, Memmap::Ram),
        Step::RemoveDevice(frames, Memmap::Ram),
    ]
}

/// Tries ranges that no operation accepts, and ranges that are in the wrong state.
pub(crate) fn refusals(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let shape = setting.facts.shape;
    setting.plug(&mut |plug, places, _| {
        let watched = places.watched();
        for (frames, words) in shapeless(&shape, places) {
            all(frames).into_iter().try_for_each(|step| refuses(plug, &watched, step, words))?;
        }
        absent(plug, &watched, places.ram(2))?;
        present(plug, &watched, places)?;
        device(plug, &watched, &shape, places)
    })
}

/// Ranges that are wrong in every state, with words of their error texts.
fn shapeless(shape: &Shape, places: &Places) -> [(PfnRange, &'static str); 5] {
    let (ram, last) = (places.ram(1), shape.frames());
    let (start, end) = (ram.start().get(), ram.end().get());
    [
        (PfnRange::empty_at(ram.start()), "has no frames"),
        (range(start + 1, end), "does not consist of whole"),
        (range(start, end - 1), "does not consist of whole"),
        (range(last - shape.section_frames(), last + shape.section_frames()), "last possible frame"),
        (range(u64::MAX - (shape.section_frames() - 1), u64::MAX), "does not consist of whole"),
    ]
}

/// Absent sections can neither be removed, nor go online or offline.
fn absent(plug: &mut dyn Plug, watched: &[u64], ram: PfnRange) -> Result<(), Failure> {
    let [_, remove, online, offline, _, remove_device] = all(ram);
    for step in [remove, online, offline, remove_device] {
        refuses(plug, watched, step, "")?;
    }
    Ok(())
}

/// RAM that is present cannot be added. It can be removed only when it is offline, and only as RAM.
fn present(plug: &mut dyn Plug, watched: &[u64], places: &Places) -> Result<(), Failure> {
    let (ram, more, part) = (places.ram(2), places.ram(3), places.ram(1));
    let [add, remove, online, offline, add_device, remove_device] = all(ram);
    take(plug, add)?;
    for step in [add, add_device, remove_device, offline, Step::AddMemory(more, Memmap::Ram)] {
        refuses(plug, watched, step, "")?;
    }
    refuses(plug, watched, Step::Online(more), "")?;
    take(plug, Step::Online(part))?;
    for step in [online, offline, remove, Step::Online(part), Step::RemoveMemory(part, Memmap::Ram)] {
        refuses(plug, watched, step, "")?;
    }
    take(plug, Step::Offline(part))?;
    take(plug, remove)
}

/// A device cannot go online, and can be removed neither in parts nor as RAM.
fn device(plug: &mut dyn Plug, watched: &[u64], shape: &Shape, places: &Places) -> Result<(), Failure> {
    let device = places.ram(2);
    let [_, remove, online, offline, add_device, remove_device] = all(device);
    take(plug, add_device)?;
    for step in [add_device, remove, online, offline] {
        refuses(plug, watched, step, "")?;
    }
    let part = range(device.start().get(), device.end().get() - shape.subsection_frames());
    refuses(plug, watched, Step::RemoveDevice(part, Memmap::Ram), "not the whole of a device")?;
    let shifted = Pfn::new(device.end().get() - shape.subsection_frames());
    let beyond = range(shifted.get(), device.end().get() + shape.subsection_frames());
    refuses(plug, watched, Step::AddDevice(beyond, Memmap::Ram), "")?;
    take(plug, remove_device)
}
