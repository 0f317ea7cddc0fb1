//! Forwarding: a reference to a model is the model, and an environment that wraps another forwards what it does not change.

use core::ptr::NonNull;

use crate::{
    ByteLen, EarlyFrames, Folded, Footprint, LookupError, MemoryModel, MemoryRange, Pfn, PfnRange, Reclaim,
    SectionNr, SectionState, Writer, WriterSlot,
};

/// Implements [`PhysMap`](crate::PhysMap), [`MetadataMemory`](crate::MetadataMemory) or
/// [`AddressSpace`](crate::AddressSpace) for a type by forwarding every method to a field.
///
/// For environments that change the source of memory, or what happens to page tables, and nothing else: one that counts,
/// one that fails on purpose, a router between allocators. In a handwritten impl a method with a default is easily forgotten, and then the default
/// replaces the method of the wrapped environment.
///
/// `unsafe` is the caller's argument that the field is one environment for as long as the value lives, or is only
/// exchanged for one that the contracts of both traits allow in its place. Generics are written in the brackets.
///
/// ```
/// use sparsemem_core::{AddressSpace, PhysMap, forward_to_field};
///
/// /// Counts the requests for memory.
/// struct Counting<'e, E> {
///     env: &'e mut E,
///     requests: u64,
/// }
///
/// // SAFETY: the borrow keeps the environment in its place.
/// forward_to_field!(unsafe impl ['e, E: PhysMap] PhysMap for Counting<'e, E> => env);
/// // SAFETY: as above.
/// forward_to_field!(unsafe impl ['e, E: AddressSpace] AddressSpace for Counting<'e, E> => env);
/// ```
#[macro_export]
macro_rules! forward_to_field {
    // SAFETY: no impl yet: a pattern, and the code that writes `unsafe` has the argument.
    (unsafe impl [$($generics:tt)*] PhysMap for $name:ty => $field:tt) => {
        // SAFETY: the environment in the field keeps the contract, and the caller says that it stays.
        unsafe impl<$($generics)*> $crate::PhysMap for $name {
            fn phys_to_virt(&self, at: $crate::PhysAddr) -> ::core::ptr::NonNull<u8> {
                use $crate::PhysMap as _;
                self.$field.phys_to_virt(at)
            }

            fn virt_to_phys(&self, at: ::core::ptr::NonNull<u8>) -> ::core::option::Option<$crate::PhysAddr> {
                use $crate::PhysMap as _;
                self.$field.virt_to_phys(at)
            }
        }
    };
    // SAFETY: a pattern, as above.
    (unsafe impl [$($generics:tt)*] MetadataMemory for $name:ty => $field:tt) => {
        // SAFETY: as for `PhysMap`: the blocks are those of the environment in the field.
        unsafe impl<$($generics)*> $crate::MetadataMemory for $name {
            fn alloc_zeroed(
                &mut self,
                layout: ::core::alloc::Layout,
                node: $crate::NodeId,
            ) -> ::core::result::Result<$crate::Block, $crate::OutOfMemory> {
                use $crate::MetadataMemory as _;
                self.$field.alloc_zeroed(layout, node)
            }

            fn alloc_memmap(
                &mut self,
                layout: ::core::alloc::Layout,
                node: $crate::NodeId,
            ) -> ::core::result::Result<$crate::Block, $crate::OutOfMemory> {
                use $crate::MetadataMemory as _;
                self.$field.alloc_memmap(layout, node)
            }

            fn free(
                &mut self,
                block: $crate::Block,
            ) -> ::core::result::Result<(), $crate::Rejected<$crate::ForeignBlock, $crate::Block>> {
                use $crate::MetadataMemory as _;
                self.$field.free(block)
            }

            fn has_altmap(&self, memory: $crate::PhysRange) -> bool {
                use $crate::MetadataMemory as _;
                self.$field.has_altmap(memory)
            }
        }
    };
    // SAFETY: a pattern, as above.
    (unsafe impl [$($generics:tt)*] AddressSpace for $name:ty => $field:tt) => {
        // SAFETY: as for `PhysMap`.
        unsafe impl<$($generics)*> $crate::AddressSpace for $name {
            fn root(&self) -> $crate::PhysAddr {
                use $crate::AddressSpace as _;
                self.$field.root()
            }

            fn depth(&self) -> $crate::PagingDepth {
                use $crate::AddressSpace as _;
                self.$field.depth()
            }

            fn largest_leaf(&self) -> $crate::LeafSize {
                use $crate::AddressSpace as _;
                self.$field.largest_leaf()
            }

            fn linked(
                &mut self,
                at: $crate::VirtAddr,
                to: $crate::PhysAddr,
                size: $crate::LeafSize,
            ) -> ::core::result::Result<(), $crate::LinkRefused> {
                use $crate::AddressSpace as _;
                self.$field.linked(at, to, size)
            }

            fn linked_shared(
                &mut self,
                at: $crate::VirtAddr,
                to: $crate::PhysAddr,
                size: $crate::LeafSize,
            ) -> ::core::result::Result<(), $crate::LinkRefused> {
                use $crate::AddressSpace as _;
                self.$field.linked_shared(at, to, size)
            }

            fn root_changed(&mut self, at: $crate::VirtAddr) {
                use $crate::AddressSpace as _;
                self.$field.root_changed(at);
            }

            fn published(&mut self, range: $crate::VirtRange) {
                use $crate::AddressSpace as _;
                self.$field.published(range);
            }

            fn flush(&mut self, range: $crate::VirtRange) {
                use $crate::AddressSpace as _;
                self.$field.flush(range);
            }
        }
    };
}

