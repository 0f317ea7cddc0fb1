//! A guest with the hole of a PC below 4 GiB, into which memory is plugged.

use std::sync::atomic::Ordering;

use sparsemem_example_vmm::Pages;
use vm_memory::{GuestAddress, GuestMemoryMmap};

#[test]
fn pages_of_the_guest_have_records_and_plugged_ones_get_them() {
    let regions = [(GuestAddress(0), 256 << 20), (GuestAddress(4 << 30), 128 << 20)];
    let memory = GuestMemoryMmap::<()>::from_ranges(&regions).unwrap();
    let pages = Pages::of(&memory).unwrap();
    let is_dirty = |at| pages.with(GuestAddress(at), |page| page.dirty.load(Ordering::Relaxed));
    pages.with(GuestAddress(0x1234_5678 & 0xfff_ffff), |page| page.dirty.store(true, Ordering::Relaxed));
    assert_eq!((is_dirty(0x234_5fff), is_dirty(0x234_6000)), (Some(true), Some(false)));
    assert_eq!(is_dirty(3 << 30), None, "the hole of a PC");

    let (plugged, len) = (8 << 30, 4 << 20);
    assert!(pages.unplug(GuestAddress(plugged), len).is_err(), "nothing is there");
    pages.plug(GuestAddress(plugged), len).unwrap();
    assert!(pages.plug(GuestAddress(plugged), len).is_err(), "it is there");
    assert_eq!((is_dirty(plugged + len - 1), is_dirty(plugged + len)), (Some(false), None));
    pages.unplug(GuestAddress(plugged), len).unwrap();
    assert_eq!(is_dirty(plugged), None);
}
