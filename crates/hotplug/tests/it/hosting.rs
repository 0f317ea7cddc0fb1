//! RAM that hosts its own memmap: block by block, and never in an allocator's hands.

use crate::common::{Model, Op, System};
use sparsemem_core::presets::X86_64;
use sparsemem_core::{MemoryModel, PageCount, Pfn, PfnRange};
use sparsemem_fixture::{
    Agreeable, Call, Fixture, FrameState, NODE, Watched, When, on_every_backend, sections,
};
use sparsemem_hotplug::{AddMemoryError, BlockSize, Limits, Ram};

on_every_backend!([X86_64] blocks_that_host_their_memmap);

/// Frames that hold the memmap of a block: 2 MiB of 128 MiB.
const MEMMAP: PageCount = PageCount::new(512);

fn block(nr: u64) -> PfnRange {
    sections::<X86_64>(nr, 1)
}

fn blocks_that_host_their_memmap<M: Model>(fixture: Fixture<M>) {
    let mut system = System::boot(fixture, Limits::new(BlockSize::SECTION), &[block(0)]);
    refused(&mut system);
    for nr in [4, 5] {
        add(&mut system, block(nr), Ram::default().hosting(MEMMAP)).unwrap();
    }
    add(&mut system, block(6), Ram::default()).unwrap();
    as_few_runs_as_can_be(&mut system);
    online_in_runs(&mut system);
    system.apply(Op::Offline(sections::<X86_64>(4, 3))).unwrap();
    system.refuses(Op::RemoveMemory(sections::<X86_64>(4, 2)), "memory block 4 hosts its own memmap");
    system.refuses(Op::RemoveMemory(sections::<X86_64>(5, 2)), "remove it alone");
    for nr in [4, 5, 6] {
        system.apply(Op::RemoveMemory(block(nr))).unwrap();
    }
}

fn add<M: Model>(system: &mut System<M>, frames: PfnRange, ram: Ram) -> Result<(), AddMemoryError> {
    system.hotplug.add_memory(&mut system.machine, frames, NODE, ram)
}

/// Memory that cannot host is refused in words, and without a trace.
fn refused<M: Model>(system: &mut System<M>) {
    let before = system.snapshot();
    let several = sections::<X86_64>(4, 2);
    let error = add(system, several, Ram::default().hosting(MEMMAP)).unwrap_err();
    assert_eq!(error, AddMemoryError::SeveralHosts { frames: several, block: block(4).count() });
    let all = block(4).count();
    let error = add(system, block(4), Ram::default().hosting(all)).unwrap_err();
    assert_eq!(error, AddMemoryError::NothingLeft { frames: block(4), memmap: all });
    assert_eq!(system.snapshot(), before);
}

/// Memmaps are the only thing that splits a range: a block that hosts none is in one run with what lies before it.
fn as_few_runs_as_can_be<M: Model>(system: &mut System<M>) {
    let behind = |nr| Pfn::new(block(nr).start().get() + MEMMAP.get());
    let runs = [(behind(4), block(4).end()), (behind(5), block(6).end())];
    let runs = runs.map(|(start, end)| PfnRange::new(start, end).unwrap());
    for (frames, expected) in [(sections::<X86_64>(4, 3), runs.as_slice()), (block(6), &[block(6)])] {
        let mut given = Vec::new();
        let mut allocator = Watched(Agreeable, |call, when, frames| {
            if (call, when) == (Call::Give, When::Before) {
                given.push(frames);
            }
        });
        system.hotplug.online(&mut allocator, frames).unwrap();
        system.hotplug.offline(&mut allocator, frames).unwrap();
        assert_eq!(given, expected);
    }
}

/// Three blocks, two of which host: the allocator gets two runs, all or nothing.
fn online_in_runs<M: Model>(system: &mut System<M>) {
    let all = sections::<X86_64>(4, 3);
    system.allocator.refuse = Some(Call::Give);
    system.refuses(Op::Online(all), "poisoned");
    system.allocator.refuse = None;
    // The second run is refused when the first one was given already.
    (system.allocator.refuse, system.allocator.granted) = (Some(Call::Give), 1);
    system.refuses(Op::Online(all), "poisoned");
    system.allocator.refuse = None;
    system.apply(Op::Online(all)).unwrap();
    let has = |frame: u64| system.allocator.frames().contains(&(frame, FrameState::Usable));
    for (nr, hosts) in [(4, true), (5, true), (6, false)] {
        let first = block(nr).start().get();
        assert_eq!(has(first), !hosts, "the memmap of block {nr}");
        assert!(has(first + MEMMAP.get()) && has(block(nr).end().get() - MEMMAP.get()));
    }
    let reader = system.model.read();
    assert!(reader.online_page(block(4).start()).is_some(), "the memmap is online with its block");
}
