//! Notifiers and an allocator that call back in while an operation goes on: readers and statistics work, writers and a
//! second operation are refused, and the operation goes on to its end.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::common::refusing::Refusing;
use crate::common::{Model, Op, System};
use sparsemem_core::presets::{Tiny, X86_64};
use sparsemem_core::{Footprint, MemoryModel, PfnRange, SectionShape};
use sparsemem_fixture::{
    Call, Fixture, NODE, TestAllocator, Watched, When, on_every_backend, sections, storage,
};
use sparsemem_hotplug::{
    AddMemoryError, BlockSize, Hotplug, Limits, MemoryChange, Notifier, OfflineError, OnlineError, Ram,
    Reason, RemoveError,
};
use sparsemem_machine::{Machine, MachineConfig};

on_every_backend!([Tiny, X86_64] who_calls_back_in_finds_the_model_readable_and_busy);

/// A notifier or allocator that calls a model from inside of an operation, and what it should see.
struct Caller<M: Model> {
    model: &'static Refusing<M>,
    /// The blocks that are being switched.
    frames: PfnRange,
    footprint: Footprint,
    /// The number of its calls from each of its methods.
    calls: [AtomicU64; 3],
}

impl<M: Model> Caller<M> {
    fn call(&self, method: usize) {
        self.calls[method].fetch_add(1, Ordering::Relaxed);
        assert!(self.model.write().is_none(), "two writers at once");
        assert_eq!(self.model.footprint(), self.footprint);
        let reader = self.model.read();
        let sections = self.frames.by_section::<M::Geometry>();
        for (nr, frames) in sections {
            assert!(reader.page(frames.start()).is_some(), "frame {}", frames.start());
            assert!(!self.model.section(nr).subsections.is_empty(), "section {nr}");
        }
        assert!(reader.page(self.frames.end()).is_none(), "nothing is behind them");
        drop(reader);
        self.second_operation();
    }

    /// Another table of the same model: each of its operations is refused.
    fn second_operation(&self) {
        let frames = self.frames;
        let mut other = Hotplug::new(self.model, Limits::new(BlockSize::SECTION), storage(4, 0, 4));
        let mut machine = Machine::new(&MachineConfig::new()).unwrap();
        let mut allocator = TestAllocator::new(M::Geometry::PAGES_PER_SUBSECTION);
        let added = other.add_memory(&mut machine, frames, NODE, Ram::default());
        assert_eq!(added, Err(AddMemoryError::Busy { frames }));
        assert_eq!(other.online(&mut allocator, frames), Err(OnlineError::Busy { frames }));
        assert_eq!(other.offline(&mut allocator, frames), Err(OfflineError::Busy { frames }));
        let busy = RemoveError::Busy { frames };
        assert_eq!(other.remove_memory(&mut machine, frames).unwrap_err(), busy);
        assert_eq!(other.remove_device(&mut machine, frames).unwrap_err(), busy);
    }

    fn calls(&self) -> [u64; 3] {
        self.calls.each_ref().map(|calls| calls.swap(0, Ordering::Relaxed))
    }
}

impl<M: Model> Notifier for Caller<M> {
    fn name(&self) -> &'static str {
        "caller"
    }

    fn going(&self, _change: &MemoryChange) -> Result<(), Reason> {
        self.call(0);
        Ok(())
    }

    fn done(&self, _change: &MemoryChange) {
        self.call(1);
    }

    fn cancelled(&self, _change: &MemoryChange) {
        self.call(2);
    }
}

/// The method of the caller for a call of an allocator: those that may refuse an addition, those that may not, and the rest.
const fn method(call: Call) -> usize {
    match call {
        Call::Give | Call::Isolate => 0,
        Call::Release | Call::Take => 1,
        Call::Evacuate => 2,
    }
}

fn caller<M: Model>(system: &System<M>, frames: PfnRange) -> Caller<M> {
    let calls = [0; 3].map(AtomicU64::new);
    Caller { model: system.model, frames, footprint: system.model.footprint(), calls }
}

fn who_calls_back_in_finds_the_model_readable_and_busy<M: Model>(fixture: Fixture<M>) {
    let mut system = System::boot(fixture, Limits::new(BlockSize::SECTION), &[sections::<M::Geometry>(0, 1)]);
    let ram = sections::<M::Geometry>(4, 2);
    system.apply(Op::AddMemory(ram)).unwrap();
    let notifier: &'static Caller<M> = Box::leak(Box::new(caller(&system, ram)));
    system.hotplug.unregister_notifier("first").unwrap();
    // Before the last of those that are left, so that it agrees before that one refuses.
    system.hotplug.register_notifier(0, notifier).unwrap();
    let hooks = caller(&system, ram);
    let System { hotplug, allocator, notifiers, .. } = &mut system;
    let mut allocator = Watched(allocator, |call, when, _| {
        if when == When::Before {
            hooks.call(method(call));
        }
    });
    notifiers[2].refuse(true);
    hotplug.online(&mut allocator, ram).unwrap_err();
    assert_eq!((notifier.calls(), hooks.calls()), ([1, 0, 1], [0, 0, 0]));
    notifiers[2].refuse(false);
    hotplug.online(&mut allocator, ram).unwrap();
    assert_eq!((notifier.calls(), hooks.calls()), ([1, 1, 0], [1, 1, 0]));
    notifiers[2].refuse(true);
    hotplug.offline(&mut allocator, ram).unwrap_err();
    assert_eq!((notifier.calls(), hooks.calls()), ([1, 0, 1], [1, 1, 0]));
    notifiers[2].refuse(false);
    hotplug.offline(&mut allocator, ram).unwrap();
    assert_eq!((notifier.calls(), hooks.calls()), ([1, 1, 0], [1, 1, 1]));
    assert!(system.model.write().is_some(), "writing ends with the operation");
    system.apply(Op::RemoveMemory(ram)).unwrap();
}
