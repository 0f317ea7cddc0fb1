//! Folds and unfolds compounds whose memory is up: new leaves are made aside, filled, and take the places of those in use.
//!
//! A fold lets leaves of tails lead to the shared page. Where a leaf of the second level has to be split for that, all other
//! descriptors in it get pages of their own, and its memory, which was one block, is given back as one. An unfold gives each
//! leaf of a tail a page of its own.
//!
//! Nobody has to wait before the old memory is given back: readers reach descriptors through the array's addresses only, and
//! after the flush these lead to the new memory on every processor.
//!
//! # Invariants
//!
//! 1. Everything is allocated, compared and copied before the first leaf in use changes; nothing fails after that.
//! 2. A shared page has a count for each leaf in use that maps it, and for each that is made aside.

use sparsemem_core::{
    AddressSpace, ByteLen, CompoundOrder, FoldError, LeafSize, LostBlocks, MetadataMemory, NodeId, Origin,
    Pfn, PfnRange, PhysAddr, RefoldError, SectionLoss, VirtAddr, VirtRange,
};
use sparsemem_page_table::{
    Choice, EntryFormat, Level, Mapping, PageTable, Plan, Small, StageError, Staging, Walk,
};
use sparsemem_section::{FoldRequest, Moved, SectionTable, Writing};

use crate::array::memory_of;
use crate::bytes::Bytes;
use crate::populate::{loss, page_table};
use crate::{ArrayBase, VirtualArray};

/// One page for one leaf.
struct One(Small);

// SAFETY: a shared page is of the array's list, which gives it back when its leaves are gone and flushed (`Tails::give_back`), and
// whoever folds has promised that nobody writes to tails (`ReadOnlyTails`).
unsafe impl Plan for One {
    fn large(&mut self, _: VirtRange, _: LeafSize) -> Choice {
        Choice::Smaller
    }

    fn small(&mut self, _: VirtRange) -> Small {
        self.0
    }
}

/// The error of metadata that cannot be had.
fn no_metadata(frames: PfnRange, why: SectionLoss) -> RefoldError {
    RefoldError::NoMetadata { frames, why, lost: LostBlocks::default() }
}

/// A fold or an unfold in progress.
struct Refold<'r, B, F, E> {
    array: &'r VirtualArray<B, F>,
    env: &'r mut E,
    lost: &'r mut LostBlocks,
    tables: PageTable<F>,
    staging: Staging<F>,
    frames: PfnRange,
    node: NodeId,
    /// The descriptors that may move: those of `frames`, and what lies in a large leaf with them.
    span: VirtRange,
    page: LeafSize,
    descriptor: usize,
}

impl<B: ArrayBase, F: EntryFormat> VirtualArray<B, F> {
    /// The body of [`Populate::fold`](sparsemem_section::Populate::fold).
    pub(crate) fn fold_up<T, E>(
        writing: &Writing<'_, T, Self>,
        env: &mut E,
        request: &FoldRequest,
        announce: &mut dyn FnMut(&Writing<'_, T, Self>),
        lost: &mut LostBlocks,
    ) -> Result<Moved, RefoldError>
    where
        T: SectionTable,
        E: MetadataMemory + AddressSpace,
    {
        let FoldRequest { frames, node, order, .. } = *request;
        let mut refold = Refold::begin::<T>(writing.placement(), env, frames, node, lost)?;
        let made = refold.check_leaves::<T>(request).and_then(|()| refold.stage_fold::<T>(order));
        let made = made.and_then(|()| {
            announce(writing);
            refold.fill::<T>(order)
        });
        match made {
            Ok(()) => Ok(refold.finish::<T>()),
            Err(why) => Err(refold.undo(why)),
        }
    }

    /// The body of [`Populate::unfold`](sparsemem_section::Populate::unfold).
    pub(crate) fn unfold_up<T, E>(
        writing: &Writing<'_, T, Self>,
        env: &mut E,
        frames: PfnRange,
        node: NodeId,
        lost: &mut LostBlocks,
    ) -> Result<Moved, RefoldError>
    where
        T: SectionTable,
        E: MetadataMemory + AddressSpace,
    {
        let mut refold = Refold::begin::<T>(writing.placement(), env, frames, node, lost)?;
        match refold.stage_unfold() {
            Ok(()) => Ok(refold.finish::<T>()),
            Err(why) => Err(refold.undo(why)),
        }
    }
}

impl<'r, B: ArrayBase, F: EntryFormat, E: MetadataMemory + AddressSpace> Refold<'r, B, F, E> {
    fn begin<T: SectionTable>(
        array: &'r VirtualArray<B, F>,
        env: &'r mut E,
        frames: PfnRange,
        node: NodeId,
        lost: &'r mut LostBlocks,
    ) -> Result<Self, RefoldError> {
        let page = F::leaf_size(Level::PTE).ok_or(FoldError::Unsupported)?;
        let span = array.bytes_of::<T::Page>(frames).ok_or(no_metadata(frames, SectionLoss::OutsideRange))?;
        let tables = page_table::<F, E>(env);
        let staging = tables.stage(env, node).map_err(|error| match error {
            StageError::OutOfMemory(error) => no_metadata(frames, SectionLoss::Memmap(error)),
            _ => RefoldError::InUse,
        })?;
        let descriptor = size_of::<T::Page>();
        Ok(Self { array, env, lost, tables, staging, frames, node, span, page, descriptor })
    }

