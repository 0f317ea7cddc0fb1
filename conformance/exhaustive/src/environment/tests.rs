//! The environment detects events that must not happen.

use std::alloc::Layout;

use sparsemem_core::{Block, GracePeriod, MetadataMemory, NodeId, Origin};

use super::*;

fn taken(environment: &mut Environment) -> Block {
    environment.alloc_zeroed(Layout::new::<[u64; 4]>(), NodeId::new(0)).unwrap()
}

#[test]
fn memory_that_goes_before_a_grace_period_is_noticed() {
    let mut environment = Environment::new(Metadata::OneBlock);
    environment.begin();
    let (early, late) = (taken(&mut environment), taken(&mut environment));
    environment.free(early).unwrap();
    assert_eq!(environment.view().complaints, 1);
    Readers::synchronize();
    environment.free(late).unwrap();
    assert_eq!(environment.view(), MemoryView { complaints: 1, ..MemoryView::default() });
}

#[test]
fn an_operation_that_waits_twice_is_noticed() {
    let mut environment = Environment::new(Metadata::OneBlock);
    for waits in 0..3 {
        environment.begin();
        (0..waits).for_each(|_| Readers::synchronize());
        environment.end();
        assert_eq!(environment.view().complaints, u32::from(waits > 1));
    }
}

#[test]
fn blocks_of_another_origin_are_refused() {
    let mut environment = Environment::new(Metadata::OneBlock);
    let block = taken(&mut environment);
    let (start, phys, layout) = (block.start(), block.phys(), block.layout());
    // SAFETY: the block is taken apart here, and no other code has it.
    let forged = unsafe { Block::from_parts(start, phys, layout, Origin::Altmap) };
    assert!(environment.free(forged).is_err());
    assert_eq!(environment.view().complaints, 1);
}

#[test]
fn equal_sets_of_blocks_have_equal_digests() {
    let mut environment = Environment::new(Metadata::OneBlock);
    let empty = environment.digest();
    let block = taken(&mut environment);
    assert_ne!(environment.digest(), empty);
    environment.free(block).unwrap();
    assert_eq!(environment.digest(), empty);
}
