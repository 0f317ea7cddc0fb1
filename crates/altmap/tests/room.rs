//! The room that a memmap needs: asked before, compared with what is really taken, to the frame.
//!
//! Descriptors here do not fill pages, so that pages are shared by neighbours that are there, by those that are not, and
//! by parts of the request itself. With exactly the room that was named every request succeeds; with a frame less it
//! does not.

use proptest::prelude::*;
use sparsemem_altmap::{Altmap, AltmapError, AltmapSpec, MemmapRule, WithAltmap, room_needed};
use sparsemem_core::presets::{Arm64Page64K, Minute, TinyWide, X86_64};
use sparsemem_core::{
    BootModel, Geometry, InstallModel, LeafSize, MemoryModel, MemoryRange, Page, PageCount, Pfn, PfnRange,
    PhysAddr, PhysRange, RetireModel, SectionShape,
};
use sparsemem_fixture::{Backend, Fixture, NODE, Wide, any_model, with_altmap, words_of};
use sparsemem_machine::{HostRcu, Machine, MachineConfig};

/// First frame of the unmanaged memory that altmaps lie in.
const DEVICE: u64 = 0x8000;

struct Readers;
type Rcu = HostRcu<Readers>;
type Env<'a, 'w, G> = WithAltmap<'a, 'w, G, Machine>;

fn frames(start: u64, count: u64) -> PfnRange {
    PfnRange::from_start_count(Pfn::new(start), PageCount::new(count)).unwrap()
}

/// Memory for metadata, and a device behind it; base pages only, as `room_needed` counts them.
fn machine() -> MachineConfig {
    let range = |start, end| PhysRange::new(PhysAddr::new(start << 12), PhysAddr::new(end << 12)).unwrap();
    MachineConfig::new()
        .memory(range(0, DEVICE), NODE)
        .unmanaged(range(DEVICE, 2 * DEVICE))
        .largest_leaf(LeafSize::Size4KiB)
        .vmemmap_bytes(1 << 30)
}

/// The first backend that lays out its memmap by a rule.
fn backend(rule: MemmapRule) -> Backend {
    let mut all = Backend::ALL.into_iter();
    all.find(|backend| backend.has_array() == (rule == MemmapRule::ArrayLeaves)).unwrap()
}

/// A model on such a machine, of a backend that lays out its memmap by a rule.
macro_rules! fixture {
    ($geometry:ty, $page:ty, $rule:expr) => {
        Fixture::<any_model!($geometry, $page, Rcu)>::new(backend($rule), &machine()).unwrap()
    };
}

/// Adds a request with the memmap in `free` frames of the device, and takes it away again; answers with the frames that
/// were taken and skipped, or `None` if they did not suffice.
fn add<G, M>(model: &M, machine: &mut Machine, first: Pfn, free: u64, request: PfnRange) -> Option<u64>
where
    G: Geometry,
    M: MemoryModel<Geometry = G>,
    M: for<'a, 'w> InstallModel<Env<'a, 'w, G>> + for<'a, 'w> RetireModel<Env<'a, 'w, G>>,
{
    let spec = AltmapSpec::new(first, PageCount::new(0), PageCount::new(free)).unwrap();
    let mut words = words_of(spec);
    // SAFETY: the device is unmanaged memory, which only this altmap uses.
    let mut altmap = unsafe { Altmap::<G>::claim(spec, &mut words) }.unwrap();
    let mut env = with_altmap(machine, &mut altmap);
    let parts: Vec<_> = request.by_section::<G>().map(|(_, part)| part).collect();
    let mut writer = model.write().unwrap();
    let done = parts.iter().take_while(|part| writer.install(&mut env, **part, NODE).is_ok()).count();
    let taken = env.altmap().in_use().get() + env.altmap().skipped().get();
    for part in &parts[..done] {
        assert!(writer.retire(&mut env, *part).unwrap().lost.is_empty());
    }
    assert_eq!(altmap.in_use().get(), 0);
    (done == parts.len()).then_some(taken)
}

/// The memory that is there before the request: sections of boot, and frames that were added with memory of the
/// machine.
#[derive(Clone, Debug)]
struct Before {
    early: Vec<PfnRange>,
    added: Vec<PfnRange>,
}

