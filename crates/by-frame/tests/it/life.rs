//! What comes and goes after boot, what waits for readers, and what the model says of its memory.

use std::cell::Cell;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use sparsemem_by_frame::{ByFrame, map_bytes};
use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    BootModel as _, BroughtUp, GracePeriod, LookupError, MemoryModel, MetadataUse, Page, Pfn, PfnRange,
    Reclaim, SectionNr, SectionShape, initialise,
};
use sparsemem_fixture::{Backend, NODE, on_every_backend, usual_machine};
use sparsemem_machine::{Machine, place};
use sparsemem_section::{Encoded, ExactRule, InWords, RootedTable, SparseModel};
use sparsemem_usage_map::PageblockModel as _;

use super::{ExactRoots, PcByFrame, Tested, boot, frames, memory, over, why};

const SECTION: u64 = X86_64::PAGES_PER_SECTION;
const SUB: u64 = X86_64::PAGES_PER_SUBSECTION;

thread_local! {
    static WAITS: Cell<u64> = const { Cell::new(0) };
}

/// The domain of a test's own thread, which counts how often readers were waited for.
struct Alone;

// SAFETY: no test holds a guard across an operation that waits, and each has models of its own.
unsafe impl Reclaim for Alone {
    type Guard = ();

    fn enter() {}
}

// SAFETY: as above: there is nobody to wait for.
unsafe impl GracePeriod for Alone {
    fn synchronize() {
        WAITS.set(WAITS.get() + 1);
    }
}

type Table<V> = RootedTable<X86_64, Page, { X86_64::NR_ROOTS_LEN }, V>;
type Exact = ByFrame<SparseModel<Table<InWords<ExactRule>>, Encoded, Alone>>;
type Linux = ByFrame<SparseModel<Table<InWords>, Encoded, Alone>>;

on_every_backend!(a_part_that_comes_again_is_whole, metadata_is_all_reported);

/// The valid frames of the first two sections.
fn valid<M: MemoryModel>(model: &M) -> Vec<PfnRange> {
    model.valid_ranges(frames(0, 2 * SECTION)).collect()
}

fn a_part_that_comes_again_is_whole(backend: Backend) {
    let (mut model, mut machine): (PcByFrame, _) = over(backend, &usual_machine());
    // A page is missing in the second subsection, and the fourth is a hole of its own.
    let ram = [frames(0, SUB + 9), frames(SUB + 10, 3 * SUB), frames(4 * SUB, SECTION)];
    boot(&model, &mut machine, &memory(&ram));
    assert_eq!(valid(&model), ram);
    assert!(matches!(why(&model, SUB + 9), LookupError::Hole { pfn, .. } if pfn == Pfn::new(SUB + 9)));
    assert!(
        why(&model, SUB + 9).to_string().starts_with("frame 0x209 is a hole"),
        "{}",
        why(&model, SUB + 9)
    );
    assert!(matches!(why(&model, 3 * SUB), LookupError::AbsentSubsection { .. }));
    assert!(matches!(why(&model, 9 * SECTION), LookupError::AbsentSection { .. }));

    let mut writer = model.write().unwrap();
    let (second, fourth) = (frames(SUB, 2 * SUB), frames(3 * SUB, 4 * SUB));
    assert!(writer.install(&mut machine, second, NODE).is_err(), "a part is there");
    assert_eq!(valid(&model), ram, "a refused addition fills no hole");
    writer.install(&mut machine, fourth, NODE).unwrap();
    assert_eq!(valid(&model), [ram[0], frames(SUB + 10, SECTION)]);
    assert!(writer.undo_install(&mut machine, fourth).unwrap().lost.is_empty());
    assert_eq!(valid(&model), ram, "an undone addition is a hole again");

    assert!(writer.retire(&mut machine, second).is_err(), "it is online");
    assert_eq!(valid(&model), ram);
    writer.set_offline(second).unwrap();
    assert!(writer.retire(&mut machine, second).unwrap().lost.is_empty());
    let rest = [frames(0, SUB), frames(2 * SUB, 3 * SUB), ram[2]];
    assert_eq!(valid(&model), rest);
    assert!(matches!(why(&model, SUB + 1), LookupError::AbsentSubsection { .. }));
    writer.install(&mut machine, second, NODE).unwrap();
    assert_eq!(valid(&model), [frames(0, 3 * SUB), ram[2]], "what is added later has no holes");
    drop(writer);
    model.tear_down(&mut machine).unwrap();
    assert!(machine.balance().is_zero());
}

/// Boots, retires parts, and counts the waits of each retirement; with the last section the map goes.
fn waits<M: Tested>(model: &mut M, ram: &[PfnRange], parts: &[(PfnRange, u64)]) {
    let mut machine = Machine::new(&usual_machine()).unwrap();
    let before = machine.state_digest();
    boot(model, &mut machine, &memory(ram));
    let mut writer = model.write().unwrap();
    for (part, expected) in parts {
        writer.set_offline(*part).unwrap();
        WAITS.set(0);
        assert!(writer.retire(&mut machine, *part).unwrap().lost.is_empty());
        assert_eq!(WAITS.get(), *expected, "retiring {part}");
    }
    drop(writer);
    assert_eq!(machine.state_digest(), before, "the map went with the last section");
    // And another boot makes another.
    boot(model, &mut machine, &memory(ram));
    assert_eq!(valid(model), ram);
    model.tear_down(&mut machine).unwrap();
}

