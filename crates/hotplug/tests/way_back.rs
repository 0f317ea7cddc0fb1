//! From a descriptor back to its frame, as soon as memory is online or a device's: nobody but hotplug initialises here.

mod common;

use std::any::Any;

use common::{Bench, Model, Op, Scenario, Start, on_every_model, sections, subsections};
use sparsemem_core::presets::Tiny;
use sparsemem_core::{MemoryModel, Page, Pfn, PfnRange, SectionNr, SectionShape, SectionStamp};
use sparsemem_hotplug::{BlockSize, Limits};

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

struct WayBack;

impl Scenario for WayBack {
    fn run<M: Model>(&self, start: Start<M>) {
        let subs = u64::from(M::Geometry::SUBSECTIONS_PER_SECTION);
        let early = subsections::<M::Geometry>(0, 0, subs / 2);
        let mut bench = Bench::boot(start, Limits::new(BlockSize::SECTION), &[early]);
        let ram = sections::<M::Geometry>(3, 2);
        bench.apply(Op::AddMemory(ram)).unwrap();
        let blank = each(ram).all(|pfn| stamp(bench.model, pfn) == SectionNr::new(0));
        assert!(blank, "what is offline waits: then there is something to see below");
        bench.apply(Op::Online(ram)).unwrap();
        lead_back(bench.model, ram);
        // From the middle of a section into the next, and the rest of that one.
        let device = subsections::<M::Geometry>(5, 1, subs);
        let neighbour = subsections::<M::Geometry>(6, 1, subs - 1);
        for device in [device, neighbour] {
            bench.apply(Op::AddDevice(device)).unwrap();
            lead_back(bench.model, device);
        }
        lead_back(bench.model, device);
    }
}

#[test]
fn from_descriptors_that_nobody_else_initialised() {
    on_every_model::<Tiny, { Tiny::NR_SECTIONS_LEN }, { Tiny::NR_ROOTS_LEN }>(&WayBack);
}
