//! Who uses which boot-allocated metadata page, what may be freed, and which section has to go first.
//!
//! At boot, memmaps, usages, tables and node data are laid wherever there is memory: in the section that they describe,
//! or in another. When sections go, three questions come up. May a page be freed, or does it leave with its section?
//! Who else uses it? And which section has to go before this one? The [`Registry`] answers them from what boot told it:
//! every [`Piece`] of metadata, and who uses it.
//!
//! Source: Linux `mm/bootmem_info.c`, from the 2008 patch "register section/node id to free" until 2026. Its five
//! points, of which Linux had the first two:
//!
//! 1. Memmap of a removed section that lies in another section is freed: [`Fate::Free`].
//! 2. Memmap that lies in the removed section is not, because it leaves with it: [`Fate::Leaves`].
//! 3. A section that holds metadata of others is removed after them, and the user is told so, or told the cycle that
//!    makes it impossible: [`Registry::removal_plan`].
//! 4. Offlining tells a section's own metadata from pages in use: [`Registry::page_use`],
//!    [`Registry::own_memmap_pages`].
//! 5. Node data goes with the last section of its node: [`Registry::release_section`].
//!
//! There are two records. Each page has a [`Tag`] with kind, user and count, in a [`TagStore`] of the kernel's choice,
//! usually a word of the page's own descriptor ([`DescriptorTags`]): it answers in one load what a page is. A tag names
//! one user only, which is why Linux could not answer question 3 even when it had all tags. So the registry also keeps
//! the pieces, sorted by address, in slices that the kernel sets aside ([`Storage`]). Tags follow from pieces.
//!
//! # Removing a section
//!
//! [`Registry::removal_plan`] says which sections go first. For each of them: offline it and retire its frames through
//! an environment that asks [`Registry::release_block`] about every block of boot, then call
//! [`Registry::release_section`] for what nobody gave back, node data among it. This crate has no unsafe code, and the
//! provider traits are unsafe, so the kernel writes the environment; the decision is one `match`:
//!
//! ```
//! use sparsemem_bootmem_registration::{Disposition, Registry, TagStore};
//! use sparsemem_core::{Block, ForeignBlock, Geometry, MetadataMemory, Origin, Rejected};
//!
//! /// `MetadataMemory::free` of the kernel's environment, in front of the environment `inner`.
//! fn free<E: MetadataMemory, G: Geometry, S: TagStore>(
//!     inner: &mut E,
//!     registry: &mut Registry<'_, G, S>,
//!     block: Block,
//!     free_pages: &mut dyn FnMut(sparsemem_core::PfnRange),
//! ) -> Result<(), Rejected<ForeignBlock, Block>> {
//!     if block.origin() != Origin::Boot {
//!         return inner.free(block);
//!     }
//!     let decision = registry.release_block(&block, &mut |run| {
//!         if run.is_free() {
//!             free_pages(run.pages);
//!         }
//!     });
//!     match decision {
//!         Ok(Disposition::NotRegistered) => inner.free(block),
//!         Ok(_) => Ok(()), // its free pages were told; what leaves or is shared needs nothing
//!         Err(_) => Err(Rejected { error: block.foreign(), returned: block }),
//!     }
//! }
//! ```
//!
//! A memory block of several sections goes at once, in one operation. Then the pages that are told to be free count only
//! where they lie outside the block, and its sections are released in an order in which each is after those whose
//! metadata it holds.
//!
//! # Offline and online
//!
//! The page allocator never had the pages of boot metadata. So it can neither isolate them when their block goes
//! offline nor get them when it comes back, and a block with metadata of another must not go offline at all: its memory
//! could be removed next. Hotplug (`sparsemem-hotplug`) asks this of whoever implements its `Reserved`, and the
//! registry answers:
//!
//! ```
//! use sparsemem_bootmem_registration::{Registry, TagStore};
//! use sparsemem_core::{Geometry, MarkModel, PageCount, PfnRange};
//! use sparsemem_hotplug::{AllocatorHooks, Hotplug, OfflineError, Reserved, WithReserved};
//!
//! struct Metadata<'q, 'r, G, S> {
//!     registry: &'q Registry<'r, G, S>,
//!     /// Frames of a memory block.
//!     block: PageCount,
//! }
//!
//! impl<G: Geometry, S: TagStore> Reserved for Metadata<'_, '_, G, S> {
//!     fn pinned(&self, frames: PfnRange) -> Option<PfnRange> {
//!         self.registry.first_pinned(frames, self.block).map(|pinned| pinned.pages)
//!     }
//!
//!     fn next_reserved(&self, frames: PfnRange) -> Option<PfnRange> {
//!         self.registry.next_metadata(frames)
//!     }
//! }
//!
//! fn offline<M: MarkModel, S: TagStore>(
//!     hotplug: &mut Hotplug<'_, M>,
//!     allocator: &mut impl AllocatorHooks,
//!     registry: &Registry<'_, M::Geometry, S>,
//!     frames: PfnRange,
//! ) -> Result<(), OfflineError> {
//!     let block = hotplug.limits().block.frames();
//!     hotplug.offline(&mut WithReserved::new(allocator, Metadata { registry, block }), frames)
//! }
//! ```
//!
//! Bringing a block online in the same way keeps the tags in its descriptors. When offlining is refused, [`Registry::page_use`] of the first refused frame says who is in the way, and
//! [`Registry::removal_plan`] in which order sections can go.
//!
//! # What has to be registered
//!
//! A page is free when no registered piece is left on it. So whatever boot laid on a page beside metadata, say in the
//! rest of the usages' page, has to be registered too, or kept off such pages. Page tables and roots count as metadata:
//! each section that needs one names it ([`SectionMetadata::tables`]).
//!
//! # Invariants
//!
//! 1. Pieces are disjoint or identical, and sorted: identical ones are one block with several users.
//! 2. The tag of a page follows from the pieces that touch it. A page whose descriptor is gone has no tag.
//! 3. A call that fails has changed nothing.
//! 4. Nothing here allocates, recurses, or frees: what may be freed is told, and the kernel does it.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod error;
mod offline;
mod piece;
mod registry;
mod release;
mod removal_order;
mod slots;
mod store;
mod tag;

pub use error::{PlanError, RegisterError, ReleaseError};
pub use offline::{PageUse, Pinned};
pub use piece::{Piece, PieceSlot, Purpose, SectionSlot, User};
pub use registry::{Registry, SectionMetadata, Storage};
pub use release::{Disposition, Fate, PageRun, Released};
pub use removal_order::{PlanSlot, Removal};
pub use store::{BootmemTag, DescriptorTags, SliceTags, TagStore, TagStoreError};
pub use tag::{Kind, Tag, TagError};