#[test]
fn what_goes_out_of_sight_is_waited_for() {
    let ram = [frames(7, 2 * SUB)];
    // The second time the map goes, too, and the model inside waits for its section.
    let parts = [(frames(SUB, 2 * SUB), 1), (frames(0, SUB), 2)];
    waits(&mut *place::<Exact>(), &ram, &parts);
    waits(&mut *place::<Linux>(), &ram, &parts);
}

/// A reader of a part of a section of boot is waited for, although the model inside keeps the section valid.
#[test]
fn a_retirement_returns_after_its_readers() {
    let (mut model, mut machine): (PcByFrame, _) = over(Backend::Flat, &usual_machine());
    boot(&model, &mut machine, &memory(&[frames(7, 3 * SUB)]));
    let part = frames(SUB, 2 * SUB);
    let mut writer = model.write().unwrap();
    writer.set_offline(part).unwrap();
    let (left, entered) = (AtomicBool::new(false), Barrier::new(2));
    thread::scope(|threads| {
        threads.spawn(|| {
            let reader = model.read();
            assert!(reader.page(part.start()).is_some());
            entered.wait();
            thread::sleep(Duration::from_millis(20));
            left.store(true, Ordering::SeqCst);
            drop(reader);
        });
        entered.wait();
        assert!(writer.retire(&mut machine, part).unwrap().lost.is_empty());
        assert!(left.load(Ordering::SeqCst), "the reader was still there");
    });
    drop(writer);
    model.tear_down(&mut machine).unwrap();
}

/// Sections that only were marked have no valid frame, and come up by frame; a refused addition there changes nothing.
#[test]
fn a_section_that_waits_comes_up_by_frame() {
    let (mut model, mut machine) = (place::<ExactRoots>(), Machine::new(&usual_machine()).unwrap());
    let ram = [frames(5, 9), frames(SECTION + 1, SECTION + SUB)];
    let mut writer = model.write().unwrap();
    let memory = memory(&ram);
    writer.boot_deferred(&mut machine, memory.into_iter(), &mut |event| panic!("{event:?}")).unwrap();
    assert_eq!(valid(&*model), []);
    assert!(matches!(why(&*model, 6), LookupError::NoMemmap { .. }));
    assert!(writer.install(&mut machine, frames(0, SUB), NODE).is_err());
    let up = writer.jointly().bring_up(&mut machine, SectionNr::new(0)).unwrap();
    assert!(matches!(up, BroughtUp::Now { .. }));
    assert_eq!(valid(&*model), ram[..1]);
    writer.jointly().bring_up(&mut machine, SectionNr::new(1)).unwrap();
    assert_eq!(valid(&*model), ram);
    drop(writer);
    model.tear_down(&mut machine).unwrap();
    assert!(machine.balance().is_zero());
}

/// The map is in the footprint, in what a boot may take, and in the metadata of every present section.
fn metadata_is_all_reported(backend: Backend) {
    let (mut model, mut machine): (PcByFrame, _) = over(backend, &usual_machine());
    let ram = memory(&[frames(7, SUB + 3), frames(SECTION + 1, SECTION + 2)]);
    let map = map_bytes::<X86_64, _>(&ram.iter().copied()).get();
    // A head, a word for each section, and nine for each of the four ends of ranges.
    assert!((2 * 8 + 4 * 72 + 1..=2 * 8 + 4 * 72 + 128).contains(&map), "{map} bytes");
    let bytes = |model: &PcByFrame| (model.footprint().plane_bytes, model.inner().footprint().plane_bytes);
    assert_eq!(bytes(&model).0, bytes(&model).1);
    boot(&model, &mut machine, &ram);
    assert_eq!(bytes(&model).0, bytes(&model).1 + map);
    let (with, inside) =
        (model.boot_bytes(ram.iter().copied()), model.inner().boot_bytes(ram.iter().copied()));
    assert_eq!(with.get(), inside.get() + map + 4096);
    let mut writer = model.write().unwrap();
    for section in [0, 1].map(SectionNr::new) {
        let mut maps = 0;
        writer.each_metadata(&machine, section, &mut |block| {
            maps += u64::from(block.of == MetadataUse::Usage && block.bytes.count().get() == map);
        });
        assert_eq!(maps, 1, "section {section}");
    }
    writer.each_metadata(&machine, SectionNr::new(5), &mut |block| panic!("{block:?}"));
    drop(writer);
    assert!(model.pageblock(Pfn::new(0), &<PcByFrame as MemoryModel>::Reclaim::enter()).is_some());
    initialise(&model, frames(0, SECTION));
    model.tear_down(&mut machine).unwrap();
    assert_eq!(bytes(&model).0, bytes(&model).1);
}
