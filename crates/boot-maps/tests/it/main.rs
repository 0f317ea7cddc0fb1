//! Maps of boot protocols: what was handed over, and what a model boots from.

mod firmware;
mod hostile;
mod loaders;
mod rules;

use sparsemem_boot_maps::{BootMap, Entry};
use sparsemem_core::presets::X86_64;
use sparsemem_core::{Geometry, MemoryRange};

/// Storage for a map of `len` ranges.
pub(crate) fn storage(len: usize) -> Vec<Entry> {
    vec![Entry::EMPTY; len]
}

/// Ranges as bytes and node: start, end, node.
pub(crate) fn bytes(ranges: impl Iterator<Item = MemoryRange>) -> Vec<(u64, u64, u32)> {
    let address = |pfn: sparsemem_core::Pfn| pfn.get() << X86_64::PAGE_SHIFT;
    ranges.map(|it| (address(it.frames.start()), address(it.frames.end()), it.node.get())).collect()
}

/// All RAM of a map.
pub(crate) fn ram(map: &BootMap<'_>) -> Vec<(u64, u64, u32)> {
    bytes(map.ram::<X86_64>())
}

/// All free RAM of a map.
pub(crate) fn free(map: &BootMap<'_>) -> Vec<(u64, u64, u32)> {
    bytes(map.free::<X86_64>())
}

/// The bytes of a fixture.
#[macro_export]
macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../fixtures/", $name))
    };
}
