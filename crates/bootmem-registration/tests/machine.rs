//! Boot, plan, removal and accounting on every backend and the simulated machine.
//!
//! The machine's boot allocator draws from the machine's own sections. Which node a section is reported on says where
//! its metadata goes: so sections can be made to hold each other's.

mod common;

use std::alloc::Layout;
use std::collections::BTreeSet;

use sparsemem_bootmem_registration::{
    MetadataKind, PageUse, Released, Removal, SearchSlot, SectionMetadata, User,
};
use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    Block, MemoryModel, MetadataMemory, NodeId, Origin, Pfn, PhysAddr, PhysRange, SectionNr,
};
use sparsemem_fixture::{Backend, Fixture, on_every_backend};
use sparsemem_machine::MachineConfig;

use common::{Model, World, bytes_of_block};

const SECTION: u64 = 128 << 20;

/// Memory of the machine: first and end in eighths of a section, and the node.
type Memory = (u64, u64, u32);

fn range(start: u64, end: u64) -> PhysRange {
    PhysRange::new(PhysAddr::new(start * SECTION / 8), PhysAddr::new(end * SECTION / 8)).unwrap()
}

/// A machine with this memory, and room for a virtual memmap.
fn machine(memory: &[Memory]) -> MachineConfig {
    let config = memory.iter().fold(MachineConfig::new(), |config, (start, end, node)| {
        config.memory(range(*start, *end), NodeId::new(*node))
    });
    config.vmemmap_bytes(1 << 30)
}

/// A booted machine with everything registered.
struct System {
    model: &'static Model,
    world: World,
    /// Blocks of node data, by node.
    data: Vec<Block>,
}

/// The sections that boot reports, each with its node, in order of sections, and the nodes that have data (four pages).
struct Report<'r> {
    sections: &'r [(u64, u32)],
    data: &'r [u32],
}

/// Boots, registers, and runs a test.
fn run(backend: Backend, memory: &[Memory], report: &Report<'_>, test: impl FnOnce(&mut System)) {
    let Fixture { model, mut machine } = Fixture::<Model>::new(backend, &machine(memory)).unwrap();
    let model: &'static Model = Box::leak(Box::new(model));
    let data: Vec<(u32, Block)> = report
        .data
        .iter()
        .map(|node| {
            let layout = Layout::from_size_align(4 << 12, 1 << 12).unwrap();
            (*node, machine.alloc_zeroed(layout, NodeId::new(*node)).unwrap())
        })
        .collect();
    let mut world = World::boot(machine, model, report.sections);
    for (node, block) in &data {
        world.registry_mut().register_node(NodeId::new(*node), &[bytes_of_block(block)]).unwrap();
    }
    let data = data.into_iter().map(|(_, block)| block).collect();
    let mut system = System { model, world, data };
    system.every_byte_is_accounted_for();
    test(&mut system);
}

impl System {
    fn plan(&self, section: u64) -> Result<Vec<u64>, Vec<u64>> {
        let (mut slots, mut steps) = ([SearchSlot::default(); 16], [SectionNr::new(0); 16]);
        let numbers = |steps: &[SectionNr]| steps.iter().map(|nr| nr.get()).collect();
        match self.world.registry().removal_plan(SectionNr::new(section), &mut slots, &mut steps).unwrap() {
            Removal::Order(steps) => Ok(numbers(steps)),
            Removal::Cycle(steps) => Err(numbers(steps)),
            other => panic!("{other:?}"),
        }
    }

    /// Offlines a section, retires it, and forgets it. Answers with how many pages became free.
    fn remove(&mut self, section: u64) -> u64 {
        let nr = SectionNr::new(section);
        let frames = nr.frames::<X86_64>().unwrap();
        self.world.registry().check_removable(nr).unwrap();
        self.offline_pages(nr);
        let free_before = self.world.desk.nr_free();
        self.model.write().unwrap().set_offline(frames).unwrap();
        let retired = self.model.write().unwrap().retire(&mut self.world, frames).unwrap();
        assert!(retired.lost.is_empty(), "{retired:?}");
        let released = self.world.release_section(nr).unwrap();
        assert_eq!(released.untagged.get(), 0);
        let World { machine, desk, .. } = &mut self.world;
        desk.waiting.append(&mut self.data);
        desk.settle(machine);
        self.every_byte_is_accounted_for();
        (self.world.desk.nr_free() - free_before) as u64
    }

