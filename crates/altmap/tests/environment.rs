//! The environment with an altmap before it, block by block: whose memory it is, how it is zeroed, what is refused.

use std::alloc::Layout;
use std::ptr::NonNull;

use sparsemem_altmap::{Altmap, AltmapSpec, MemmapRule, StillInUse, WithAltmap, room_needed};
use sparsemem_core::presets::{Arm64Page64K, X86_64};
use sparsemem_core::{
    AddressSpace, Block, ByteLen, ForeignBlock, Geometry, LeafSize, LinkRefused, MemoryModel, MetadataMemory,
    NodeId, Origin, OutOfMemory, PageCount, PagingDepth, Pfn, PfnRange, PhysAddr, PhysMap, PhysRange,
    Rejected, RetireError, VirtAddr, VirtRange,
};
use sparsemem_fixture::{Backend, Fixture, NODE, Pc, words_of};
use sparsemem_machine::{HostRcu, Machine, MachineConfig};

const MIB: u64 = 1 << 20;
/// The device, 16 MiB of it.
const DEVICE: u64 = 64 * MIB;

fn config() -> MachineConfig {
    let range = |start, end| PhysRange::new(PhysAddr::new(start), PhysAddr::new(end)).unwrap();
    MachineConfig::new()
        .memory(range(0, DEVICE), NODE)
        .unmanaged(range(DEVICE, DEVICE + 16 * MIB))
        .vmemmap_bytes(1 << 30)
}

fn machine() -> Machine {
    Machine::new(&config()).unwrap()
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

/// An altmap of `free` frames, `skip` bytes into the device.
fn spec<G: Geometry>(skip: u64, free: u64) -> AltmapSpec {
    let base = PhysAddr::new(DEVICE + skip).pfn::<G>();
    AltmapSpec::new(base, PageCount::new(0), PageCount::new(free)).unwrap()
}

fn claim<G: Geometry>(spec: AltmapSpec) -> Altmap<'static, G> {
    // SAFETY: the device is unmanaged memory of the machine, and the altmaps of a test do not overlap.
    unsafe { Altmap::claim(spec, words_of(spec).leak()) }.unwrap()
}

fn before<'a, 'w, G: Geometry, E: MetadataMemory>(
    env: &'a mut E,
    altmap: &'a mut Altmap<'w, G>,
) -> WithAltmap<'a, 'w, G, E> {
    // SAFETY: the direct map of the machine is one mapping of all its memory; `Odd` is asked for no memmap.
    unsafe { WithAltmap::new(env, altmap) }
}

fn free<E: MetadataMemory>(env: &mut E, block: Block) -> Result<(), Block> {
    env.free(block).map_err(|refused| {
        assert_eq!(refused.error.address, refused.returned.start().addr().get());
        refused.returned
    })
}

#[test]
fn memmaps_come_from_the_device_and_everything_else_from_ram() {
    let mut machine = machine();
    let mut altmap = claim::<X86_64>(spec::<X86_64>(0, 16));
    // SAFETY: the device is nobody's.
    unsafe { machine.phys_to_virt(PhysAddr::new(DEVICE)).write_bytes(0xff, 1 << 16) };
    let (root, before_all) = (machine.root(), machine.state_digest());
    let mut env = before(&mut machine, &mut altmap);
    let memmap = env.alloc_memmap(layout(3 * 4096, 4096), NODE).unwrap();
    assert_eq!((memmap.origin(), memmap.phys()), (Origin::Altmap, PhysAddr::new(DEVICE)));
    // SAFETY: the block is ours.
    let bytes = unsafe { core::slice::from_raw_parts(memmap.start().as_ptr(), 3 * 4096) };
    assert!(bytes.iter().all(|byte| *byte == 0));
    assert_eq!(env.virt_to_phys(memmap.start()), Some(memmap.phys()));
    assert_eq!((env.root(), env.altmap().in_use().get()), (root, 3));
    let table = env.alloc_zeroed(layout(4096, 4096), NODE).unwrap();
    assert_eq!((table.origin(), env.altmap().in_use().get()), (Origin::Boot, 3));
    assert_eq!(env.inner().balance().total().bytes, 4096);
    let none = env.alloc_memmap(layout(16 * 4096, 4096), NODE).unwrap_err();
    assert_eq!((none.size, env.inner().balance().total().bytes), (16 * 4096, 4096), "RAM is no way out");
    free(&mut env, table).unwrap();
    free(&mut env, memmap).unwrap();
    assert_eq!((altmap.in_use().get(), machine.state_digest()), (0, before_all));
}

