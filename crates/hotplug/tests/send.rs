//! Hotplug lives behind a lock, as in a kernel: whichever processor has the lock works on the model.

mod common;

use std::sync::Mutex;
use std::thread;

use common::people::TestAllocator;
use common::{Bench, Model, Op, Rcu, Scenario, Start, on_every_model, sections};
use sparsemem_classic_sparse::ClassicSparse;
use sparsemem_core::presets::{Tiny, X86_64};
use sparsemem_core::{Page, SectionShape};
use sparsemem_hotplug::{BlockSize, Hotplug, Limits};

const fn is_send<T: Send>() {}

/// Does not compile if it is not so.
const _: () = is_send::<Hotplug<'static, ClassicSparse<X86_64, Page, Rcu, { X86_64::NR_SECTIONS_LEN }>>>();

/// Rounds of each thread.
const ROUNDS: u32 = 20;

struct BehindALock;

impl Scenario for BehindALock {
    fn run<M: Model>(&self, start: Start<M>) {
        let mut bench = Bench::boot(start, Limits::new(BlockSize::SECTION), &[sections::<M::Geometry>(0, 1)]);
        let rams = [3, 4, 5].map(|nr| sections::<M::Geometry>(nr, 1));
        rams.iter().for_each(|ram| bench.apply(Op::AddMemory(*ram)).unwrap());
        let (before, granule) = (bench.snapshot(), M::Geometry::PAGES_PER_SUBSECTION);
        let hotplug = Mutex::new(bench.hotplug);
        thread::scope(|threads| {
            for ram in rams {
                let hotplug = &hotplug;
                threads.spawn(move || {
                    let mut allocator = TestAllocator::new(granule);
                    for _ in 0..ROUNDS {
                        hotplug.lock().unwrap().online(&mut allocator, ram).unwrap();
                        hotplug.lock().unwrap().offline(&mut allocator, ram).unwrap();
                    }
                });
            }
        });
        bench.hotplug = hotplug.into_inner().unwrap();
        let rounds = usize::try_from(ROUNDS).unwrap() * rams.len() * 2;
        assert!(bench.notifiers.iter().all(|notifier| notifier.done_count() == rounds));
        assert_eq!(bench.snapshot().timeless(), before.timeless());
    }
}

#[test]
fn processors_share_it_behind_a_lock() {
    on_every_model::<Tiny, { Tiny::NR_SECTIONS_LEN }, { Tiny::NR_ROOTS_LEN }>(&BehindALock);
}