    /// Checks what offlining relies on: every page of the section is free for it to take, or is the section's own.
    fn offline_pages(&self, nr: SectionNr) {
        let frames = nr.frames::<X86_64>().unwrap();
        let own: BTreeSet<_> = self.world.registry().own_memmap_pages(nr).collect();
        for page in (frames.start().get()..frames.end().get()).map(Pfn::new) {
            let uses = self.world.registry().page_use(page);
            assert!(!matches!(uses, PageUse::InUse(_)), "{page} of section {nr}: {uses:?}");
            assert!(!own.contains(&page) || uses == PageUse::Own);
        }
    }

    /// Every block that the machine has out is registered, waiting, or left with its section.
    fn every_byte_is_accounted_for(&self) {
        let mut known: BTreeSet<_> = self.world.registry().pieces().map(|piece| key(piece.bytes())).collect();
        known.extend(
            self.world
                .desk
                .waiting
                .iter()
                .chain(&self.world.desk.left)
                .map(|block| key(bytes_of_block(block))),
        );
        let out: BTreeSet<_> = self.world.machine.outstanding().map(|(range, _)| key(range)).collect();
        assert_eq!(out, known);
    }

    /// After all sections are gone: nothing is out but what left with them, and that is `left` bytes.
    fn finish(&mut self) -> u64 {
        assert_eq!(
            (self.world.registry().pieces().count(), self.world.registry().sections().count()),
            (0, 0)
        );
        assert!(self.world.desk.waiting.is_empty());
        let left = std::mem::take(&mut self.world.desk.left);
        let bytes = left.iter().map(|block| block.layout().size() as u64).sum();
        assert_eq!(self.world.machine.balance().total().bytes, bytes);
        for block in left {
            self.world.machine.free(block).map_err(|refused| refused.error).unwrap();
        }
        assert!(self.world.machine.balance().is_zero());
        bytes
    }
}

fn key(range: PhysRange) -> (u64, u64) {
    (range.start().get(), range.end().get())
}

on_every_backend!(
    sparse
    two_sections_that_hold_each_other,
    a_chain_is_removed_in_order,
    sections_that_hold_themselves,
    shared_pages_and_node_data_go_with_the_last_user,
    hot_added_sections_keep_their_node,
);

/// The memmap of section 0 lies in section 1, and that of 1 in 0.
fn two_sections_that_hold_each_other(backend: Backend) {
    let memory = &[(0, 8, 0), (8, 16, 1), (16, 24, 2)];
    let report = Report { sections: &[(0, 1), (1, 0), (2, 2)], data: &[] };
    run(backend, memory, &report, |system| {
        let in_section = |section: u64, user| {
            let bytes = range(8 * section, 8 * section + 8);
            let pieces = system.world.registry().pieces_in(bytes).filter(|piece| piece.user() == user);
            pieces.map(|piece| piece.pages::<X86_64>().count().get()).max().unwrap_or(0)
        };
        assert_eq!(in_section(1, User::Section(SectionNr::new(0))), 512);
        assert_eq!(in_section(0, User::Section(SectionNr::new(1))), 512);
        assert_eq!((system.plan(0), system.plan(1)), (Err(vec![0, 1]), Err(vec![0, 1])));
        assert!(system.world.registry().check_removable(SectionNr::new(0)).is_err());
        assert!(system.world.registry().check_removable(SectionNr::new(1)).is_err());
        // Section 2 has its metadata in itself, and stands for all who are not on the cycle.
        assert_eq!(system.plan(2), Ok(vec![2]));
        system.remove(2);
        assert_eq!(system.plan(0), Err(vec![0, 1]));
    });
}

/// Section n holds the memmap of section n + 1; section 0 its own too.
fn a_chain_is_removed_in_order(backend: Backend) {
    let memory = &[(0, 8, 0), (8, 16, 1), (16, 24, 2), (24, 32, 3)];
    let report = Report { sections: &[(0, 0), (1, 0), (2, 1), (3, 2)], data: &[] };
    run(backend, memory, &report, |system| {
        let order = system.plan(0).unwrap();
        assert_eq!(order, [3, 2, 1, 0]);
        assert_eq!(system.plan(2), Ok(vec![3, 2]));
        for section in order {
            let tagged =
                system.world.registry().pieces().filter(|piece| piece.pages::<X86_64>().count().get() == 512);
            for page in tagged.map(|piece| piece.pages::<X86_64>().start()) {
                let tag = system.world.registry().tag(page).unwrap().unwrap();
                assert_eq!((tag.kind(), tag.users()), (MetadataKind::SectionInfo, 1));
            }
            let freed = system.remove(section);
            // The memmap in another section is freed, page for page; that of section 0 leaves with it.
            assert_eq!(freed >= 512, section != 0, "section {section} freed {freed} pages");
        }
        assert!(system.finish() >= 2 << 20);
    });
}

