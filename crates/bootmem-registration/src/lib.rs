//! A registry of boot-allocated metadata pages: their users, whether they may be freed, and the order in which
//! sections can be removed.
//!
//! Boot allocates memmaps, usages, tables and node data wherever there is memory: in the section that they describe,
//! or in another. When sections are removed, three questions arise. May a page be freed, or is it removed with its
//! section? Which other users does it have? And which sections must be removed before this one? The [`Registry`]
//! answers them from the records of boot: every [`Piece`] of metadata, and its user.
//!
//! Source: Linux `mm/bootmem_info.c`, from the 2008 patch "register section/node id to free" until 2026. The patch
//! names five points, of which Linux implemented the first two:
//!
//! 1. Memmap of a removed section that lies in another section is freed: [`Fate::Free`].
//! 2. Memmap that lies in the removed section is not freed, because it is removed with the section: [`Fate::Leaves`].
//! 3. A section that holds metadata of others is removed after them. The registry reports that order, or the cycle
//!    that makes the removal impossible: [`Registry::removal_plan`].
//! 4. Offlining distinguishes a section's own metadata from pages in use: [`Registry::page_use`],
//!    [`Registry::own_memmap_pages`].
//! 5. Node data is released with the last section of its node: [`Registry::release_section`].
//!
//! There are two records. Each page has a [`Tag`] with kind, user and count, in a [`TagStore`] of the kernel's
//! choice, usually a word of the page's own descriptor ([`DescriptorTags`]). One load of the tag shows which metadata
//! a page holds. A tag names only one user, which is why Linux could not implement point 3 even when it had all tags.
//! So the registry also keeps the pieces, sorted by address, in slices that the kernel sets aside ([`Storage`]). Tags
//! follow from pieces.
//!
//! # Removing a section
//!
//! [`Registry::removal_plan`] reports the sections to remove, in order. For each of them, take it offline and retire
//! its frames through an environment that calls [`Registry::release_block`] for every block of boot. Then call
//! [`Registry::release_section`] for the pieces that the model did not give back, for example node data. The kernel
//! writes the environment, because the provider traits are unsafe and this crate has no unsafe code; the decision is
//! one `match`:
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
//!         Ok(_) => Ok(()), // its free pages were reported; the others must not be freed
//!         Err(_) => Err(Rejected { error: block.foreign(), returned: block }),
//!     }
//! }
//! ```
//!
//! A memory block of several sections is removed in one operation. In that case, free only those reported pages that
//! lie outside the memory block, and release its sections in an order in which each section follows those whose
//! metadata it holds.
//!
//! # Offline and online
//!
//! The page allocator never had the pages of boot metadata. So it cannot isolate them when their memory block goes
//! offline, and must not get them when the block comes back online. A block with metadata of another must not go
//! offline at all, because its memory could be removed next. Hotplug (`sparsemem-hotplug`) asks for this knowledge
//! through its trait `Reserved`, which the kernel implements with the registry:
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
//! Bringing a block online with the same wrapper keeps the tags in its descriptors. When offlining is refused,
//! [`Registry::page_use`] of the first refused frame reports the user of the metadata, and [`Registry::removal_plan`]
//! reports the order in which sections can be removed.
//!
//! # Data that must be registered
//!
//! A page is free when no registered piece is left on it. So other data that boot puts on a page with metadata, for
//! example in the rest of the usages' page, must be registered too, or must not lie on such pages. Page tables and
//! roots count as metadata: each section that needs one names it ([`SectionMetadata::tables`]).
//!
//! # Invariants
//!
//! 1. Pieces are disjoint or identical, and sorted: identical ones are one block with several users.
//! 2. The tag of a page follows from the pieces that touch it. A page without a descriptor has no tag.
//! 3. A call that fails has changed nothing.
//! 4. This crate neither allocates, recurses, nor frees: it reports the pages that may be freed, and the kernel frees
//!    them.
//!
//! Numbers such as B-03 refer to the project's list of [facts about Linux][facts].
//!
//! [facts]: https://github.com/sparsemem/sparsemem/blob/main/conformance/linux/FACTS.md
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod error;
mod feed;
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
pub use removal_order::{Removal, SearchSlot};
pub use store::{BootmemTag, DescriptorTags, SliceTags, TagStore, TagStoreError};
pub use tag::{MetadataKind, Tag, TagError};
