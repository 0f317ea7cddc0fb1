//! The environment: metadata consists of whole frames of the page allocator, reached through the direct map; mappings
//! are in the page tables that the processor uses.

use core::alloc::Layout;
use core::ptr::NonNull;

use sparsemem::{
    AddressSpace, Block, ForeignBlock, MetadataMemory, NodeId, Origin, OutOfMemory, PagingDepth, PhysAddr,
    PhysMap, Rejected, VirtRange,
};
use spin::Mutex;

use crate::arch::{page_table, processors};
use crate::defect::Defect;
use crate::frames::FRAMES;
use crate::{direct_map, paging};

/// Bytes of a frame.
const FRAME: usize = 4096;

/// The byte that fills memory which was given back, until it is given out again: whoever reads it has kept it too long.
pub(crate) const POISON: u8 = 0xa5;

/// The number of frames of a block; at least one, so that empty blocks have distinct addresses.
const fn frames(layout: Layout) -> usize {
    let frames = layout.size().div_ceil(FRAME);
    if frames == 0 { 1 } else { frames }
}

/// Metadata memory with one origin: [`Origin::Boot`] before the kernel has its heap, [`Origin::Runtime`] afterwards.
#[derive(Debug)]
pub(crate) struct Provider(pub(crate) Origin);

// SAFETY: the direct map reaches every frame that the page allocator has, for as long as it has it.
unsafe impl PhysMap for Provider {
    fn phys_to_virt(&self, at: PhysAddr) -> NonNull<u8> {
        direct_map::to_virt(at).unwrap_or(NonNull::dangling())
    }

    fn virt_to_phys(&self, at: NonNull<u8>) -> Option<PhysAddr> {
        direct_map::to_phys(at)
    }
}

// SAFETY: (1) the page allocator gives a frame to one owner at a time; (2) blocks are zeroed here; (3) they are whole
// frames, aligned as requested; (4) the page allocator knows both ends of the blocks that it gave out, and takes no
// other memory back; (5) nothing here unwinds.
unsafe impl MetadataMemory for Provider {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        let align = layout.align().div_ceil(FRAME);
        let phys = FRAMES.lock().take_block(frames(layout), align, node);
        let phys = phys.ok_or(OutOfMemory::new(layout, node))?;
        let start = self.phys_to_virt(phys);
        // SAFETY: the frames were given to this block alone, and the direct map reaches them.
        unsafe { start.write_bytes(0, layout.size()) };
        // SAFETY: the frames were given to this block alone, and the direct map reaches them; the page allocator
        // aligned them as requested.
        Ok(unsafe { Block::from_parts(start, phys, layout, self.0) })
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        let count = frames(block.layout());
        let is_ours = block.origin() != Origin::Altmap && FRAMES.lock().is_whole_block(block.phys(), count);
        if !is_ours {
            return Err(Rejected { error: block.foreign(), returned: block });
        }
        // SAFETY: the frames were given to this block alone, which nobody uses any more, and the direct map reaches them.
        unsafe { block.start().write_bytes(POISON, count * FRAME) };
        flush_late();
        FRAMES.lock().put_block(block.phys(), count);
        Ok(())
    }
}

/// A flush that a broken variant of this kernel makes too late.
static LATE: Mutex<Option<VirtRange>> = Mutex::new(None);

/// Makes the flush that is late, if there is one.
fn flush_late() {
    let late = LATE.lock().take();
    late.into_iter().for_each(processors::flush_everywhere);
}

// SAFETY: `root` is the table that all processors use for the kernel's addresses, only the model uses the array's place
// (`Array`), and `flush` returns when every processor has flushed.
unsafe impl AddressSpace for Provider {
    fn root(&self) -> PhysAddr {
        page_table::root()
    }

    fn depth(&self) -> PagingDepth {
        paging::depth()
    }

    fn published(&mut self, range: VirtRange) {
        processors::published_everywhere(range);
    }

    fn flush(&mut self, range: VirtRange) {
        if Defect::FreedBeforeFlush.is_on() {
            *LATE.lock() = Some(range);
        } else {
            processors::flush_everywhere(range);
        }
    }
}
