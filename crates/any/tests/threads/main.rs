//! Real threads: readers on all processors while memory comes and goes, on all three models.
//!
//! What a reader found stays mapped and as it was until the reader is gone. Marks show whether it does: every
//! descriptor that the readers look at has a mark of its frame once it is in use; memory that went back is cleared
//! before it is given out again, and a virtual memmap is really unmapped. So a reader who is cheated sees the mark go,
//! or is ended by a signal; with address sanitizer (`--cfg sparsemem_asan`, see `.ci/run`) whoever touches a freed
//! block is stopped on the spot. Broken writers, in processes of their own, show that the tests notice.

mod broken;
mod frames;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use sparsemem_core::presets::X86_64;
use sparsemem_core::{GracePeriod, MemoryModel, Pfn, PfnRange, SectionNr};
use sparsemem_fixture::{Fixture, Pc, PcModel, StopOnDrop, each_subsection, frames, on_every_backend};
use sparsemem_machine::{Access, Machine, probe};

use self::frames::{finish, install, is_marked, mark, remove};

/// Long enough to see that somebody waits.
const MOMENT: Duration = Duration::from_millis(50);
/// The sections in which frames come and go: two neighbours, and a section in another root.
const SECTIONS: [u64; 3] = [0, 1, 300];
const READERS: u64 = 3;
/// Rounds of the writer, at least; and so many pages are to be found by the readers meanwhile.
const ROUNDS: u64 = 400;
const FINDS: u64 = 5_000;

on_every_backend!(
    [X86_64]
    a_section_stays_until_its_reader_is_gone,
    a_subsection_stays_until_its_reader_is_gone,
);
on_every_backend!(sparse [X86_64] what_readers_find_stays_while_sections_come_and_go);

fn a_section_stays_until_its_reader_is_gone<R: GracePeriod>(fixture: Pc<R>) {
    stays_until_its_reader_is_gone(fixture, frames(0, 0, 64));
}

fn a_subsection_stays_until_its_reader_is_gone<R: GracePeriod>(fixture: Pc<R>) {
    stays_until_its_reader_is_gone(fixture, frames(0, 8, 1));
}

/// Removal waits for the reader; afterwards the memory is gone.
fn stays_until_its_reader_is_gone<R: GracePeriod>(mut fixture: Pc<R>, removed: PfnRange) {
    let Fixture { model, machine } = &mut fixture;
    let (model, pfn) = (&*model, removed.start());
    // One by one: base pages, so that a subsection's go with it.
    each_subsection::<X86_64>(frames(0, 0, 64)).for_each(|part| install(model, machine, part));
    let before = machine.balance().total().bytes;
    let (done, waits) = mpsc::channel();
    let page: *const u8 = thread::scope(|scope| {
        let reader = model.read();
        let page = reader.page(pfn).unwrap();
        scope.spawn(|| {
            remove(model, machine, removed);
            done.send(()).unwrap();
        });
        assert!(waits.recv_timeout(MOMENT).is_err(), "removal did not wait");
        assert!(reader.page(pfn).is_none(), "what leaves is out of sight");
        let at: *const u8 = core::ptr::from_ref(page).cast();
        assert_eq!((is_marked(page, pfn), probe(at)), (true, Access::Readable));
        drop(reader);
        waits.recv().unwrap();
        at
    });
    let whole = removed == frames(0, 0, 64);
    assert_eq!(model.is_valid(removed.end()), !whole);
    let bytes = machine.balance().total().bytes;
    if model.backend().has_array() {
        assert_eq!(probe(page), Access::Faults);
        assert!(bytes < before);
    } else {
        assert_eq!(bytes < before, whole, "the block goes with the last subsection");
    }
    finish(fixture);
}

