//! A virtual array that the kernel's own `OffsetPageTable` maps in the simulated machine's tables, while memory is added
//! and removed. The machine shows what was mapped, and compares it with the tables by a walker of its own.

use std::alloc::Layout;
use std::cell::RefCell;
use std::rc::Rc;

use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    AddressSpace, Block, ForeignBlock, LeafSize, LinkRefused, MemoryModel, MetadataMemory, NodeId, Origin,
    OutOfMemory, Page, Pfn, PhysAddr, PhysMap, Rejected, SectionShape, VirtAddr, VirtRange, forward_to_field,
};
use sparsemem_environments::OffsetMapper;
use sparsemem_fixture::{NODE, frames, sections, usual_machine};
use sparsemem_machine::{Access, HostRcu, Leaf, Machine, Which, place, probe};
use sparsemem_vmemmap::{DynamicBase, KernelMapper, Mapped, Mapper, Vmemmap};
use x86_64::structures::paging::{FrameAllocator, OffsetPageTable, PageTable, PhysFrame, Size4KiB};

struct Readers;
type Model = Vmemmap<X86_64, Page, HostRcu<Readers>, DynamicBase, { X86_64::NR_ROOTS_LEN }, KernelMapper>;

/// The machine, which environment, table allocator and test share.
#[derive(Clone)]
struct Shared(Rc<RefCell<Machine>>);

// SAFETY: the machine stays, and its memory does not move.
unsafe impl PhysMap for Shared {
    fn phys_to_virt(&self, at: PhysAddr) -> std::ptr::NonNull<u8> {
        self.0.borrow().phys_to_virt(at)
    }

    fn virt_to_phys(&self, at: std::ptr::NonNull<u8>) -> Option<PhysAddr> {
        self.0.borrow().virt_to_phys(at)
    }
}

// SAFETY: blocks are the machine's.
unsafe impl MetadataMemory for Shared {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        self.0.borrow_mut().alloc_zeroed(layout, node)
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        self.0.borrow_mut().free(block)
    }
}

/// Frames for tables, which are never given back before the end of a test.
#[derive(Clone)]
struct Tables(Shared, Rc<RefCell<Vec<Block>>>);

// SAFETY: a block is given once, zeroed.
unsafe impl FrameAllocator<Size4KiB> for Tables {
    fn allocate_frame(&mut self) -> Option<PhysFrame<Size4KiB>> {
        let block = self.0.alloc_zeroed(LeafSize::Size4KiB.layout(), NODE).ok()?;
        let frame = PhysFrame::from_start_address(x86_64::PhysAddr::new(block.phys().get()));
        self.1.borrow_mut().push(block);
        frame.ok()
    }
}

thread_local! {
    /// The ranges whose translations the mapper has asked to forget, until the machine does.
    static FORGOTTEN: RefCell<Vec<VirtRange>> = const { RefCell::new(Vec::new()) };
}

/// The kernel: its mapper, and the processor that walks the tables, which is the machine.
struct Kernel {
    mapper: OffsetMapper<'static, Tables, Shared>,
    machine: Shared,
    tables: Tables,
}

// SAFETY: the environment is the mapper's.
forward_to_field!(unsafe impl [] PhysMap for Kernel => mapper);

// SAFETY: blocks are the mapper's environment's.
forward_to_field!(unsafe impl [] MetadataMemory for Kernel => mapper);

// SAFETY: the mapper's own, with a machine that shows each mapping, and what is forgotten as soon as `unmap` returns.
unsafe impl Mapper for Kernel {
    fn page(&self) -> LeafSize {
        self.mapper.page()
    }

    fn large(&self) -> Option<LeafSize> {
        self.mapper.large()
    }

    fn walk(&self, at: VirtAddr) -> Mapped {
        self.mapper.walk(at)
    }

    fn map(&mut self, at: VirtAddr, to: PhysAddr, size: LeafSize) -> Result<(), LinkRefused> {
        self.mapper.map(at, to, size)?;
        let shown = self.machine.0.borrow_mut().linked(at, to, size);
        shown.inspect_err(|_| self.unmap(at, size))
    }

    fn unmap(&mut self, at: VirtAddr, size: LeafSize) {
        self.mapper.unmap(at, size);
        let forgotten = FORGOTTEN.with_borrow_mut(std::mem::take);
        forgotten.into_iter().for_each(|range| self.machine.0.borrow_mut().flush(range));
    }

    fn origin_of(&self, to: PhysAddr) -> Origin {
        self.mapper.origin_of(to)
    }
}

impl Kernel {
    fn new() -> (Self, Box<Model>) {
        let mut machine = Machine::new(&usual_machine()).unwrap();
        machine.finish_boot();
        let model = place::<Model>();
        // SAFETY: the window is set aside for a memmap, and this model is the only one on the machine.
        unsafe { model.placement().base().reserve(machine.window_ptr(), machine.window().count().get()) };
        let root = machine.phys_to_virt(machine.root()).cast::<PageTable>();
        let offset = x86_64::VirtAddr::from_ptr(machine.phys_to_virt(PhysAddr::new(0)).as_ptr());
        // SAFETY: the machine's top-level table, which nobody else writes to: the model has no tables of its own.
        let root = unsafe { &mut *root.as_ptr() };
        // SAFETY: all memory of the machine lies at this offset.
        let tables = unsafe { OffsetPageTable::new(root, offset) };
        let machine = Shared(Rc::new(RefCell::new(machine)));
        let frames = Tables(machine.clone(), Rc::default());
        let forget = |range| FORGOTTEN.with_borrow_mut(|forgotten| forgotten.push(range));
        let (env, origin) = (machine.clone(), Origin::Runtime);
        // SAFETY: the machine walks these tables; boot has ended, so all blocks are of run time.
        let mapper = unsafe { OffsetMapper::new(tables, frames.clone(), env, origin, forget) };
        (Self { mapper, machine, tables: frames }, model)
    }

