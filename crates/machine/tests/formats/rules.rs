//! The rules of each processor: what it sees when, and at what depth.

use sparsemem_aarch64_page_table::Aarch64;
use sparsemem_core::PagingDepth;
use sparsemem_machine::{Access, Processor, probe};
use sparsemem_page_table::{EntryFormat, Level, PopulateError, Root, Walk};
use sparsemem_riscv64_page_table::Riscv64;
use sparsemem_x86_64_page_table::X86_64;

use super::{Low, Tested, each, machine, part, populate, size, tables, unmap};
use crate::common::{at, pointer};

/// Every size of leaf that the walker can make below the root shows its memory, from the first byte to the last.
fn leaves_show_their_memory<F: Tested>(depth: PagingDepth) {
    let mut machine = machine::<F>(depth);
    let large = size::<F>(Level::PMD).bytes();
    let wanted = part(&machine, large, large + (1 << F::BASE_SHIFT));
    let made = populate::<F, _>(&mut machine, wanted).unwrap();
    assert_eq!((made.leaves().of(size::<F>(Level::PMD)), made.leaves().total()), (1, 2));
    for offset in [large, 2 * large - 8, 2 * large] {
        let place = pointer(&machine, offset).cast::<u64>();
        // SAFETY: mapped just now to a block of this test.
        unsafe { place.write(offset) };
        let leaf = machine.translate(at(&machine, offset)).unwrap().unwrap();
        let inside = at(&machine, offset).offset_from(leaf.at).unwrap();
        let directly = sparsemem_core::PhysMap::phys_to_virt(&machine, leaf.to.checked_add(inside).unwrap());
        // SAFETY: the same eight bytes, in the block itself.
        assert_eq!(unsafe { directly.cast::<u64>().read() }, offset);
    }
    let gone = unmap::<F, _>(&mut machine, wanted);
    assert_eq!((gone.dropped(), gone.nr_tables()), (made.leaves(), made.nr_tables()));
    assert_eq!(machine.mirror_matches_tables(), Ok(()));
    assert_eq!(probe(pointer(&machine, large).as_ptr()), Access::Faults);
    assert!(machine.balance().is_zero());
}

#[test]
fn every_format_maps_memory_as_its_processor_reads_it() {
    each!(leaves_show_their_memory);
}

/// The root has room for the addresses that it translates, and for no others.
fn borders<F: Tested>(depth: PagingDepth) {
    let mut machine = machine::<F>(depth);
    let root = F::root(depth);
    let page = 1 << F::BASE_SHIFT;
    assert_ne!(root, Root::NONE);
    assert!(root.bits() - F::shift(root.level()) <= F::BASE_SHIFT - 3, "the root fits a page");
    let low = if matches!(F::PROCESSOR, Processor::Aarch64 { .. }) { root.bits() } else { root.bits() - 1 };
    let beyond = sparsemem_core::VirtAddr::new(1 << low);
    let last = sparsemem_core::VirtAddr::new((1 << low) - page);
    let tree = tables::<F>(&machine);
    assert_eq!(tree.walk(&machine, beyond), Walk::NonCanonical);
    assert!(matches!(tree.walk(&machine, last), Walk::Absent { level, .. } if level == root.level()));
    let range =
        sparsemem_core::VirtRange::from_start_count(beyond, sparsemem_core::ByteLen::new(page)).unwrap();
    assert_eq!(populate::<F, _>(&mut machine, range), Err(PopulateError::NonCanonical { range }));
}

#[test]
fn roots_end_where_the_manuals_say() {
    each!(borders);
    let none = [PagingDepth::Two, PagingDepth::Three].map(X86_64::root);
    assert_eq!(none, [Root::NONE; 2]);
    assert_eq!(Riscv64::root(PagingDepth::Two), Root::NONE);
    assert_eq!(Aarch64::<Low<12, 48>>::root(PagingDepth::Five), Root::NONE);
    assert_eq!(Aarch64::<Low<14, 48>>::root(PagingDepth::Five), Root::NONE);
    assert_eq!(Aarch64::<Low<16, 52>>::root(PagingDepth::Four), Root::NONE);
    let bits = |root: Root| root.bits();
    let sv = [PagingDepth::Three, PagingDepth::Four, PagingDepth::Five].map(Riscv64::root).map(bits);
    assert_eq!(sv, [39, 48, 57]);
    let depths = [PagingDepth::Two, PagingDepth::Three, PagingDepth::Four];
    assert_eq!(depths.map(Aarch64::<Low<12, 48>>::root).map(bits), [30, 39, 48]);
    assert_eq!(depths.map(Aarch64::<Low<14, 48>>::root).map(bits), [36, 47, 48]);
    assert_eq!(depths.map(Aarch64::<Low<14, 52>>::root).map(bits), [36, 47, 52]);
    assert_eq!(depths.map(Aarch64::<Low<16, 48>>::root).map(bits), [42, 48, 0]);
    assert_eq!(depths.map(Aarch64::<Low<16, 52>>::root).map(bits), [42, 52, 0]);
    assert_eq!(Aarch64::<Low<12, 52>>::root(PagingDepth::Five).bits(), 52);
}
