//! The leaves that a section gets, and the name of its loss when there is no memory for them.

mod common;

use core::sync::atomic::AtomicU64;

use sparsemem_core::{MemoryModel, PageDescriptor, Pfn, PfnRange, SectionLoss, SectionNr};
use sparsemem_machine::Which;

use common::{GIB, MIB, NODE, PlacedOf, UPPER, on_paper, section, upper_array, upper_array_of, why};

/// 32 bytes: a section's descriptors fill exactly half of a large leaf.
#[repr(C)]
struct Half([AtomicU64; 4]);

// SAFETY: integers; zero is valid, and there is nothing to drop.
unsafe impl PageDescriptor for Half {
    unsafe fn initialise(&self, _: Pfn, _: SectionNr) {}
}

#[test]
fn a_part_of_a_section_gets_base_pages_also_if_it_fills_most_of_a_large_leaf() {
    let mut env = on_paper();
    let model = upper_array(UPPER);
    let start = section(0).start().get();
    let most = PfnRange::new(Pfn::new(start), Pfn::new(start + section(0).count().get() / 4 * 3)).unwrap();
    model.write().unwrap().install(&mut env, most, NODE).unwrap();
    assert_eq!(model.footprint().memmap_bytes, 3 * MIB / 2);
}

#[test]
fn a_section_that_fills_half_of_a_large_leaf_gets_base_pages() {
    let mut env = on_paper();
    let model: Box<PlacedOf<Half>> = upper_array_of(UPPER, GIB / 2);
    model.write().unwrap().install(&mut env, section(0), NODE).unwrap();
    assert_eq!(model.footprint().memmap_bytes, MIB);
}

#[test]
fn a_section_without_memory_for_its_descriptors_says_so() {
    let mut env = on_paper();
    let model = upper_array(UPPER);
    // The usage and the root come first, then tables, then the leaf.
    for granted in 2..5 {
        env.0.faults().fail_after(Which::Blocks, granted);
        let lost = why(model.write().unwrap().install(&mut env, section(0), NODE));
        assert!(matches!(lost, SectionLoss::Memmap(_)), "{granted}: {lost:?}");
    }
    env.0.faults().heal();
}