    /// The leaves that are mapped, after the comparison with the tables.
    fn leaves(&self) -> Vec<Leaf> {
        let machine = self.machine.0.borrow();
        machine.mirror_matches_tables().unwrap();
        machine.mirrored().collect()
    }

    /// Blocks of metadata that are out, without tables.
    fn blocks(&self) -> u64 {
        self.machine.0.borrow().balance().total().blocks - self.tables.1.borrow().len() as u64
    }

    /// Ends a test: nothing is out but tables, which go back.
    fn end(mut self) {
        for block in self.tables.1.take() {
            self.machine.free(block).map_err(|refused| refused.error).unwrap();
        }
        let balance = self.machine.0.borrow().balance();
        assert!(balance.is_zero(), "{balance:?}");
    }
}

fn is_readable(model: &Model, pfn: Pfn) -> bool {
    // SAFETY: the address is computed only; the host is asked about it.
    probe(unsafe { model.lookup_unchecked(pfn) }.as_ptr().cast()) == Access::Readable
}

#[test]
fn descriptors_are_mapped_when_memory_is_added_and_unmapped_when_it_is_removed() {
    let (mut kernel, model) = Kernel::new();
    let (whole, one, other) = (sections::<X86_64>(3, 1), frames(2, 0, 1), frames(2, 1, 1));
    model.write().unwrap().install(&mut kernel, whole, NODE).unwrap();
    assert_eq!(kernel.leaves().iter().map(|leaf| leaf.size).collect::<Vec<_>>(), [LeafSize::Size2MiB]);
    // Eight pages hold the descriptors of a subsection.
    model.write().unwrap().install(&mut kernel, one, NODE).unwrap();
    model.write().unwrap().install(&mut kernel, other, NODE).unwrap();
    assert_eq!(kernel.leaves().len(), 1 + 2 * 8);
    for frames in [whole, one, other] {
        assert!(is_readable(&model, frames.start()) && model.lookup(frames.start()).is_some());
    }
    for (frames, left) in [(one, 9), (whole, 8), (other, 0)] {
        let retired = model.write().unwrap().retire(&mut kernel, frames).unwrap();
        assert!(retired.lost.is_empty());
        assert_eq!(kernel.leaves().len(), left);
        assert!(!is_readable(&model, frames.start()) && model.lookup(frames.start()).is_none());
    }
    // The tables stay, and serve the next addition.
    let tables = kernel.tables.1.borrow().len();
    model.write().unwrap().install(&mut kernel, one, NODE).unwrap();
    assert_eq!((kernel.leaves().len(), kernel.tables.1.borrow().len()), (8, tables));
    let _ = model.write().unwrap().retire(&mut kernel, one).unwrap();
    kernel.end();
}

/// Each block, each table and each mapping fails once. What an addition then leaves are tables, as documented: no mapping,
/// no block, and no descriptor; and without the failure the same addition succeeds.
#[test]
fn an_addition_that_fails_leaves_no_mapping() {
    for added in [frames(2, 2, 2), sections::<X86_64>(4, 1), frames(9, 63, 1)] {
        for which in [Which::Blocks, Which::Links] {
            let mut failures = 0;
            for nth in 0.. {
                let (mut kernel, model) = Kernel::new();
                model.write().unwrap().install(&mut kernel, frames(2, 1, 1), NODE).unwrap();
                let (leaves, blocks) = (kernel.leaves(), kernel.blocks());
                kernel.machine.0.borrow_mut().faults().fail_nth(which, nth);
                let result = model.write().unwrap().install(&mut kernel, added, NODE);
                let refused = kernel.machine.0.borrow_mut().faults().refused();
                kernel.machine.0.borrow_mut().faults().heal();
                if result.is_err() {
                    failures += 1;
                    assert_eq!((kernel.leaves(), kernel.blocks()), (leaves, blocks), "{which:?} {nth}");
                    assert!(model.lookup(added.start()).is_none() && !is_readable(&model, added.start()));
                    model.write().unwrap().install(&mut kernel, added, NODE).unwrap();
                }
                assert!(is_readable(&model, added.start()) && is_readable(&model, frames(2, 1, 1).start()));
                kernel.leaves();
                for frames in [added, frames(2, 1, 1)] {
                    let retired = model.write().unwrap().retire(&mut kernel, frames).unwrap();
                    assert!(retired.lost.is_empty());
                }
                assert!(kernel.leaves().is_empty());
                kernel.end();
                if refused == 0 {
                    break;
                }
            }
            assert!(failures > 0, "{which:?} of {added}");
        }
    }
}
