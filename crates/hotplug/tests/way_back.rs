//! From a descriptor back to its frame, as soon as memory is online or a device's: nobody but hotplug initialises here.

mod common;

use std::any::Any;

use common::{Model, Op, System};
use sparsemem_core::presets::Tiny;
use sparsemem_core::{MemoryModel, Page, Pfn, PfnRange, SectionNr, SectionShape, SectionStamp};
use sparsemem_fixture::{Fixture, on_every_backend, sections, subsections};
use sparsemem_hotplug::{BlockSize, Limits};

on_every_backend!([Tiny] from_descriptors_that_nobody_else_initialised);

fn each(frames: PfnRange) -> impl Iterator<Item = Pfn> {
    (frames.start().get()..frames.end().get()).map(Pfn::new)
}

/// The section that a descriptor was initialised with; zero if it was not.
fn stamp<M: MemoryModel>(model: &M, pfn: Pfn) -> SectionNr {
    let reader = model.read();
    let page: &dyn Any = reader.page(pfn).unwrap();
    page.downcast_ref::<Page>().unwrap().section()
}

/// All descriptors lead back.
fn lead_back<M: MemoryModel>(model: &M, frames: PfnRange) {
    for pfn in each(frames) {
        assert_eq!(stamp(model, pfn), pfn.section::<M::Geometry>(), "descriptor of frame {pfn}");
        let page = model.lookup(pfn).unwrap();
        // SAFETY: the frame is valid and nobody removes it; the line before last says that it is initialised.
        assert_eq!(unsafe { model.pfn_of(page) }, pfn);
    }
}

fn from_descriptors_that_nobody_else_initialised<M: Model>(fixture: Fixture<M>) {
    let subs = u64::from(M::Geometry::SUBSECTIONS_PER_SECTION);
    let early = subsections::<M::Geometry>(0, 0, subs / 2);
    let mut system = System::boot(fixture, Limits::new(BlockSize::SECTION), &[early]);
    let ram = sections::<M::Geometry>(3, 2);
    system.apply(Op::AddMemory(ram)).unwrap();
    let blank = each(ram).all(|pfn| stamp(system.model, pfn) == SectionNr::new(0));
    assert!(blank, "what is offline waits: then there is something to see below");
    system.apply(Op::Online(ram)).unwrap();
    lead_back(system.model, ram);
    // From the middle of a section into the next, and the rest of that one.
    let device = subsections::<M::Geometry>(5, 1, subs);
    let neighbour = subsections::<M::Geometry>(6, 1, subs - 1);
    for device in [device, neighbour] {
        system.apply(Op::AddDevice(device)).unwrap();
        lead_back(system.model, device);
    }
    lead_back(system.model, device);
}
