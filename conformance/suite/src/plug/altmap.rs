//! Scenarios with memory that holds its own memmap.

use alloc::vec::Vec;

use sparsemem_core::{LeafSize, PageCount, PfnRange};

use super::descriptors::lead_to_frames;
use super::life::{mappings_agree, take};
use super::refusals::refuses;
use super::{Memmap, Places, Plug, Step};
use crate::failure::{Place, expect, expect_eq};
use crate::setting::Notes;
use crate::{Failure, Setting, Shape, range};

/// The first section of the device. If there is no device, notes that the scenario does not suit.
fn section(shape: &Shape, places: &Places, notes: &mut Notes) -> Option<PfnRange> {
    let Some(device) = places.device() else {
        notes.is_skipped("the world has no device to plug");
        return None;
    };
    let first = device.start().get();
    Some(range(first, first + shape.section_frames()))
}

/// Adds a device, and RAM, with and without the altmap, and compares the RAM that each takes.
pub(crate) fn takes_no_ram(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let (shape, memmap) = (setting.facts.shape, setting.facts.section_memmap_bytes());
    // With an altmap, the memmap is mapped with base pages, which need tables that larger leaves do not need.
    let tables = LeafSize::Size4KiB.bytes() * (2 + memmap / LeafSize::Size2MiB.bytes());
    setting.plug(&mut |plug, places, notes| {
        let Some(section) = section(&shape, places, notes) else { return Ok(()) };
        let watched = places.watched();
        let before = plug.snapshot(&watched).timeless();
        for add in [Step::AddDevice, Step::AddMemory] {
            let from_ram = cost(plug, add(section, Memmap::Ram))?;
            let from_device = cost(plug, add(section, Memmap::Altmap))?;
            let spared = from_ram.saturating_sub(from_device);
            let found = (from_ram, from_device);
            expect(spared + tables >= memmap, Place::Model, "RAM spared", "that of the memmap", found)?;
            before.is_still(&plug.snapshot(&watched).timeless())?;
        }
        mappings_agree(plug)
    })
}

/// Bytes of RAM that are outstanding while the memory of a step is present; removes the memory again.
fn cost(plug: &mut dyn Plug, step: Step) -> Result<u64, Failure> {
    let ram = |plug: &dyn Plug| plug.view().world().balance().runtime.bytes;
    let before = ram(plug);
    take(plug, step)?;
    let cost = ram(plug).saturating_sub(before);
    take(plug, step.back())?;
    expect_eq(Place::Model, "altmap in use after removal", &PageCount::new(0), &plug.altmap_in_use())?;
    Ok(cost)
}

/// Adds RAM that hosts its own memmap, brings it online without the memmap's frames, and removes it.
pub(crate) fn hosts_itself(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let shape = setting.facts.shape;
    setting.plug(&mut |plug, places, notes| {
        let Some(section) = section(&shape, places, notes) else { return Ok(()) };
        let watched = places.watched();
        let before = plug.snapshot(&watched).timeless();
        let add = Step::AddMemory(section, Memmap::Altmap);
        take(plug, add)?;
        take(plug, Step::Online(section))?;
        lead_to_frames(plug, section)?;
        let in_use = plug.altmap_in_use();
        expect(in_use.get() > 0, Place::Model, "altmap in use", "the memmap", in_use)?;
        let memmap_end = section.start().get() + in_use.get();
        let given: Vec<_> =
            plug.snapshot(&watched).frames.iter().map(|(start, end, _)| (*start, *end)).collect();
        let apart = matches!(given[..], [(start, end)] if start >= memmap_end && end == section.end().get());
        expect(apart, Place::Model, "frames that the allocator got", "those past the memmap", &given)?;
        refuses(plug, &watched, add.back(), "is online")?;
        take(plug, Step::Offline(section))?;
        take(plug, add.back())?;
        mappings_agree(plug)?;
        before.is_still(&plug.snapshot(&watched).timeless())
    })
}

/// Removes memory without the altmap that has its descriptors: refused, and nothing changes.
pub(crate) fn stays_without_altmap(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let shape = setting.facts.shape;
    setting.plug(&mut |plug, places, notes| {
        let Some(section) = section(&shape, places, notes) else { return Ok(()) };
        let watched = places.watched();
        for (add, wrong) in [
            (Step::AddDevice(section, Memmap::Altmap), Step::RemoveDevice(section, Memmap::Ram)),
            (Step::AddMemory(section, Memmap::Altmap), Step::RemoveMemory(section, Memmap::Ram)),
        ] {
            take(plug, add)?;
            refuses(plug, &watched, wrong, "lie in the altmap memory")?;
            take(plug, add.back())?;
        }
        mappings_agree(plug)
    })
}

/// Requests that do not fit the altmap: it belongs to other frames, is too small, or is in use.
pub(crate) fn refusals(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let shape = setting.facts.shape;
    setting.plug(&mut |plug, places, notes| {
        let Some(section) = section(&shape, places, notes) else { return Ok(()) };
        let watched = places.watched();
        let device = places.device().unwrap_or_default();
        let elsewhere = Step::AddDevice(places.subsections(0, 1), Memmap::Altmap);
        refuses(plug, &watched, elsewhere, "the altmap begins at frame")?;
        refuses(plug, &watched, Step::AddDevice(device, Memmap::Altmap), "needs")?;
        refuses(plug, &watched, Step::RemoveDevice(section, Memmap::Altmap), "")?;
        take(plug, Step::AddDevice(section, Memmap::Altmap))?;
        refuses(plug, &watched, Step::AddDevice(section, Memmap::Altmap), "in use already")?;
        take(plug, Step::RemoveDevice(section, Memmap::Altmap))
    })
}