/// Asks for the room, then tries it, and a frame less.
fn compare<M>(fixture: Fixture<M>, rule: MemmapRule, first: Pfn, before: &Before, request: PfnRange)
where
    M: BootModel<Machine, Geometry = TinyWide> + InstallModel<Machine>,
    M: for<'a, 'w> InstallModel<Env<'a, 'w, TinyWide>> + for<'a, 'w> RetireModel<Env<'a, 'w, TinyWide>>,
{
    let Fixture { model, mut machine } = fixture;
    let early = before.early.iter().map(|frames| MemoryRange { frames: *frames, node: NODE });
    let mut writer = model.write().unwrap();
    writer.boot(&mut machine, early, &mut |event| panic!("{event:?}")).unwrap();
    for part in before.added.iter().flat_map(|range| range.by_section::<TinyWide>()) {
        // Ranges may overlap; what is there already stays.
        let _ = writer.install(&mut machine, part.1, NODE);
    }
    drop(writer);
    let needed = room_needed(&model, rule, first, request).unwrap().get();
    let digest = machine.state_digest();
    assert_eq!(add(&model, &mut machine, first, needed, request), Some(needed), "{}", model.name());
    assert_eq!(machine.state_digest(), digest);
    if let Some(less) = needed.checked_sub(1) {
        assert_eq!(add(&model, &mut machine, first, less, request), None, "{}", model.name());
        assert_eq!(machine.state_digest(), digest);
    }
}

/// The same on a model with blocks and on one with an array.
fn compare_both<const WORDS: usize>(first: u64, before: &Before, request: PfnRange) {
    let first = Pfn::new(DEVICE + first);
    let blocks = fixture!(TinyWide, Wide<WORDS>, MemmapRule::SectionBlocks);
    compare(blocks, MemmapRule::SectionBlocks, first, before, request);
    let array = fixture!(TinyWide, Wide<WORDS>, MemmapRule::ArrayLeaves);
    compare(array, MemmapRule::ArrayLeaves, first, before, request);
}

/// Frames of the first six sections.
fn some_frames() -> impl Strategy<Value = PfnRange> {
    (0u64..380, prop_oneof![1u64..8, 1u64..200]).prop_map(|(start, count)| frames(start, count))
}

