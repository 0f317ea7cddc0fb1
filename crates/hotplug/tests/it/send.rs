//! Hotplug lives behind a lock, as in a kernel: whichever processor has the lock works on the model.

use std::sync::Mutex;
use std::thread;

use crate::common::{Model, Op, System};
use sparsemem_core::presets::{Tiny, X86_64};
use sparsemem_core::{Page, SectionShape};
use sparsemem_fixture::{Fixture, TestAllocator, any_model, on_every_backend, sections};
use sparsemem_hotplug::{BlockSize, Hotplug, Limits};
use sparsemem_machine::HostRcu;

on_every_backend!([Tiny] processors_share_it_behind_a_lock);

const fn is_send<T: Send>() {}

/// Does not compile if it is not so.
const _: () = is_send::<Hotplug<'static, any_model!(X86_64, Page, HostRcu<()>)>>();

/// Rounds of each thread.
const ROUNDS: u32 = 20;

fn processors_share_it_behind_a_lock<M: Model>(fixture: Fixture<M>) {
    let mut system = System::boot(fixture, Limits::new(BlockSize::SECTION), &[sections::<M::Geometry>(0, 1)]);
    let rams = [3, 4, 5].map(|nr| sections::<M::Geometry>(nr, 1));
    rams.iter().for_each(|ram| system.apply(Op::AddMemory(*ram)).unwrap());
    let (before, granule) = (system.snapshot(), M::Geometry::PAGES_PER_SUBSECTION);
    let hotplug = Mutex::new(system.hotplug);
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
    system.hotplug = hotplug.into_inner().unwrap();
    let rounds = usize::try_from(ROUNDS).unwrap() * rams.len() * 2;
    assert!(system.notifiers.iter().all(|notifier| notifier.done_count() == rounds));
    assert_eq!(system.snapshot().timeless(), before.timeless());
}
