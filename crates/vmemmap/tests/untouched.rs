//! Boot does not write descriptors that are zero already, also where sections share leaves: a terabyte of them would take
//! seconds, and their memory.

mod common;

use std::sync::atomic::Ordering;

use sparsemem_core::{InstallModel, MemoryModel, MemoryRange, Pfn, Reader, Writer};
use sparsemem_machine::{place, resident_bytes};

use common::{MIB, NODE, Odd, PlacedOf, machine, section};

/// So many sections' descriptors of 56 bytes take 112 MiB.
const SECTIONS: u64 = 64;

#[test]
fn descriptors_of_boot_take_no_memory_of_the_host_until_they_are_used() {
    let mut machine = machine(512 * MIB);
    let model = place::<PlacedOf<Odd>>();
    // SAFETY: the window is set aside for a memmap, and this model is the only one on the machine.
    unsafe { model.placement().base().reserve(machine.window_ptr(), machine.window().count().get()) };
    let memory = (0..SECTIONS).map(|nr| MemoryRange { frames: section(nr), node: NODE });
    let before = resident_bytes();
    let mut writer = model.write().unwrap();
    writer.boot(&mut machine, memory, &mut |event| panic!("{event:?}")).unwrap();
    assert!(resident_bytes() < before + 16 * MIB, "boot wrote to descriptors that were zero");
    all_are_zero(&model.read(), 0..SECTIONS);
    // What was used and retired is zero again for whoever comes next.
    for nr in [3, 4] {
        writer.set_offline(section(nr)).unwrap();
        mark(&model.read(), nr);
        assert!(writer.retire(&mut machine, section(nr)).unwrap().lost.is_empty());
    }
    install(&mut writer, &mut machine, [4, 3]);
    all_are_zero(&model.read(), 3..5);
}

fn install<M: InstallModel<E>, E>(writer: &mut Writer<'_, M>, env: &mut E, sections: [u64; 2]) {
    sections.iter().for_each(|nr| writer.install(env, section(*nr), NODE).unwrap());
}

/// The first, the middle and the last descriptor of a section.
fn pages<'r, M: MemoryModel<Page = Odd>>(reader: &'r Reader<'_, M>, nr: u64) -> [&'r Odd; 3] {
    let (first, count) = (section(nr).start().get(), section(nr).count().get());
    [first, first + count / 2, first + count - 1].map(|frame| reader.page(Pfn::new(frame)).unwrap())
}

fn mark<M: MemoryModel<Page = Odd>>(reader: &Reader<'_, M>, nr: u64) {
    for page in pages(reader, nr) {
        page.0.iter().for_each(|word| word.store(u64::MAX, Ordering::Relaxed));
    }
}

fn all_are_zero<M: MemoryModel<Page = Odd>>(reader: &Reader<'_, M>, sections: core::ops::Range<u64>) {
    for page in sections.flat_map(|nr| pages(reader, nr)) {
        assert!(page.0.iter().all(|word| word.load(Ordering::Relaxed) == 0));
    }
}
