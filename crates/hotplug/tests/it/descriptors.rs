//! Descriptors forget what earlier users of frames wrote to them when the frames get another user, and only then. From
//! then on a descriptor leads to its frame: nobody but hotplug initialises here.

use std::any::Any;
use std::sync::atomic::Ordering;

use crate::common::{Model, Op, System};
use sparsemem_core::presets::{Tiny, X86_64};
use sparsemem_core::{MemoryModel, Page, PageCount, Pfn, PfnRange, SectionNr, SectionShape, SectionStamp};
use sparsemem_fixture::{
    Call, Fixture, TestAllocator, Watched, When, on_every_backend, sections, subsections,
};
use sparsemem_hotplug::{BlockSize, Limits, Reserved, WithReserved};

on_every_backend!(
    [Tiny, X86_64]
    frames_that_come_again_are_new,
    an_allocator_gets_new_frames_and_memmaps_keep_what_they_hold,
    tags_of_metadata_stay,
    descriptors_of_new_memory_lead_to_their_frames,
);

/// Visits the descriptors of the first and the last frame.
fn each_border(model: &impl MemoryModel, frames: PfnRange, visit: impl Fn(Pfn, &Page)) {
    let reader = model.read();
    for frame in [frames.start().get(), frames.end().get() - 1].map(Pfn::new) {
        let page: &dyn Any = reader.page(frame).unwrap();
        visit(frame, page.downcast_ref().unwrap());
    }
}

/// Writes what a user of the frames might.
fn use_frames(model: &impl MemoryModel, frames: PfnRange) {
    each_border(model, frames, |pfn, page| {
        page.flags.store(1 << 7, Ordering::Relaxed);
        page.references.store(7, Ordering::Relaxed);
        page.private.store(!pfn.get(), Ordering::Relaxed);
        page.links.iter().for_each(|link| link.store(pfn.get() + 1, Ordering::Relaxed));
    });
}

/// Flags, references, the owner's word and the links.
fn words(page: &Page) -> [u64; 5] {
    let [next, previous] = page.links.each_ref().map(|link| link.load(Ordering::Relaxed));
    let flags = page.flags.load(Ordering::Relaxed);
    let references = u64::from(page.references.load(Ordering::Relaxed));
    [flags, references, page.private.load(Ordering::Relaxed), next, previous]
}

fn are_used<M: MemoryModel>(model: &M, frames: PfnRange) {
    each_border(model, frames, |pfn, page| {
        assert_eq!(words(page), [1 << 7, 7, !pfn.get(), pfn.get() + 1, pfn.get() + 1], "{pfn}");
    });
}

fn are_new<M: MemoryModel>(model: &M, frames: PfnRange) {
    each_border(model, frames, |pfn, page| {
        assert_eq!(words(page), [0; 5], "{pfn}");
        assert_eq!(page.section(), pfn.section::<M::Geometry>());
    });
}

fn frames_that_come_again_are_new<M: Model>(fixture: Fixture<M>) {
    let subs = u64::from(M::Geometry::SUBSECTIONS_PER_SECTION);
    let early = [sections::<M::Geometry>(0, 2), subsections::<M::Geometry>(2, 0, subs / 2)];
    let mut system = System::boot(fixture, Limits::new(BlockSize::SECTION), &early);
    system.apply(Op::AddMemory(sections::<M::Geometry>(4, 1))).unwrap();
    system.apply(Op::Online(sections::<M::Geometry>(4, 1))).unwrap();
    for block in [1, 4] {
        goes_and_comes(&mut system, sections::<M::Geometry>(block, 1));
    }
    hole(&mut system, subsections::<M::Geometry>(2, subs / 2, subs - subs / 2));
}

/// RAM goes offline and comes back; its neighbour stays as it is.
fn goes_and_comes<M: Model>(system: &mut System<M>, ram: PfnRange) {
    let other = sections::<M::Geometry>(0, 1);
    use_frames(system.model, ram);
    use_frames(system.model, other);
    system.apply(Op::Offline(ram)).unwrap();
    are_used(system.model, ram);
    system.notifiers[2].refuse(true);
    system.refuses(Op::Online(ram), "not now");
    system.notifiers[2].refuse(false);
    are_used(system.model, ram);
    system.apply(Op::Online(ram)).unwrap();
    are_new(system.model, ram);
    are_used(system.model, other);
}

/// Devices come into a hole of boot, one after the other; one that does not come leaves it as it is.
fn hole<M: Model>(system: &mut System<M>, hole: PfnRange) {
    for _ in 0..2 {
        use_frames(system.model, hole);
        // It is installed, and cannot be marked.
        system.model.difference.refuse_mark_after(0);
        system.refuses(Op::AddDevice(hole), "a section that it shares cannot be marked");
        assert!(system.model.difference.heal());
        are_used(system.model, hole);
        system.apply(Op::AddDevice(hole)).unwrap();
        are_new(system.model, hole);
        use_frames(system.model, hole);
        system.apply(Op::RemoveDevice(hole)).unwrap();
    }
}