    /// The leaf in use for an address of the array.
    fn leaf(&self, at: VirtAddr) -> Option<Mapping> {
        match self.tables.walk(self.env, at) {
            Walk::Leaf(leaf) => Some(leaf),
            _ => None,
        }
    }

    /// The pages of a range, in order of address.
    fn pages(&self, range: VirtRange) -> impl Iterator<Item = VirtRange> + use<B, F, E> {
        let bytes = self.page.bytes();
        let starts = (range.start().get()..range.end().get()).step_by(self.page.layout().size());
        starts.filter_map(move |at| VirtRange::from_start_count(VirtAddr::new(at), ByteLen::new(bytes)))
    }

    /// True if a page of descriptors is of tails: it has none of a head, and pages hold those of one compound.
    fn is_tail<T: SectionTable>(&self, page: VirtRange, order: CompoundOrder) -> bool {
        let first = self.array.frames_in::<T::Page>(page).start();
        self.frames.contains(first) && order.head_of(first) != first
    }

    /// Refuses leaves that cannot be replaced, and makes the span so wide that it has all of each.
    fn check_leaves<T: SectionTable>(&mut self, request: &FoldRequest) -> Result<(), RefoldError> {
        let (frames, second) = (request.frames, F::leaf_size(Level::PMD));
        let mut span = self.span;
        for leaf in self.tables.mappings(self.env, self.span) {
            let (size, at) = (leaf.size, leaf.range.start());
            if size > self.page && Some(size) != second {
                return Err(RefoldError::LargeLeaf { at, size });
            }
            let moved = self.array.frames_in::<T::Page>(leaf.range);
            if size > self.page && !request.quiet.frames().contains_range(moved) {
                return Err(RefoldError::NotQuiet { frames: moved });
            }
            let is_replaced = size > self.page || self.is_tail::<T>(leaf.range, request.order);
            if let (true, Some(Origin::Altmap)) = (is_replaced, leaf.origin) {
                let other = memory_of(leaf.phys, size).filter(|memory| !self.env.has_altmap(*memory));
                other.map_or(Ok(()), |memory| Err(RefoldError::OtherAltmap { frames, memory }))?;
            }
            let (start, end) = (span.start().min(at), span.end().max(leaf.range.end()));
            span = VirtRange::new(start, end).unwrap_or(span);
        }
        self.span = span;
        Ok(())
    }

    /// Makes leaves for tails, and for what lies in a large leaf with them.
    fn stage_fold<T: SectionTable>(&mut self, order: CompoundOrder) -> Result<(), RefoldError> {
        let mut shared: Option<(Pfn, PhysAddr)> = None;
        for page in self.pages(self.span) {
            let Some(leaf) = self.leaf(page.start()) else { continue };
            if self.is_tail::<T>(page, order) {
                let group = self.first_tail::<T>(page, order);
                let known = shared.filter(|known| known.0 == group).map(|known| known.1);
                let to = known.map_or_else(|| self.shared_page(order, page.start(), &leaf), Ok)?;
                shared = Some((group, to));
                self.put(page, Small::Shared(to))?;
            } else if leaf.size > self.page {
                self.put(page, Small::New)?;
            }
        }
        Ok(())
    }

    /// The first tail of a page's compound that is in the same section: descriptors may have a stamp of their section.
    fn first_tail<T: SectionTable>(&self, page: VirtRange, order: CompoundOrder) -> Pfn {
        let first = self.array.frames_in::<T::Page>(page).start();
        let head = order.head_of(first);
        let own = self.array.frames_in::<T::Page>(page).count();
        let section = first.section::<T::Geometry>().first_pfn::<T::Geometry>().unwrap_or(head);
        section.max(head.saturating_add(own))
    }