/// Every section has its metadata in itself.
fn sections_that_hold_themselves(backend: Backend) {
    let memory = &[(0, 8, 0), (8, 16, 1), (16, 24, 2)];
    let report = Report { sections: &[(0, 0), (1, 1), (2, 2)], data: &[] };
    run(backend, memory, &report, |system| {
        for section in [2, 1] {
            let nr = SectionNr::new(section);
            assert_eq!(system.plan(section), Ok(vec![section]));
            assert_eq!(system.world.registry().own_memmap_pages(nr).count(), 512);
            system.remove(section);
            assert!(!system.model.is_valid(nr.first_pfn::<X86_64>().unwrap()));
        }
        // Tables of all three lie in section 0, and 0 is the last.
        assert_eq!(system.plan(0), Ok(vec![0]));
        assert_eq!(system.remove(0), 0);
        assert!(system.finish() >= 3 * (2 << 20), "all three memmaps left with their sections");
    });
}

/// Sections 0 to 2, of node 9, have all their metadata, and their node's data, in the lower half of section 5.
fn shared_pages_and_node_data_go_with_the_last_user(backend: Backend) {
    let memory = &[(40, 44, 9), (44, 48, 5)];
    let report = Report { sections: &[(0, 9), (1, 9), (2, 9), (5, 5)], data: &[9] };
    run(backend, memory, &report, |system| {
        let host = SectionNr::new(5);
        let data = bytes_of_block(&system.data[0]).start().pfn::<X86_64>();
        assert_eq!(system.world.registry().tag(data).unwrap().unwrap().user(), User::Node(NodeId::new(9)));
        let shared =
            system.world.registry().pieces().find(|piece| piece.bytes().count().get() < 4096).unwrap();
        let shared = shared.pages::<X86_64>().start();
        let tag = system.world.registry().tag(shared).unwrap().unwrap();
        assert_eq!((tag.kind(), tag.users() >= 3), (MetadataKind::MixInfo, true));
        assert_eq!(system.plan(5), Ok(vec![0, 1, 2, 5]));
        for section in [0, 1] {
            assert!(system.world.registry().check_removable(host).is_err());
            let freed = system.remove(section);
            assert_eq!(freed, 512, "the memmap alone: the usage's page has other users");
            assert!(system.world.registry().tag(shared).unwrap().is_some());
        }
        let freed = system.remove(2);
        assert!(freed >= 512 + 1 + 4, "memmap, shared page and node data: {freed}");
        assert_eq!(
            (system.world.registry().tag(shared).unwrap(), system.world.registry().tag(data).unwrap()),
            (None, None)
        );
        assert_eq!(system.plan(5), Ok(vec![5]));
        system.remove(5);
        system.finish();
    });
}

/// A section that is added at run time has no metadata of boot, but its node's data waits for it.
fn hot_added_sections_keep_their_node(backend: Backend) {
    let memory = &[(0, 8, 0), (8, 16, 1)];
    let report = Report { sections: &[(0, 0), (1, 1)], data: &[1] };
    run(backend, memory, &report, |system| {
        let added = SectionNr::new(6);
        let frames = added.frames::<X86_64>().unwrap();
        let mut writer = system.model.write().unwrap();
        writer.install(&mut system.world.machine, frames, NodeId::new(0)).unwrap();
        drop(writer);
        system
            .world
            .registry_mut()
            .register_section(added, NodeId::new(1), SectionMetadata::default())
            .unwrap();
        assert_eq!(system.plan(1), Ok(vec![6, 1]));
        let free_before = system.world.desk.nr_free();
        let retired = system.model.write().unwrap().retire(&mut system.world, frames).unwrap();
        assert!(retired.lost.is_empty(), "{retired:?}");
        assert_eq!(system.world.release_section(added).unwrap(), Released::default());
        assert_eq!(system.world.desk.nr_free(), free_before);
        assert!(system.world.machine.balance().of(Origin::Runtime).blocks == 0);
        system.every_byte_is_accounted_for();
        assert_eq!(system.remove(1), 0, "memmap and node data leave with the section that they lie in");
        system.remove(0);
        system.finish();
    });
}
