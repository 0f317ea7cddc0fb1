//! Memory that holds its own memmap.

use alloc::vec::Vec;

use sparsemem_core::{LeafSize, PageCount, PfnRange};

use super::life::{mappings_agree, take};
use super::refusals::refuses;
use super::way_back::leads_back;
use super::{Memmap, Plug, Site, Step};
use crate::failure::{Place, expect, expect_eq};
use crate::stage::Notes;
use crate::{Failure, Shape, Stage, range};

/// The first section of the device; notes that there is none.
fn section(shape: &Shape, site: &Site, notes: &mut Notes) -> Option<PfnRange> {
    let Some(device) = site.device() else {
        notes.does_not_suit("the world has no device to plug");
        return None;
    };
    let first = device.start().get();
    Some(range(first, first + shape.section_frames()))
}

/// A device, and RAM, with and without the altmap.
pub(crate) fn takes_no_ram(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let (shape, memmap) = (stage.facts.shape, stage.facts.section_memmap_bytes());
    // Base pages, which always fit, take tables that large leaves do without.
    let tables = LeafSize::Size4KiB.bytes() * (2 + memmap / LeafSize::Size2MiB.bytes());
    stage.plug(&mut |plug, site, notes| {
        let Some(section) = section(&shape, site, notes) else { return Ok(()) };
        let watched = site.watched();
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

/// Bytes of RAM that are outstanding while something is there; it goes again.
fn cost(plug: &mut dyn Plug, step: Step) -> Result<u64, Failure> {
    let ram = |plug: &dyn Plug| plug.view().world().balance().runtime.bytes;
    let before = ram(plug);
    take(plug, step)?;
    let cost = ram(plug).saturating_sub(before);
    take(plug, step.back())?;
    expect_eq(Place::Model, "altmap in use after removal", &PageCount::new(0), &plug.altmap_in_use())?;
    Ok(cost)
}

/// RAM that hosts its own memmap goes online without it, and away again.
pub(crate) fn hosts_itself(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let shape = stage.facts.shape;
    stage.plug(&mut |plug, site, notes| {
        let Some(section) = section(&shape, site, notes) else { return Ok(()) };
        let watched = site.watched();
        let before = plug.snapshot(&watched).timeless();
        let add = Step::AddMemory(section, Memmap::Altmap);
        take(plug, add)?;
        take(plug, Step::Online(section))?;
        leads_back(plug, section)?;
        let in_use = plug.altmap_in_use();
        expect(in_use.get() > 0, Place::Model, "altmap in use", "the memmap", in_use)?;
        let memmap_end = section.start().get() + in_use.get();
        let given: Vec<_> =
            plug.snapshot(&watched).frames.iter().map(|(start, end, _)| (*start, *end)).collect();
        let apart = matches!(given[..], [(start, end)] if start >= memmap_end && end == section.end().get());
        expect(apart, Place::Model, "frames that the allocator got", "those behind the memmap", &given)?;
        refuses(plug, &watched, add.back(), "is online")?;
        take(plug, Step::Offline(section))?;
        take(plug, add.back())?;
        mappings_agree(plug)?;
        before.is_still(&plug.snapshot(&watched).timeless())
    })
}

/// Requests that the altmap does not belong to, is too small for, or is in use for.
pub(crate) fn refusals(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let shape = stage.facts.shape;
    stage.plug(&mut |plug, site, notes| {
        let Some(section) = section(&shape, site, notes) else { return Ok(()) };
        let watched = site.watched();
        let device = site.device().unwrap_or_default();
        let elsewhere = Step::AddDevice(site.subsections(0, 1), Memmap::Altmap);
        refuses(plug, &watched, elsewhere, "the altmap begins at frame")?;
        refuses(plug, &watched, Step::AddDevice(device, Memmap::Altmap), "needs")?;
        refuses(plug, &watched, Step::RemoveDevice(section, Memmap::Altmap), "")?;
        take(plug, Step::AddDevice(section, Memmap::Altmap))?;
        refuses(plug, &watched, Step::AddDevice(section, Memmap::Altmap), "in use already")?;
        take(plug, Step::RemoveDevice(section, Memmap::Altmap))
    })
}