/// Blocks that host their memmaps and one that does not come, go and come again: what the memmap's frames hold stays. The
/// allocator writes to the descriptors of the frames that it is given, as those with lists in them do.
fn an_allocator_gets_new_frames_and_memmaps_keep_what_they_hold<M: Model>(fixture: Fixture<M>) {
    let mut system = System::boot(fixture, Limits::new(BlockSize::SECTION), &[]);
    let memmap = PageCount::new(M::Geometry::PAGES_PER_SUBSECTION);
    for (block, memmap) in [(4, memmap), (5, memmap), (6, PageCount::new(0))] {
        system.add_host(block, memmap);
    }
    let all = sections::<M::Geometry>(4, 3);
    let heads = [4, 5].map(|block| subsections::<M::Geometry>(block, 0, 1));
    heads.iter().for_each(|head| use_frames(system.model, *head));
    let inner = TestAllocator::new(M::Geometry::PAGES_PER_SUBSECTION);
    let model = system.model;
    let mut allocator = Watched(inner, |call, when, frames| {
        if (call, when) == (Call::Give, When::Before) {
            are_new(model, frames);
            use_frames(model, frames);
        }
    });
    for _ in 0..2 {
        system.hotplug.online(&mut allocator, all).unwrap();
        heads.iter().for_each(|head| are_used(system.model, *head));
        system.hotplug.offline(&mut allocator, all).unwrap();
    }
}

/// Two runs of metadata of boot that leaves with its block.
struct Metadata([PfnRange; 2]);

impl Reserved for Metadata {
    fn pinned(&self, _frames: PfnRange) -> Option<PfnRange> {
        None
    }

    fn next_reserved(&self, frames: PfnRange) -> Option<PfnRange> {
        self.0.into_iter().find(|run| run.overlaps(frames))
    }
}

/// Tags of metadata that no allocator gets outlive that their block goes offline and comes back.
fn tags_of_metadata_stay<M: Model>(fixture: Fixture<M>) {
    let ram = sections::<M::Geometry>(1, 2);
    let mut system = System::boot(fixture, Limits::new(BlockSize::SECTION), &[ram]);
    let last = u64::from(M::Geometry::SUBSECTIONS_PER_SECTION) - 1;
    let metadata = Metadata([subsections::<M::Geometry>(1, 1, 1), subsections::<M::Geometry>(2, last, 1)]);
    use_frames(system.model, ram);
    metadata.0.iter().for_each(|run| use_frames(system.model, *run));
    system.hotplug.offline(&mut WithReserved::new(&mut system.allocator, &metadata), ram).unwrap();
    system.hotplug.online(&mut WithReserved::new(&mut system.allocator, &metadata), ram).unwrap();
    metadata.0.iter().for_each(|run| are_used(system.model, *run));
    are_new(system.model, subsections::<M::Geometry>(1, 0, 1));
    are_new(system.model, subsections::<M::Geometry>(2, 0, last));
}

fn each(frames: PfnRange) -> impl Iterator<Item = Pfn> {
    (frames.start().get()..frames.end().get()).map(Pfn::new)
}

/// The section that a descriptor was initialised with; zero if it was not.
fn stamp<M: MemoryModel>(model: &M, pfn: Pfn) -> SectionNr {
    let reader = model.read();
    let page: &dyn Any = reader.page(pfn).unwrap();
    page.downcast_ref::<Page>().unwrap().section()
}

fn lead_to_their_frames<M: MemoryModel>(model: &M, frames: PfnRange) {
    for pfn in each(frames) {
        assert_eq!(stamp(model, pfn), pfn.section::<M::Geometry>(), "descriptor of frame {pfn}");
        let page = model.lookup(pfn).unwrap();
        // SAFETY: the frame is valid and nobody removes it; the line before last says that it is initialised.
        assert_eq!(unsafe { model.pfn_of(page) }, pfn);
    }
}

/// As soon as memory is online or a device's.
fn descriptors_of_new_memory_lead_to_their_frames<M: Model>(fixture: Fixture<M>) {
    let subs = u64::from(M::Geometry::SUBSECTIONS_PER_SECTION);
    let early = subsections::<M::Geometry>(0, 0, subs / 2);
    let mut system = System::boot(fixture, Limits::new(BlockSize::SECTION), &[early]);
    let ram = sections::<M::Geometry>(3, 2);
    system.apply(Op::AddMemory(ram)).unwrap();
    let blank = each(ram).all(|pfn| stamp(system.model, pfn) == SectionNr::new(0));
    assert!(blank, "what is offline waits: then there is something to see below");
    system.apply(Op::Online(ram)).unwrap();
    lead_to_their_frames(system.model, ram);
    // From the middle of a section into the next, and the rest of that one.
    let device = subsections::<M::Geometry>(5, 1, subs);
    let neighbour = subsections::<M::Geometry>(6, 1, subs - 1);
    for device in [device, neighbour] {
        system.apply(Op::AddDevice(device)).unwrap();
        lead_to_their_frames(system.model, device);
    }
    lead_to_their_frames(system.model, device);
}
