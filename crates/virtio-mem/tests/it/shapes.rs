//! Devices and memory blocks of other sizes.

use crate::common::{FIRST, MIB, Model, System};
use sparsemem_core::ByteLen;
use sparsemem_core::presets::X86_64;
use sparsemem_fixture::{Fixture, on_every_backend};
use sparsemem_hotplug::BlockSize;

on_every_backend!([X86_64] small_blocks_are_plugged_by_subsections, large_blocks_span_memory_blocks);
on_every_backend!([X86_64] memory_blocks_of_several_sections, tiny_blocks_fill_memory_blocks_in_several_requests);

fn resized<M: Model>(system: &mut System<M>, requested: u64, plugged: u64) {
    let resized = system.resize(requested).unwrap();
    assert_eq!(resized.plugged, ByteLen::new(plugged * MIB), "{requested} MiB requested");
    system.agrees(&format!("{requested} MiB requested"));
}

/// Blocks of 1 MiB: a subsection is two of them, and an odd one is not reached.
fn small_blocks_are_plugged_by_subsections<M: Model>(fixture: Fixture<M>) {
    let mut system = System::new(fixture, ByteLen::new(MIB), BlockSize::SECTION);
    for (requested, plugged) in [(7, 6), (141, 140), (139, 140), (138, 138), (1, 2), (0, 0)] {
        resized(&mut system, requested, plugged);
    }
    let log = system.device.take_log();
    assert!(log.iter().all(|it| it.response == 0), "nothing is refused: {log:?}");
}

/// Blocks of 256 MiB are two memory blocks each, which are made and removed together.
fn large_blocks_span_memory_blocks<M: Model>(fixture: Fixture<M>) {
    let mut system = System::new(fixture, ByteLen::new(256 * MIB), BlockSize::SECTION);
    resized(&mut system, 256, 256);
    assert_eq!(system.blocks(), [0, 1, FIRST, FIRST + 1]);
    resized(&mut system, 512, 512);
    assert_eq!(system.blocks(), [0, 1, FIRST, FIRST + 1, FIRST + 2, FIRST + 3]);
    resized(&mut system, 0, 0);
    assert_eq!(system.blocks(), [0, 1]);
}

/// Memory blocks of 256 MiB, in blocks of 4 MiB.
fn memory_blocks_of_several_sections<M: Model>(fixture: Fixture<M>) {
    let two_sections = BlockSize::new(ByteLen::new(256 * MIB)).unwrap();
    let mut system = System::new(fixture, ByteLen::new(4 * MIB), two_sections);
    resized(&mut system, 132, 132);
    assert_eq!(system.blocks(), [0, FIRST / 2]);
    resized(&mut system, 260, 260);
    assert_eq!(system.blocks(), [0, FIRST / 2, FIRST / 2 + 1]);
    resized(&mut system, 8, 8);
    assert_eq!(system.blocks(), [0, FIRST / 2]);
}

/// One request names at most 65535 blocks of 1 KiB: no memory block of 128 MiB is filled by one.
fn tiny_blocks_fill_memory_blocks_in_several_requests<M: Model>(fixture: Fixture<M>) {
    let mut system = System::new(fixture, ByteLen::new(1024), BlockSize::SECTION);
    resized(&mut system, 256, 256);
    assert_eq!(system.blocks(), [0, 1, FIRST, FIRST + 1]);
    resized(&mut system, 512, 512);
    resized(&mut system, 0, 0);
}