/// Numbers that differ, from a seed that is not zero.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn section(&mut self) -> u64 {
        SECTIONS[usize::try_from(self.below(3)).unwrap()]
    }

    /// A frame whose descriptor is marked while it is in use: the first of a subsection.
    fn frame(&mut self) -> Pfn {
        frames(self.section(), self.below(64), 1).start()
    }

    /// Some subsections of a section, often all.
    fn span(&mut self) -> PfnRange {
        let first = if self.below(2) == 0 { 0 } else { self.below(64) };
        let count = if self.below(2) == 0 { 64 - first } else { 1 + self.below(64 - first) };
        frames(self.section(), first, count)
    }
}

/// The numbers of frames that the readers found, missed, and found online.
#[derive(Debug, Default)]
struct Seen {
    found: AtomicU64,
    missed: AtomicU64,
    online: AtomicU64,
}

impl Seen {
    /// True if enough happened for the test to mean something.
    fn enough(&self) -> bool {
        let [found, missed, online] =
            [&self.found, &self.missed, &self.online].map(|count| count.load(Ordering::Relaxed));
        found >= FINDS && missed > 0 && online > 0
    }
}

fn what_readers_find_stays_while_sections_come_and_go<R: GracePeriod>(mut fixture: Pc<R>) {
    let (stop, seen) = (AtomicBool::new(false), Seen::default());
    let Fixture { model, machine } = &mut fixture;
    let model = &*model;
    thread::scope(|scope| {
        for reader in 1..=READERS {
            let (stop, seen) = (&stop, &seen);
            scope.spawn(move || {
                let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ reader);
                while !stop.load(Ordering::Relaxed) {
                    read(model, &mut random, seen);
                }
            });
        }
        let _stop = StopOnDrop(&stop);
        let mut random = Random(42);
        let mut rounds = 0;
        while rounds < ROUNDS || !seen.enough() {
            write(model, machine, &mut random);
            rounds += 1;
        }
    });
    println!("{}: {seen:?}", model.name());
    finish(fixture);
}

/// One round of the writer: frames come; or of those that are there, some come online, or go.
fn write<R: GracePeriod>(model: &PcModel<R>, machine: &mut Machine, random: &mut Random) {
    let span = random.span();
    match model.next_valid(span) {
        None => install(model, machine, span),
        // Some of them may be online already.
        Some(run) if random.below(3) == 0 => {
            each_subsection::<X86_64>(run).take(4).for_each(|part| {
                let _ = model.write().unwrap().set_online(part);
            });
        }
        Some(run) => remove(model, machine, run),
    }
}

/// One guard's worth of lookups, and a look at what is present.
fn read<R: GracePeriod>(model: &PcModel<R>, random: &mut Random, seen: &Seen) {
    let reader = model.read();
    let wanted: [Pfn; 4] = core::array::from_fn(|_| random.frame());
    let found = wanted.map(|pfn| reader.page(pfn).map(|page| (page, pfn, is_marked(page, pfn))));
    let found: Vec<_> = found.into_iter().flatten().collect();
    for (page, ..) in &found {
        page.references.fetch_add(1, Ordering::Relaxed);
    }
    if let Some(page) = reader.online_page(wanted[0]) {
        assert!(is_marked(page, wanted[0]), "what is online was in use before");
        seen.online.fetch_add(1, Ordering::Relaxed);
    }
    thread::yield_now();
    for (page, pfn, marked) in &found {
        let private = page.private.load(Ordering::Relaxed);
        assert!(private == mark(*pfn) || !marked && private == 0, "frame {pfn} changed: {private:#x}");
        page.references.fetch_sub(1, Ordering::Relaxed);
    }
    seen.found.fetch_add(found.len() as u64, Ordering::Relaxed);
    seen.missed.fetch_add((wanted.len() - found.len()) as u64, Ordering::Relaxed);
    drop(reader);
    // Walks enter for themselves.
    let present: Vec<_> = model.present_sections().map(SectionNr::get).collect();
    assert!(present.iter().all(|section| SECTIONS.contains(section)), "{present:?}");
}