    /// The shared page for tails like the first of a page in use.
    fn shared_page(
        &mut self,
        order: CompoundOrder,
        at: VirtAddr,
        leaf: &Mapping,
    ) -> Result<PhysAddr, RefoldError> {
        let (layout, like) = (self.page.layout(), memory_at(leaf, at));
        let (group, tail) = ((order, self.node), (like, self.descriptor));
        // SAFETY: the caller is the writer: it has the token.
        let taken = unsafe { self.array.tails.take_like(self.env, layout, group, tail, self.lost) };
        let (page, new_bytes) =
            taken.map_err(|error| no_metadata(self.frames, SectionLoss::Memmap(error)))?;
        self.array.add_leaf_bytes(new_bytes);
        Ok(page)
    }

    /// Makes leaves of their own for pages that are shared.
    fn stage_unfold(&mut self) -> Result<(), RefoldError> {
        for page in self.pages(self.span) {
            let Some(leaf) = self.leaf(page.start()).filter(|leaf| leaf.origin.is_none()) else { continue };
            self.put(page, Small::New)?;
            if let Some(new) = self.staging.leaf(self.env, page.start()) {
                self.new_bytes(&new).copy_from(self.bytes(&leaf, page));
            }
        }
        Ok(())
    }

    /// Makes a leaf aside.
    fn put(&mut self, page: VirtRange, small: Small) -> Result<(), RefoldError> {
        let put = self.staging.put(self.env, self.node, page, &mut One(small), self.lost);
        put.map_err(|error| no_metadata(self.frames, loss(error)))?;
        if let Small::Shared(page) = small {
            // SAFETY: the caller is the writer: it has the token.
            unsafe { self.array.tails.add(page, 1) };
        }
        Ok(())
    }

    /// Compares tails with the page that they are going to share, and copies the other descriptors.
    fn fill<T: SectionTable>(&mut self, order: CompoundOrder) -> Result<(), RefoldError> {
        for page in self.pages(self.span) {
            let (Some(new), Some(leaf)) =
                (self.staging.leaf(self.env, page.start()), self.leaf(page.start()))
            else {
                continue;
            };
            let (old, new_bytes) = (self.bytes(&leaf, page), self.new_bytes(&new));
            if new.origin.is_some() {
                new_bytes.copy_from(old);
            } else if let Some(place) = new_bytes.first_difference(old) {
                let first = self.array.frames_in::<T::Page>(page).start();
                let pfn = Pfn::new(first.get() + (place / self.descriptor) as u64);
                let like = self.first_tail::<T>(page, order);
                return Err(RefoldError::Differs { pfn, like, lost: LostBlocks::default() });
            }
        }
        Ok(())
    }

    /// The bytes of a page of descriptors in use.
    fn bytes(&self, leaf: &Mapping, page: VirtRange) -> Bytes<'_> {
        // SAFETY: a page of a leaf in use, which stays so while `self` is there. Nobody stores to tails, and to others in a
        // large leaf, by the promises of whoever folds (`ReadOnlyTails`, `QuietDescriptors`).
        unsafe { Bytes::at(self.env, memory_at(leaf, page.start()), self.page.layout().size()) }
    }

    /// The bytes of a leaf that was made aside.
    fn new_bytes(&self, leaf: &Mapping) -> Bytes<'_> {
        // SAFETY: a page that was made aside, or one that tails share, to which nobody stores; it stays while `self` is there.
        unsafe { Bytes::at(self.env, leaf.phys, self.page.layout().size()) }
    }

    /// Puts the new leaves into the places of the old ones.
    fn finish<T: SectionTable>(self) -> Moved {
        let Self { array, env, lost, tables, staging, span, .. } = self;
        // SAFETY: this is the writer: it has the token.
        let gone = |leaf: &Mapping| unsafe { array.note_unmapped(leaf) };
        let done = staging.exchange(&tables, env, span, gone, lost);
        let (taken, given_back) = (done.made().leaves().bytes(), done.dropped().bytes());
        array.exchange_counts(&done);
        // SAFETY: as above, and the exchange has flushed what is gone.
        unsafe { array.drop_tails(env, lost) };
        let frames = array.frames_in::<T::Page>(span);
        Moved { frames, has_altmap: done.made().has_leaf_from(Origin::Altmap), given_back, taken }
    }

    /// Gives back what was made; the reason stays.
    fn undo(self, why: RefoldError) -> RefoldError {
        let Self { array, env, lost, staging, span, .. } = self;
        // SAFETY: this is the writer: it has the token.
        let gone = |leaf: &Mapping| unsafe { array.note_unmapped(leaf) };
        staging.discard(env, span, gone, lost);
        // SAFETY: as above, and no processor walks the tables aside.
        unsafe { array.drop_tails(env, lost) };
        why
    }
}

/// The memory that a leaf has for an address.
fn memory_at(leaf: &Mapping, at: VirtAddr) -> PhysAddr {
    let inside = at.offset_from(leaf.range.start()).unwrap_or(ByteLen::new(0));
    leaf.phys.saturating_add(inside)
}