#[test]
fn alignment_beyond_the_size_is_kept() {
    let mut machine = machine();
    let mut altmap = claim::<X86_64>(spec::<X86_64>(4096, 600));
    let mut env = before(&mut machine, &mut altmap);
    let small = env.alloc_memmap(layout(100, 8), NODE).unwrap();
    let aligned = env.alloc_memmap(layout(4096, 2 << 20), NODE).unwrap();
    assert_eq!((small.phys().get(), aligned.phys().get()), (DEVICE + 4096, DEVICE + 2 * MIB));
    assert!(aligned.start().addr().get().is_multiple_of(2 << 20), "in the direct map too");
    free(&mut env, small).unwrap();
    free(&mut env, aligned).unwrap();
}

#[test]
fn large_frames_are_given_whole() {
    let mut machine = machine();
    let mut altmap = claim::<Arm64Page64K>(spec::<Arm64Page64K>(0, 4));
    let mut env = before(&mut machine, &mut altmap);
    let blocks: Vec<_> = (0..4).map(|_| env.alloc_memmap(layout(4096, 4096), NODE).unwrap()).collect();
    assert!(blocks.iter().all(|block| block.phys().is_aligned(1 << 16)));
    assert!(env.alloc_memmap(layout(4096, 4096), NODE).is_err());
    blocks.into_iter().for_each(|block| free(&mut env, block).unwrap());
    assert_eq!(altmap.in_use().get(), 0);
}

#[test]
fn blocks_find_their_own_altmap_and_no_other() {
    let mut machine = machine();
    let mut first = claim::<X86_64>(spec::<X86_64>(0, 16));
    let mut second = claim::<X86_64>(spec::<X86_64>(MIB, 16));
    let of_first = before(&mut machine, &mut first).alloc_memmap(layout(4096, 4096), NODE).unwrap();
    let mut behind = before(&mut machine, &mut first);
    let mut env = before(&mut behind, &mut second);
    let of_second = env.alloc_memmap(layout(8192, 4096), NODE).unwrap();
    assert_eq!(of_second.phys().get(), DEVICE + MIB);
    free(&mut env, of_first).unwrap();
    assert_eq!((env.altmap().in_use().get(), env.inner().altmap().in_use().get()), (2, 0));
    // Without its altmap, a block has nowhere to go.
    // SAFETY: a block is given to it, and nothing else done.
    let inner = unsafe { env.inner_mut() };
    let of_second = free(inner, of_second).unwrap_err();
    free(&mut env, of_second).unwrap();
}

#[test]
fn forged_blocks_are_refused() {
    let mut machine = machine();
    let mut altmap = claim::<X86_64>(spec::<X86_64>(0, 16));
    let mut env = before(&mut machine, &mut altmap);
    let real = env.alloc_memmap(layout(4 * 4096, 4096), NODE).unwrap();
    let forge = |start, phys, size, origin| {
        // SAFETY: the block is refused, and never used.
        unsafe { Block::from_parts(start, PhysAddr::new(phys), layout(size, 1), origin) }
    };
    let at = real.phys().get();
    let start = real.start();
    // SAFETY: one byte into the block.
    let shifted = unsafe { start.add(1) };
    for forged in [
        forge(start, at, 4096, Origin::Altmap),
        forge(start, at, 5 * 4096, Origin::Altmap),
        forge(shifted, at + 1, 4 * 4096, Origin::Altmap),
        forge(shifted, at, 4 * 4096, Origin::Altmap),
        forge(start, at + 4096, 4096, Origin::Altmap),
        forge(start, at, 4 * 4096, Origin::Runtime),
        forge(start, at, 4 * 4096, Origin::Boot),
        forge(start, at + 64 * 4096, 4096, Origin::Altmap),
        forge(start, u64::MAX - 1, 1, Origin::Altmap),
    ] {
        let text = format!("{forged:?}");
        assert!(free(&mut env, forged).is_err(), "{text}");
        assert_eq!(env.altmap().in_use().get(), 4);
    }
    let twice = forge(start, at, 4 * 4096, Origin::Altmap);
    free(&mut env, real).unwrap();
    assert!(free(&mut env, twice).is_err(), "a double free");
}

