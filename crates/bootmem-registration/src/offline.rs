//! Answers for hotplug: before frames leave the page allocator, and when they come back to it.
//!
//! Boot put metadata into frames that the allocator never had. If other sections or nodes need it, the memory block
//! that holds it cannot go offline: [`Registry::first_pinned`]. If only the block itself needs it, the block can go
//! offline and come back online, and then the allocator must not get those frames: [`Registry::next_metadata`].
//! Hotplug's `Reserved` needs both answers. A kernel that offlines page by page calls [`Registry::page_use`]: point 4
//! of the 2008 patch. Linux' isolation gives up when it finds a reserved page, because it cannot distinguish the two
//! cases (B-14).

use crate::piece::bytes_of;
use sparsemem_core::{Geometry, PageCount, Pfn, PfnRange, SectionNr, SectionShape};

use crate::{Piece, Purpose, Registry, TagStore, User};

/// Pages that must not go offline now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// The pages.
    pub pages: PfnRange,
    /// The user of the metadata there, which must be removed first.
    pub user: User,
}

impl<G: Geometry, S: TagStore> Registry<'_, G, S> {
    /// The lowest pages of `frames` that hold metadata which is needed after their memory block is removed.
    ///
    /// `block` is the size of a memory block; a size below a section counts as a section. Blocks are removed one by
    /// one. So metadata of a section in the same block does not pin its pages, and metadata of a section in another
    /// block does, also if that block is in `frames`: it may stay when this one is removed. Node data is needed as
    /// long as its node has a section outside the block, and always if its node has no section.
    ///
    /// A node can get a section while a block with its data is offline. If memory is added to a node between a
    /// block's offlining and its removal, call this method again before the removal.
    ///
    /// Source: points 3 and 4 of the 2008 patch; Linux refuses to isolate any reserved page (B-14).
    ///
    /// # Cost
    ///
    /// A binary search and the pieces in `frames`; for node data a pass over the sections as well.
    #[must_use]
    pub fn first_pinned(&self, frames: PfnRange, block: PageCount) -> Option<Pinned> {
        self.pieces_in(bytes_of::<G>(frames)).find_map(|piece| {
            let mut parts = by_block::<G>(piece.pages::<G>().intersection(frames), block);
            let (_, pages) = parts.find(|(host, _)| self.outlives_frames(piece, *host))?;
            Some(Pinned { pages, user: piece.user() })
        })
    }

    /// The lowest run of `frames` that holds metadata of any user. The page allocator must not get it.
    ///
    /// # Cost
    ///
    /// A binary search and the pieces of the run.
    #[must_use]
    pub fn next_metadata(&self, frames: PfnRange) -> Option<PfnRange> {
        let mut pieces = self.pieces_in(bytes_of::<G>(frames)).map(Piece::pages::<G>);
        let mut run = pieces.next()?;
        for pages in pieces {
            if pages.start() > run.end() {
                break;
            }
            run = PfnRange::new(run.start(), run.end().max(pages.end())).unwrap_or(run);
        }
        Some(run.intersection(frames)).filter(|run| !run.is_empty())
    }

    /// True if a user needs a piece after the memory in `gone` is removed.
    fn outlives_frames(&self, piece: &Piece, gone: PfnRange) -> bool {
        let goes = |nr: SectionNr| nr.frames::<G>().is_some_and(|frames| gone.contains_range(frames));
        match piece.user() {
            User::Section(nr) => !goes(nr),
            User::Node(node) => {
                let mut sections = self.sections().filter(|(_, of)| *of == node).peekable();
                sections.peek().is_none() || sections.any(|(nr, _)| !goes(nr))
            }
        }
    }
}

/// The memory blocks that a range touches, each with the part of the range that lies in it.
fn by_block<G: Geometry>(frames: PfnRange, block: PageCount) -> impl Iterator<Item = (PfnRange, PfnRange)> {
    let block = block.max(PageCount::new(G::PAGES_PER_SECTION));
    let mut rest = frames;
    core::iter::from_fn(move || {
        let start = Pfn::new(rest.start().get() / block.get() * block.get());
        let host = PfnRange::new(start, start.saturating_add(block)).unwrap_or_default();
        let (part, after) = rest.split_at(host.end());
        rest = after;
        (!part.is_empty()).then_some((host, part))
    })
}

/// The use of a page, as far as it matters for taking its section offline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageUse {
    /// No metadata of boot lies there: the page belongs to the page allocator.
    NotRegistered,
    /// The page holds metadata that is removed with the section: offlining skips it.
    Own,
    /// The page holds metadata of this user, which must be removed first.
    InUse(User),
}

impl<G: Geometry, S: TagStore> Registry<'_, G, S> {
    /// The use of a page, as far as it matters for taking its section offline.
    ///
    /// # Cost
    ///
    /// A binary search; for node data a pass over the sections as well.
    #[must_use]
    pub fn page_use(&self, page: Pfn) -> PageUse {
        let host = page.section::<G>();
        let mut pieces = self.pieces_on(page).peekable();
        if pieces.peek().is_none() {
            return PageUse::NotRegistered;
        }
        pieces
            .find(|piece| self.outlives(piece, host))
            .map_or(PageUse::Own, |piece| PageUse::InUse(piece.user()))
    }

    /// The pages of a section that hold its own memmap, lowest first.
    pub fn own_memmap_pages(&self, nr: SectionNr) -> impl Iterator<Item = Pfn> {
        let frames = nr.frames::<G>().unwrap_or_default();
        let own =
            move |piece: &&Piece| piece.purpose() == Purpose::Memmap && piece.user() == User::Section(nr);
        let mut next = frames.start();
        self.pieces_in(Self::section_bytes(nr)).filter(own).flat_map(move |piece| {
            // Pieces are sorted; two small ones may lie on one page, which counts once.
            let pages = piece.pages::<G>().intersection(frames).split_at(next).1;
            next = next.max(pages.end());
            (pages.start().get()..pages.end().get()).map(Pfn::new)
        })
    }
}
