//! Descriptors that are initialised as a whole are those that are initialised one by one, on every model.

use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    BootModel, MemoryModel, MemoryRange, NeverReclaim, Page, PageCount, Pfn, PfnRange, SectionShape,
    initialise, initialise_fresh, initialise_fresh_together,
};
use sparsemem_fixture::{Backend, Difference, Differing, Fixture, NODE, Pc, on_every_backend};

on_every_backend!(fresh_descriptors_are_as_if_initialised_one_by_one);

/// Bytes of the memory that the models boot with: two sections and a part.
const BYTES: u64 = 300 << 20;

/// Every byte of a descriptor, and the frame that leads back to.
fn seen<M: MemoryModel<Page = Page>>(model: &M, pfn: Pfn) -> ([u8; 64], Pfn) {
    let page = model.lookup(pfn).unwrap();
    // SAFETY: the descriptor is mapped, and nobody writes now.
    let bytes = unsafe { page.cast::<[u8; 64]>().read() };
    // SAFETY: the frame is valid and initialised.
    (bytes, unsafe { model.pfn_of(page) })
}

fn fresh_descriptors_are_as_if_initialised_one_by_one(backend: Backend) {
    let Fixture { mut model, mut machine } = Pc::<NeverReclaim>::usual(backend);
    let model = &mut model;
    let frames = PfnRange::from_start_count(Pfn::new(0), PageCount::new(BYTES / X86_64::PAGE_SIZE)).unwrap();
    let memory = core::iter::once(MemoryRange { frames, node: NODE });
    assert_eq!(model.write().unwrap().boot(&mut machine, memory, &mut |_| {}).unwrap().sections, 3);
    // The whole of the last section is valid: it is early.
    let all = PfnRange::new(Pfn::new(0), Pfn::new(4 * X86_64::PAGES_PER_SECTION)).unwrap();
    let valid = PageCount::new(3 * X86_64::PAGES_PER_SECTION);
    // SAFETY: nobody uses the descriptors yet.
    assert_eq!(unsafe { initialise_fresh(model, all) }, valid);
    let samples = [0, 1, 0x7fff, 0x8000, 0x1_7fff].map(Pfn::new);
    let fresh = samples.map(|pfn| seen(model, pfn));
    assert_eq!(fresh.map(|(_, pfn)| pfn), samples, "the way back works");
    assert_eq!(initialise(model, all), valid);
    assert_eq!(samples.map(|pfn| seen(model, pfn)), fresh, "both make the same");
    together(model, all, valid);
    within_bounds(model, PfnRange::new(Pfn::new(0), Pfn::new(valid.get())).unwrap());
    // Nothing of a range without memory.
    // SAFETY: as above.
    assert_eq!(unsafe { initialise_fresh(model, PfnRange::default()) }, PageCount::new(0));
    model.tear_down(&mut machine).unwrap();
}

/// Fills every descriptor with bytes that are not an initialised one's, so that those that are left out show.
fn spoil<M: MemoryModel<Page = Page>>(model: &M, frames: PfnRange) {
    for pfn in model.valid_ranges(frames).frames() {
        let page = model.lookup(pfn).unwrap();
        // SAFETY: the descriptor is mapped, its fields take any bytes, and nobody else uses it now.
        unsafe { page.cast::<[u8; 64]>().write([0x5a; 64]) };
    }
}

/// `next_valid` answers with more than it was asked about, and from before it.
struct Vague {
    all: PfnRange,
}

impl Difference for Vague {
    fn next_valid(&self, _: &impl MemoryModel, _: PfnRange) -> Option<PfnRange> {
        Some(self.all)
    }
}

/// Only what was asked for is written, and by its own section, whatever the model says is valid.
fn within_bounds<M: MemoryModel<Page = Page>>(model: &M, all: PfnRange) {
    spoil(model, all);
    let border = X86_64::PAGES_PER_SECTION;
    let some = PfnRange::new(Pfn::new(border - 3), Pfn::new(border + 5)).unwrap();
    let vague = Differing { inner: model, difference: Vague { all } };
    // SAFETY: nobody uses the descriptors; whole ones are written.
    let done = unsafe { initialise_fresh(&vague, some) };
    assert_eq!(done, some.count());
    for pfn in model.valid_ranges(all).frames() {
        let page = model.lookup(pfn).unwrap();
        // SAFETY: the descriptor is mapped, and nobody writes now.
        let written = unsafe { page.cast::<[u8; 64]>().read() } != [0x5a; 64];
        assert_eq!(written, some.contains(pfn), "{pfn}");
        // SAFETY: the frame is valid and initialised.
        assert!(!written || unsafe { model.pfn_of(page) } == pfn, "{pfn}");
    }
}

/// Several threads share the work, and each descriptor is initialised.
fn together<M: MemoryModel<Page = Page>>(model: &M, all: PfnRange, valid: PageCount) {
    for helpers in [0, 1, 3] {
        spoil(model, all);
        // SAFETY: nobody uses the descriptors; whole ones are written, so that what was there does not matter.
        let done = unsafe {
            initialise_fresh_together(model, all, |work| {
                std::thread::scope(|threads| {
                    for _ in 0..helpers {
                        threads.spawn(work);
                    }
                });
            })
        };
        assert_eq!(done, valid, "{helpers} helpers");
        for pfn in model.valid_ranges(all).frames() {
            assert_eq!(seen(model, pfn).1, pfn, "{helpers} helpers");
        }
    }
}