/// An address space that differs from the defaults in everything, and notes what it is told.
#[derive(Default)]
struct Odd {
    told: Vec<String>,
}

// SAFETY: nothing is ever reached through it.
unsafe impl PhysMap for Odd {
    fn phys_to_virt(&self, _at: PhysAddr) -> NonNull<u8> {
        NonNull::dangling()
    }

    fn virt_to_phys(&self, _at: NonNull<u8>) -> Option<PhysAddr> {
        Some(PhysAddr::new(7))
    }
}

// SAFETY: it has no memory.
unsafe impl MetadataMemory for Odd {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        Err(OutOfMemory::new(layout, node))
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        Err(Rejected { error: block.foreign(), returned: block })
    }
}

// SAFETY: no model is given it.
unsafe impl AddressSpace for Odd {
    fn root(&self) -> PhysAddr {
        PhysAddr::new(0x7000)
    }

    fn depth(&self) -> PagingDepth {
        PagingDepth::Five
    }

    fn largest_leaf(&self) -> LeafSize {
        LeafSize::Size1GiB
    }

    fn linked(&mut self, at: VirtAddr, to: PhysAddr, size: LeafSize) -> Result<(), LinkRefused> {
        self.told.push(format!("linked {at} to {to}, {size}"));
        Err(LinkRefused { at })
    }

    fn root_changed(&mut self, at: VirtAddr) {
        self.told.push(format!("root changed at {at}"));
    }

    fn published(&mut self, range: VirtRange) {
        self.told.push(format!("published {range}"));
    }

    fn flush(&mut self, range: VirtRange) {
        self.told.push(format!("flush {range}"));
    }
}

/// What is lost on the way would be a stale translation on another processor, or in another address space.
#[test]
fn the_address_space_behind_hears_everything() {
    let mut odd = Odd::default();
    let mut altmap = claim::<X86_64>(spec::<X86_64>(0, 16));
    let at = VirtAddr::new(1 << 21);
    let range = VirtRange::from_start_count(at, ByteLen::new(1 << 12)).unwrap();
    let mut env = before(&mut odd, &mut altmap);
    assert_eq!((env.root(), env.depth()), (PhysAddr::new(0x7000), PagingDepth::Five));
    assert_eq!(
        (env.largest_leaf(), env.virt_to_phys(NonNull::dangling())),
        (LeafSize::Size1GiB, Some(PhysAddr::new(7)))
    );
    assert_eq!(env.linked(at, PhysAddr::new(0x5000), LeafSize::Size2MiB), Err(LinkRefused { at }));
    env.root_changed(at);
    env.published(range);
    env.flush(range);
    let heard = [
        format!("linked {at} to {}, 2 MiB", PhysAddr::new(0x5000)),
        format!("root changed at {at}"),
        format!("published {range}"),
        format!("flush {range}"),
    ];
    assert_eq!(odd.told, heard);
}