// SAFETY: every method forwards to the referenced model, whose implementor made the promise.
unsafe impl<M: MemoryModel> MemoryModel for &M {
    type Geometry = M::Geometry;
    type Page = M::Page;
    type Reclaim = M::Reclaim;

    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn early_frames(&self) -> EarlyFrames {
        (**self).early_frames()
    }

    #[inline]
    fn lookup_with(
        &self,
        pfn: Pfn,
        guard: &<Self::Reclaim as Reclaim>::Guard,
    ) -> Option<NonNull<Self::Page>> {
        (**self).lookup_with(pfn, guard)
    }

    #[inline]
    fn lookup_online_with(
        &self,
        pfn: Pfn,
        guard: &<Self::Reclaim as Reclaim>::Guard,
    ) -> Option<NonNull<Self::Page>> {
        (**self).lookup_online_with(pfn, guard)
    }

    #[inline]
    unsafe fn lookup_unchecked(&self, pfn: Pfn) -> NonNull<Self::Page> {
        // SAFETY: the caller's promise is the same.
        unsafe { (**self).lookup_unchecked(pfn) }
    }

    #[inline]
    unsafe fn pfn_of(&self, page: NonNull<Self::Page>) -> Pfn {
        // SAFETY: the caller's promise is the same.
        unsafe { (**self).pfn_of(page) }
    }

    #[inline]
    fn is_valid(&self, pfn: Pfn) -> bool {
        (**self).is_valid(pfn)
    }

    fn explain(
        &self,
        pfn: Pfn,
        guard: &<Self::Reclaim as Reclaim>::Guard,
    ) -> Result<NonNull<Self::Page>, LookupError> {
        (**self).explain(pfn, guard)
    }

    fn section(&self, nr: SectionNr) -> SectionState {
        (**self).section(nr)
    }

    fn folded(&self, nr: SectionNr, guard: &<Self::Reclaim as Reclaim>::Guard) -> Option<Folded> {
        (**self).folded(nr, guard)
    }

    fn next_present(&self, from: SectionNr) -> Option<SectionNr> {
        (**self).next_present(from)
    }

    fn next_valid(&self, within: PfnRange) -> Option<PfnRange> {
        (**self).next_valid(within)
    }

    fn writer_slot(&self) -> &WriterSlot {
        (**self).writer_slot()
    }

    fn footprint(&self) -> Footprint {
        (**self).footprint()
    }

    fn reserve(writer: &mut Writer<'_, Self>, frames: PfnRange) {
        let inner: &M = writer.model();
        writer.project(inner).reserve(frames);
    }

    fn boot_bytes<I: Iterator<Item = MemoryRange> + Clone>(&self, memory: I) -> ByteLen {
        (**self).boot_bytes(memory)
    }
}
