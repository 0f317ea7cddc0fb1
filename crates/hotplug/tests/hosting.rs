//! RAM that hosts its own memmap: block by block, and never in an allocator's hands.

mod common;

use common::people::{Call, FrameState};
use common::{Bench, Model, NODE, Op, Scenario, Start, on_every_model, sections};
use sparsemem_core::presets::X86_64;
use sparsemem_core::{MemoryModel, PageCount, Pfn, PfnRange, SectionShape};
use sparsemem_hotplug::{AddMemoryError, AllocatorHooks, BlockSize, FramesRefused, Limits, Ram};

/// Frames that hold the memmap of a block: 2 MiB of 128 MiB.
const MEMMAP: PageCount = PageCount::new(512);

fn block(nr: u64) -> PfnRange {
    sections::<X86_64>(nr, 1)
}

struct Hosting;

impl Scenario for Hosting {
    fn run<M: Model>(&self, start: Start<M>) {
        let mut bench = Bench::boot(start, Limits::new(BlockSize::SECTION), &[block(0)]);
        refused(&mut bench);
        for nr in [4, 5] {
            add(&mut bench, block(nr), Ram::default().hosting(MEMMAP)).unwrap();
        }
        add(&mut bench, block(6), Ram::default()).unwrap();
        as_few_runs_as_can_be(&mut bench);
        online_in_runs(&mut bench);
        bench.apply(Op::Offline(sections::<X86_64>(4, 3))).unwrap();
        bench.refuses(Op::RemoveMemory(sections::<X86_64>(4, 2)), "memory block 4 hosts its own memmap");
        bench.refuses(Op::RemoveMemory(sections::<X86_64>(5, 2)), "remove it alone");
        for nr in [4, 5, 6] {
            bench.apply(Op::RemoveMemory(block(nr))).unwrap();
        }
    }
}

fn add<M: Model>(bench: &mut Bench<M>, frames: PfnRange, ram: Ram) -> Result<(), AddMemoryError> {
    bench.hotplug.add_memory(&mut bench.machine, frames, NODE, ram)
}

/// What cannot host, in words, and without a trace.
fn refused<M: Model>(bench: &mut Bench<M>) {
    let before = bench.snapshot();
    let several = sections::<X86_64>(4, 2);
    let error = add(bench, several, Ram::default().hosting(MEMMAP)).unwrap_err();
    assert_eq!(error, AddMemoryError::SeveralHosts { frames: several, block: block(4).count() });
    let all = block(4).count();
    let error = add(bench, block(4), Ram::default().hosting(all)).unwrap_err();
    assert_eq!(error, AddMemoryError::NothingLeft { frames: block(4), memmap: all });
    assert_eq!(bench.snapshot(), before);
}

/// Takes everything, and writes down what it was given.
#[derive(Default)]
struct Given(Vec<PfnRange>);

impl AllocatorHooks for Given {
    fn give(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        self.0.push(frames);
        Ok(())
    }

    fn release(&mut self, _: PfnRange) {}

    fn isolate(&mut self, _: PfnRange) -> Result<(), FramesRefused> {
        Ok(())
    }

    fn evacuate(&mut self, _: PfnRange) -> Result<(), FramesRefused> {
        Ok(())
    }

    fn take(&mut self, _: PfnRange) {}
}

/// Memmaps are the only thing that splits a range: a block that hosts none is in one run with what lies before it.
fn as_few_runs_as_can_be<M: Model>(bench: &mut Bench<M>) {
    let behind = |nr| Pfn::new(block(nr).start().get() + MEMMAP.get());
    let runs = [(behind(4), block(4).end()), (behind(5), block(6).end())];
    let runs = runs.map(|(start, end)| PfnRange::new(start, end).unwrap());
    for (frames, expected) in [(sections::<X86_64>(4, 3), runs.as_slice()), (block(6), &[block(6)])] {
        let mut given = Given::default();
        bench.hotplug.online(&mut given, frames).unwrap();
        assert_eq!(given.0, expected);
        bench.hotplug.offline(&mut given, frames).unwrap();
    }
}

/// Three blocks, two of which host: the allocator gets two runs, all or nothing.
fn online_in_runs<M: Model>(bench: &mut Bench<M>) {
    let all = sections::<X86_64>(4, 3);
    bench.allocator.refuse = Some(Call::Give);
    bench.refuses(Op::Online(all), "poisoned");
    bench.allocator.refuse = None;
    // The second run is refused when the first one was given already.
    (bench.allocator.refuse, bench.allocator.granted) = (Some(Call::Give), 1);
    bench.refuses(Op::Online(all), "poisoned");
    bench.allocator.refuse = None;
    bench.apply(Op::Online(all)).unwrap();
    let has = |frame: u64| bench.allocator.frames().contains(&(frame, FrameState::Usable));
    for (nr, hosts) in [(4, true), (5, true), (6, false)] {
        let first = block(nr).start().get();
        assert_eq!(has(first), !hosts, "the memmap of block {nr}");
        assert!(has(first + MEMMAP.get()) && has(block(nr).end().get() - MEMMAP.get()));
    }
    let reader = bench.model.read();
    assert!(reader.online_page(block(4).start()).is_some(), "the memmap is online with its block");
}

#[test]
fn blocks_that_host_their_memmap() {
    on_every_model::<X86_64, { X86_64::NR_SECTIONS_LEN }, { X86_64::NR_ROOTS_LEN }>(&Hosting);
}
