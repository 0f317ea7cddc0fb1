//! What offlining asks: is this page in use, or is it the section's own metadata?
//!
//! Point 4 of the 2008 patch. Linux' isolation finds a reserved page and gives up, because it cannot tell (B-14).

use sparsemem_core::{Geometry, Pfn, SectionNr};

use crate::{Piece, Purpose, Registry, TagStore, User};

/// What a page is, for the one who offlines its section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageUse {
    /// No metadata of boot lies there: the page is the page allocator's business.
    NotRegistered,
    /// Metadata that goes with the section: offlining skips the page.
    Own,
    /// Metadata of somebody else, who has to go first.
    InUse(User),
}

impl<G: Geometry, S: TagStore> Registry<'_, G, S> {
    /// What a page is, for the one who offlines its section.
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
        let mut behind = frames.start();
        self.pieces_in(Self::section_bytes(nr)).filter(own).flat_map(move |piece| {
            // Pieces are sorted; two small ones may lie on one page, which counts once.
            let pages = piece.pages::<G>().intersection(frames).split_at(behind).1;
            behind = behind.max(pages.end());
            (pages.start().get()..pages.end().get()).map(Pfn::new)
        })
    }
}
