//! The device and the allocator panic, each at each of their calls, while blocks are plugged and unplugged. Then either
//! nothing of it has happened, or all of it, for everybody.
//!
//! Both do what their contracts say of unwinding: the device has not done what it was asked for, a call of the allocator
//! that may refuse has done nothing, and one that may not has done what it is called for.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::common::doubles::Panics;
use crate::common::{FIRST, MIB, Model, System};
use sparsemem_core::presets::X86_64;
use sparsemem_core::{ByteLen, MemoryModel};
use sparsemem_fixture::{Fixture, on_every_backend, subsections};

on_every_backend!([X86_64] whoever_panics_leaves_all_or_nothing);

fn whoever_panics_leaves_all_or_nothing<M: Model>(fixture: Fixture<M>) {
    let mut system = System::usual(fixture);
    system.device.request(ByteLen::new(512 * MIB));
    let run = subsections::<X86_64>(FIRST, 3, 2);
    let mut panics = 0;
    for plugging in [true, false] {
        for who in [Panics::Device, Panics::Allocator] {
            for nth in 0.. {
                let before = system.snapshot();
                system.panics(who, nth);
                let result = catch_unwind(AssertUnwindSafe(|| {
                    if plugging { system.plug(run) } else { system.unplug(run) }
                }));
                let panicked = system.calm();
                let context = format!("plugging: {plugging}, {who:?} panics at call {nth}");
                assert_eq!(result.is_err(), panicked, "{context}");
                system.agrees(&context);
                let there = system.model.is_valid(run.start());
                if there == plugging {
                    if plugging { system.unplug(run).unwrap() } else { system.plug(run).unwrap() }
                }
                assert_eq!(system.snapshot(), before, "{context}");
                if !panicked {
                    break;
                }
                panics += 1;
            }
        }
        if plugging {
            system.plug(run).unwrap();
        }
    }
    // The device is asked once for each, and the allocator twice and three times.
    assert_eq!(panics, 1 + 2 + 1 + 3);
}
