//! Statistics change nothing and keep nobody out: while one thread asks for them, no operation of another is refused.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use sparsemem_core::presets::X86_64;
use sparsemem_core::{Footprint, GracePeriod, MemoryModel, Page, SectionNr, SectionShape};
use sparsemem_fixture::{Fixture, NODE, Pc, PcModel, StopOnDrop, on_every_backend, sections};
use sparsemem_hotplug::{BlockSize, Hotplug, Limits, Ram, Storage};

on_every_backend!(sparse [X86_64] no_operation_is_refused_while_somebody_asks);

/// Sections that come and go together.
const SECTIONS: u64 = 4;
/// Rounds, at least; and so many answers are to be had meanwhile, some of them with memory and some without.
const ROUNDS: u32 = 50;
const ANSWERS: u64 = 1000;

/// Answers, by whether there was memory.
#[derive(Debug, Default)]
struct Answers {
    without: AtomicU64,
    with: AtomicU64,
}

impl Answers {
    fn enough(&self) -> bool {
        let [without, with] = [&self.without, &self.with].map(|count| count.load(Ordering::Relaxed));
        without > 0 && with > 0 && without + with >= ANSWERS
    }
}

/// Asks for everything that tools show, and checks that it can be.
fn ask<R: GracePeriod>(model: &PcModel<R>, answers: &Answers, full: Footprint) {
    let footprint = model.footprint();
    let fields = |it: Footprint| {
        [it.table_bytes, it.plane_bytes, it.usage_bytes, it.memmap_bytes, it.page_table_bytes]
    };
    let too_much = fields(footprint).into_iter().zip(fields(full)).any(|(now, most)| now > most);
    assert!(!too_much, "{footprint:?} of at most {full:?}");
    for nr in (0..=SECTIONS).map(SectionNr::new) {
        let state = model.section(nr);
        let count = u64::from(state.subsections.count());
        assert!(count <= u64::from(X86_64::SUBSECTIONS_PER_SECTION) && state.online.is_empty(), "{state:?}");
        assert!(nr.get() < SECTIONS || count == 0, "{state:?}");
    }
    assert!(model.present_sections().all(|nr| nr.get() < SECTIONS));
    let count = if footprint.memmap_bytes > 0 { &answers.with } else { &answers.without };
    count.fetch_add(1, Ordering::Relaxed);
}

fn no_operation_is_refused_while_somebody_asks<R: GracePeriod>(fixture: Pc<R>) {
    let Fixture { model, mut machine } = fixture;
    let model = &model;
    machine.finish_boot();
    // Not the fixture's storage, which is leaked: the address sanitizer looks at this test.
    let (mut blocks, mut resources) = ([None; 8], [None; 8]);
    let storage = Storage { blocks: &mut blocks, notifiers: &mut [], resources: &mut resources };
    let mut hotplug = Hotplug::new(model, Limits::new(BlockSize::SECTION), storage);
    let ram = sections::<X86_64>(0, SECTIONS);
    let empty = model.footprint();
    let mut round = || {
        hotplug.add_memory(&mut machine, ram, NODE, Ram::default()).unwrap();
        let full = model.footprint();
        let retired = hotplug.remove_memory(&mut machine, ram).unwrap();
        assert_eq!((retired.gone, retired.lost.count()), (SECTIONS, 0));
        full
    };
    let full = round();
    let memmap = ram.count().get() * size_of::<Page>() as u64;
    assert_eq!((full.memmap_bytes, empty.memmap_bytes), (memmap, 0));
    let (stop, answers) = (AtomicBool::new(false), Answers::default());
    thread::scope(|scope| {
        let asker = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                ask(model, &answers, full);
            }
        });
        let _stop = StopOnDrop(&stop);
        let mut rounds = 0;
        // A check that fails over there fails the test, and does not keep this thread waiting.
        while rounds < ROUNDS || !answers.enough() && !asker.is_finished() {
            assert_eq!(round(), full);
            rounds += 1;
        }
    });
    println!("{}: {answers:?}", model.name());
    assert_eq!(model.footprint(), empty);
}