/// A request, and what is there beside it.
fn case() -> impl Strategy<Value = (PfnRange, Before)> {
    let early = prop::collection::vec((0u64..9, 1u64..64), 0..3);
    let added = prop::collection::vec(some_frames(), 0..6);
    (some_frames(), early, added).prop_map(|(request, early, mut added)| {
        let early = early.into_iter().map(|(section, count)| frames(section * 64, count));
        let early = early.filter(|range| !range.overlaps(request)).collect();
        added.retain(|range| !range.overlaps(request));
        (request, Before { early, added })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// 56 bytes: a page holds more than a section. 1000: a section fills pages in part. 1600: its memmap is 25 pages,
    /// whose alignment is a frame. 4104: every descriptor lies on two pages, or three.
    #[test]
    fn the_room_that_is_named_is_what_is_taken(first in 0u64..70, (request, before) in case()) {
        compare_both::<5>(first, &before, request);
        compare_both::<123>(first, &before, request);
        compare_both::<198>(first, &before, request);
        compare_both::<511>(first, &before, request);
    }
}

/// A base page takes several frames, where frames are smaller.
#[test]
fn small_frames_fill_a_base_page_together() {
    let array = fixture!(Minute, Page, MemmapRule::ArrayLeaves).model;
    let needed = room_needed(&array, MemmapRule::ArrayLeaves, Pfn::new(0), frames(0, 2));
    assert_eq!(needed, Some(PageCount::new(64)), "frames of 64 bytes");
}

/// The array's base pages take a whole frame each, where frames are larger.
#[test]
fn large_frames_hold_one_base_page() {
    let Fixture { model: array, mut machine } = fixture!(Arm64Page64K, Page, MemmapRule::ArrayLeaves);
    let request = frames(0, 4 * 32);
    let first = PhysAddr::new(DEVICE << 12).pfn::<Arm64Page64K>();
    // 128 descriptors of 64 bytes are two base pages.
    let needed = room_needed(&array, MemmapRule::ArrayLeaves, first, request).unwrap();
    assert_eq!(needed.get(), 2);
    assert_eq!(add(&array, &mut machine, first, 2, request), Some(2));
    assert_eq!(add(&array, &mut machine, first, 1, request), None);
    // A block of a table model is 512 KiB: eight frames, at a multiple of eight.
    let shifted = Pfn::new(first.get() + 1);
    assert_eq!(room_needed(&array, MemmapRule::SectionBlocks, shifted, request), Some(PageCount::new(15)));
}

#[test]
fn room_beyond_all_numbers_is_none() {
    let array = fixture!(X86_64, Page, MemmapRule::ArrayLeaves).model;
    let request = frames(u64::MAX - 4096, 4096);
    assert_eq!(room_needed(&array, MemmapRule::ArrayLeaves, Pfn::new(0), request), None);
    let top = Pfn::new(u64::MAX - 100);
    assert_eq!(room_needed(&array, MemmapRule::SectionBlocks, top, frames(0, 512)), None);
}

#[test]
fn memory_that_hosts_itself_sets_whole_frames_aside() {
    type Wide56 = Wide<5>;
    let offset = |start, count| {
        AltmapSpec::self_hosted::<TinyWide, Wide56>(frames(start, count)).map(|spec| spec.offset().get())
    };
    // 73 descriptors fill a page but for eight bytes; 74 need a second.
    assert_eq!((offset(64, 73), offset(64, 74), offset(64, 0)), (Ok(1), Ok(2), Ok(0)));
    let block = frames(8, 2);
    let huge = AltmapSpec::self_hosted::<TinyWide, Wide<1999>>(block);
    assert_eq!(huge, Err(AltmapError::BeyondRequest { offset: PageCount::new(8), request: block }));
    let all = frames(1, u64::MAX - 1);
    assert!(
        matches!(offset(1, u64::MAX - 1), Err(AltmapError::Overflow { free, .. }) if free == all.count())
    );
}

/// The last frame of the geometry may be set aside; the one behind it may not.
#[test]
fn an_altmap_may_end_at_the_maximum() {
    let array = fixture!(TinyWide, Page, MemmapRule::ArrayLeaves).model;
    let check = |count: u64| {
        let request = frames(TinyWide::MAX_PFN - 64, count);
        let spec = AltmapSpec::new(request.start(), PageCount::new(0), request.count()).unwrap();
        let mut words = words_of(spec);
        // SAFETY: nothing is taken from it.
        let altmap = unsafe { Altmap::<TinyWide>::claim(spec, &mut words) }.unwrap();
        altmap.check_add(&array, MemmapRule::ArrayLeaves, request)
    };
    assert_eq!(check(64), Ok(()));
    let last = Pfn::new(TinyWide::MAX_PFN - 1);
    let frames = frames(TinyWide::MAX_PFN - 64, 65);
    assert_eq!(check(65), Err(AltmapError::BeyondMaximum { frames, last }));
}

/// What a driver reads back is what it asked for: its own frames first, then those of the memmap, then its users'.
#[test]
fn a_spec_splits_the_device_in_three() {
    let device = frames(0x100, 64);
    let spec = AltmapSpec::new(device.start(), PageCount::new(3), PageCount::new(5)).unwrap();
    assert_eq!((spec.base(), spec.reserve()), (device.start(), PageCount::new(3)));
    assert_eq!((spec.free(), spec.offset()), (PageCount::new(5), PageCount::new(8)));
    assert_eq!((spec.frames(), spec.free_frames()), (frames(0x100, 8), frames(0x103, 5)));
    assert_eq!(spec.usable(device), frames(0x108, 56));
}

#[test]
fn a_spec_belongs_to_the_request_that_it_begins_and_fits() {
    let spec = AltmapSpec::new(Pfn::new(0x100), PageCount::new(3), PageCount::new(5)).unwrap();
    assert_eq!((spec.validate(frames(0x100, 8)), spec.validate(frames(0x100, 9))), (Ok(()), Ok(())));
    let (short, behind) = (frames(0x100, 7), frames(0x101, 64));
    let offset = PageCount::new(8);
    assert_eq!(spec.validate(short), Err(AltmapError::BeyondRequest { offset, request: short }));
    let wrong = AltmapError::WrongBase { base: Pfn::new(0x100), first: behind.start() };
    assert_eq!(spec.validate(behind), Err(wrong));
}
