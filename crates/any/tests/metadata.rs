//! The reports of models about their sections' metadata, on every backend: every block that the machine gave out is
//! reported, and no other; and pageblock flags belong to the frames of a pageblock.

use std::collections::BTreeSet;

use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    BootModel, Geometry, GracePeriod, MemoryModel, MemoryRange, MetadataUse, Origin, Pfn, PhysRange,
    SectionFlags, SectionNr, SectionShape,
};
use sparsemem_fixture::{Fixture, NODE, Pc, boot, frames, on_every_backend, sections};
use sparsemem_usage_map::{Isolation, MigrateType, PageblockModel};

on_every_backend!(
    [X86_64]
    every_block_is_reported_and_no_other,
    flags_belong_to_a_pageblock,
);

/// The blocks of all present sections, by address.
fn reported<R: GracePeriod>(fixture: &Pc<R>) -> BTreeSet<(u64, u64)> {
    let Fixture { model, machine } = fixture;
    let mut writer = model.write().unwrap();
    let mut blocks = BTreeSet::new();
    for nr in model.present_sections() {
        writer.each_metadata(machine, nr, &mut |block| {
            blocks.insert(key(block.bytes));
            let is_early = model.section(nr).flags.contains(SectionFlags::EARLY);
            // A root and a page table of boot may serve sections that come later.
            let is_own = matches!(block.of, MetadataUse::Memmap | MetadataUse::Usage);
            let by_section = !is_own || !model.name().contains("sparse");
            assert!(by_section || is_early == (block.origin == Origin::Boot), "{nr}: {block:?}");
        });
    }
    writer.each_metadata(machine, SectionNr::new(77), &mut |block| panic!("it is absent: {block:?}"));
    blocks
}

fn key(bytes: PhysRange) -> (u64, u64) {
    (bytes.start().get(), bytes.end().get())
}

fn every_block_is_reported_and_no_other<R: GracePeriod>(mut fixture: Pc<R>) {
    let agree = |fixture: &Pc<R>, when: &str| {
        let out: BTreeSet<_> = fixture.machine.outstanding().map(|(range, _)| key(range)).collect();
        assert_eq!(reported(fixture), out, "{} {when}", fixture.model.name());
    };
    // Of the second section only a part is RAM.
    let ram = [frames(0, 0, 64), frames(1, 0, 5), frames(3, 0, 64)];
    boot(&fixture.model, &mut fixture.machine, &ram.map(|frames| MemoryRange { frames, node: NODE }));
    agree(&fixture, "after boot");
    for part in [frames(4, 3, 2), frames(4, 7, 1), frames(5, 0, 64)] {
        let Fixture { model, machine } = &mut fixture;
        model.write().unwrap().install(machine, part, NODE).unwrap();
        agree(&fixture, "after an installation");
    }
    let Fixture { model, machine } = &mut fixture;
    assert!(model.write().unwrap().retire(machine, frames(4, 3, 2)).unwrap().lost.is_empty());
    agree(&fixture, "after a removal");
    let Fixture { model, machine } = &mut fixture;
    model.tear_down(machine).unwrap();
    agree(&fixture, "after teardown");
}

fn flags_belong_to_a_pageblock<R: GracePeriod>(mut fixture: Pc<R>) {
    let Fixture { model, machine } = &mut fixture;
    let ram = sections::<X86_64>(2, 2);
    boot(model, machine, &[MemoryRange { frames: ram, node: NODE }]);
    let guard = R::enter();
    assert!(model.pageblock(sections::<X86_64>(77, 1).start(), &guard).is_none(), "it is absent");
    let block = |first: u64| model.pageblock(Pfn::new(ram.start().get() + first), &guard).unwrap();
    let size = 1 << X86_64::PAGEBLOCK_ORDER;
    block(size + 3).set_migrate_type(MigrateType::Cma);
    assert_eq!(block(size).set_isolation(Isolation::Isolated), Isolation::Open);
    assert_eq!(
        (block(size + 5).migrate_type(), block(size + 5).isolation()),
        (Ok(MigrateType::Cma), Isolation::Isolated)
    );
    for other in [0, size - 1, 2 * size, X86_64::PAGES_PER_SECTION + size] {
        assert_eq!(
            (block(other).migrate_type(), block(other).isolation()),
            (Ok(MigrateType::Unmovable), Isolation::Open)
        );
    }
}