/// T-10 with an altmap: subsections come and go one by one, eight base pages each.
#[test]
fn subsections_take_base_pages_of_the_device() {
    enum Readers {}
    let fixture = Pc::<HostRcu<Readers>>::new(Backend::Vmemmap, &config()).unwrap();
    let Fixture { model, mut machine } = fixture;
    let device = PfnRange::from_start_count(Pfn::new(DEVICE >> 12), PageCount::new(2048)).unwrap();
    let parts: Vec<_> = (0..4)
        .map(|index| {
            let start = Pfn::new(device.start().get() + 512 * index);
            PfnRange::from_start_count(start, PageCount::new(512)).unwrap()
        })
        .collect();
    let spec = spec::<X86_64>(0, 32);
    assert_eq!(room_needed(&model, MemmapRule::ArrayLeaves, spec.base(), device), Some(PageCount::new(32)));
    let mut altmap = claim::<X86_64>(spec);
    altmap.check_add(&model, MemmapRule::ArrayLeaves, device).unwrap();
    let ram = machine.balance().total().bytes;
    let mut env = before(&mut machine, &mut altmap);
    for (index, part) in parts.iter().enumerate() {
        model.write().unwrap().install(&mut env, *part, NODE).unwrap();
        assert_eq!(env.altmap().in_use().get(), 8 * (index as u64 + 1));
    }
    let left = room_needed(&model, MemmapRule::ArrayLeaves, spec.base(), device);
    assert_eq!(left, Some(PageCount::new(30)), "the outer two pages are there");
    // The altmap lies in the first part, which so holds the descriptors of all others.
    let refused = model.write().unwrap().retire(&mut env, parts[0]);
    assert!(matches!(refused, Err(RetireError::HoldsMemmap { .. })), "{refused:?}");
    for (index, part) in [(3, parts[1]), (2, parts[3]), (1, parts[2]), (0, parts[0])] {
        assert!(model.write().unwrap().retire(&mut env, part).unwrap().lost.is_empty());
        assert_eq!(env.altmap().in_use().get(), 8 * index);
        assert!(!model.is_valid(part.start()));
    }
    assert_eq!(machine.balance().total().bytes, ram);
    assert!(altmap.release().is_ok());
}

/// Two devices share a section of a table model: one block holds the descriptors of both, and lies in the one that came
/// first. That one cannot be removed while the other stays: its memory is needed.
#[test]
fn a_neighbour_keeps_the_memory_of_its_descriptors() {
    enum Readers {}
    let fixture =
        Pc::<HostRcu<Readers>>::new(Backend::ALL.into_iter().find(|it| !it.has_array()).unwrap(), &config())
            .unwrap();
    let Fixture { model, mut machine } = fixture;
    let mut first = claim::<X86_64>(spec::<X86_64>(0, 512));
    let mut second = claim::<X86_64>(spec::<X86_64>(4 * MIB, 512));
    let frames = |start: u64, count: u64| {
        PfnRange::from_start_count(Pfn::new((DEVICE + start) >> 12), PageCount::new(count)).unwrap()
    };
    let (low, high, both) = (frames(0, 1024), frames(4 * MIB, 1024), frames(0, 2048));
    let mut writer = model.write().unwrap();
    writer.install(&mut before(&mut machine, &mut first), low, NODE).unwrap();
    // What is there already needs no room.
    second.check_add(&model, MemmapRule::SectionBlocks, high).unwrap();
    writer.install(&mut before(&mut machine, &mut second), high, NODE).unwrap();
    assert_eq!((first.in_use().get(), second.in_use().get()), (512, 0));

    let in_use = machine.state_digest();
    let refused = writer.retire(&mut before(&mut machine, &mut first), low);
    assert_eq!(refused, Err(RetireError::HoldsMemmap { frames: low, needed_by: high }));
    assert!(model.is_valid(low.start()) && model.is_valid(high.start()), "nothing was retired");
    assert_eq!((first.in_use().get(), machine.state_digest()), (512, in_use));
    let refused = first.release().unwrap_err();
    assert_eq!(refused.error, StillInUse { base: low.start(), in_use: PageCount::new(512) });
    let mut first = refused.returned;

    // The neighbour may go before: its descriptors are not in its own memory. The block stays for the rest.
    let mut behind = before(&mut machine, &mut first);
    let retired = writer.retire(&mut before(&mut behind, &mut second), high).unwrap();
    assert_eq!((retired.sections, retired.gone, retired.lost.count()), (1, 0, 0));
    let retired = writer.retire(&mut before(&mut machine, &mut first), low).unwrap();
    assert_eq!((retired.sections, retired.gone, retired.lost.count()), (1, 1, 0));
    assert!(machine.balance().is_zero());

    // Or both go together.
    writer.install(&mut before(&mut machine, &mut first), low, NODE).unwrap();
    writer.install(&mut before(&mut machine, &mut second), high, NODE).unwrap();
    let mut behind = before(&mut machine, &mut first);
    let retired = writer.retire(&mut before(&mut behind, &mut second), both).unwrap();
    assert_eq!((retired.sections, retired.gone, retired.lost.count()), (1, 1, 0));
    assert!(first.release().is_ok() && second.release().is_ok());
    assert!(machine.balance().is_zero());
}
