//! Frame allocators of other crates, as sources of metadata: each by a feature of that crate's name.

#[cfg(feature = "buddy_system_allocator")]
pub use buddy::Buddy;
#[cfg(feature = "x86_64")]
pub use x86_64_frames::X86Frames;

/// The frame allocator of the crate `buddy_system_allocator`.
#[cfg(feature = "buddy_system_allocator")]
mod buddy {
    use core::alloc::Layout;

    use buddy_system_allocator::FrameAllocator;
    use sparsemem_core::{Geometry, NodeId, Pfn, PhysAddr, SectionShape};

    use crate::FrameSource;

    /// A buddy allocator that counts in frames, as a source of metadata. A block takes the next power of two of frames.
    pub struct Buddy<G, const ORDER: usize> {
        frames: FrameAllocator<ORDER>,
        geometry: core::marker::PhantomData<fn() -> G>,
    }

    impl<G: Geometry, const ORDER: usize> Buddy<G, ORDER> {
        /// A source over an allocator.
        ///
        /// # Safety
        ///
        /// The frames that were added to the allocator are RAM, and nobody else uses those that are free.
        #[must_use]
        pub const unsafe fn new(frames: FrameAllocator<ORDER>) -> Self {
            Self { frames, geometry: core::marker::PhantomData }
        }

        /// The frames for a block, as a layout of the allocator, whose unit is one frame.
        fn frames_of(layout: Layout) -> Option<Layout> {
            let page = usize::try_from(G::PAGE_SIZE).ok()?;
            let align = layout.align().div_ceil(page);
            Layout::from_size_align(layout.size().div_ceil(page).max(1), align).ok()
        }
    }

    impl<G, const ORDER: usize> core::fmt::Debug for Buddy<G, ORDER> {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            f.debug_struct("Buddy").field("order", &ORDER).finish_non_exhaustive()
        }
    }

    // SAFETY: the allocator gives no frame twice, in powers of two and aligned to them; the constructor's caller says that its
    // frames are free RAM. A heap that its lists exhaust ends the kernel.
    unsafe impl<G: Geometry, const ORDER: usize> FrameSource for Buddy<G, ORDER> {
        fn take(&mut self, layout: Layout, _node: NodeId) -> Option<PhysAddr> {
            let first = self.frames.alloc_aligned(Self::frames_of(layout)?)?;
            Pfn::new(first as u64).phys::<G>()
        }

        unsafe fn give_back(&mut self, at: PhysAddr, layout: Layout) {
            let first = usize::try_from(at.pfn::<G>().get());
            if let (Ok(first), Some(frames)) = (first, Self::frames_of(layout)) {
                self.frames.dealloc_aligned(first, frames);
            }
        }
    }
}

/// Frame allocators of the crate `x86_64`, which give one frame of one size at a time.
#[cfg(feature = "x86_64")]
mod x86_64_frames {
    use core::alloc::Layout;

    use sparsemem_core::{NodeId, PhysAddr};
    use x86_64::structures::paging::{
        FrameAllocator, FrameDeallocator, PageSize, PhysFrame, Size2MiB, Size4KiB,
    };

    use crate::FrameSource;

    /// A frame allocator of 4 KiB and 2 MiB frames, as a source of metadata.
    ///
    /// A block takes one frame, the smallest that it fits into, and blocks of more than 2 MiB are refused. So sections of 128 MiB
    /// with descriptors of 64 bytes take one 2 MiB frame each, in the table models as in vmemmap. With descriptors of more bytes
    /// only vmemmap works.
    #[derive(Debug)]
    pub struct X86Frames<A>(pub A);

    /// The frame of one size at `at`, if a block of this layout fits into it.
    fn frame<S: PageSize>(at: PhysAddr, layout: Layout) -> Option<PhysFrame<S>> {
        let address = x86_64::PhysAddr::try_new(at.get()).ok()?;
        fits::<S>(layout).then(|| PhysFrame::from_start_address(address).ok()).flatten()
    }

    /// True if a block fits into a frame.
    const fn fits<S: PageSize>(layout: Layout) -> bool {
        layout.size() as u64 <= S::SIZE && layout.align() as u64 <= S::SIZE
    }

    /// The address of a frame.
    fn address<S: PageSize>(frame: PhysFrame<S>) -> PhysAddr {
        PhysAddr::new(frame.start_address().as_u64())
    }

    // SAFETY: a `FrameAllocator` returns unique unused frames, aligned to their size, and the block fits into one.
    unsafe impl<A> FrameSource for X86Frames<A>
    where
        A: FrameAllocator<Size4KiB> + FrameDeallocator<Size4KiB>,
        A: FrameAllocator<Size2MiB> + FrameDeallocator<Size2MiB>,
    {
        fn take(&mut self, layout: Layout, _node: NodeId) -> Option<PhysAddr> {
            if fits::<Size4KiB>(layout) {
                return FrameAllocator::<Size4KiB>::allocate_frame(&mut self.0).map(address);
            }
            let fits = fits::<Size2MiB>(layout);
            fits.then(|| FrameAllocator::<Size2MiB>::allocate_frame(&mut self.0)).flatten().map(address)
        }

        unsafe fn give_back(&mut self, at: PhysAddr, layout: Layout) {
            if let Some(small) = frame::<Size4KiB>(at, layout) {
                // SAFETY: the caller says that nobody uses it any more.
                unsafe { self.0.deallocate_frame(small) };
            } else if let Some(large) = frame::<Size2MiB>(at, layout) {
                // SAFETY: as above.
                unsafe { self.0.deallocate_frame(large) };
            }
        }
    }
}
