//! Users go: which pages may be freed now, and which must not.
//!
//! # Invariants
//!
//! 1. A page is told to be free at most once between two registrations: when its last piece goes, and only if the
//!    section that it lies in does not go with it.

use sparsemem_core::{
    Block, ByteLen, Geometry, NodeId, Origin, PageCount, Pfn, PfnRange, PhysRange, SectionNr,
};

use crate::piece::{one, touched_pages};
use crate::tag::tag_of;
use crate::{Piece, Registry, ReleaseError, TagStore, User};

/// What becomes of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// Nobody needs it any more: it may be freed.
    Free,
    /// It lies in the section that goes: freeing it would let it be used while it is unplugged (point 2 of the patch).
    Leaves,
    /// Others still use it.
    Shared,
}

/// Successive pages with one fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRun {
    /// The pages.
    pub pages: PfnRange,
    /// What becomes of them.
    pub fate: Fate,
}

impl PageRun {
    /// Whether the pages may be freed.
    #[must_use]
    pub const fn is_free(&self) -> bool {
        matches!(self.fate, Fate::Free)
    }
}

/// How many pages had which fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "it says whether pages were freed"]
pub struct Released {
    /// Pages that may be freed.
    pub free: PageCount,
    /// Pages that leave with the section.
    pub leaves: PageCount,
    /// Pages that others still use.
    pub shared: PageCount,
    /// Pages that stay, but whose tag could not be written: their descriptors are not there.
    pub untagged: PageCount,
}

impl Released {
    /// Counts a page.
    const fn count(&mut self, fate: Fate) {
        let count = match fate {
            Fate::Free => &mut self.free,
            Fate::Leaves => &mut self.leaves,
            Fate::Shared => &mut self.shared,
        };
        *count = PageCount::new(count.get() + 1);
    }

    /// The fate that all pages have, if there is one.
    const fn disposition(self) -> Disposition {
        match (self.free.get(), self.leaves.get(), self.shared.get()) {
            (_, 0, 0) => Disposition::Free,
            (0, _, 0) => Disposition::Leaves,
            (0, 0, _) => Disposition::Shared,
            _ => Disposition::Mixed(self),
        }
    }
}

/// What to do with a block of boot that a model gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a block that is neither freed nor kept is lost"]
pub enum Disposition {
    /// The registry knows nothing of it: it goes where it would go without a registry.
    NotRegistered,
    /// All its pages may be freed, also where other blocks on them were [`Disposition::Shared`] before.
    Free,
    /// All its pages leave with the section: nothing is freed.
    Leaves,
    /// All its pages are still used by others: nothing is freed yet.
    Shared,
    /// Its pages have different fates, as told run by run.
    Mixed(Released),
}

/// Joins pages of one fate to runs, and counts them.
struct Runs<'t> {
    tell: &'t mut dyn FnMut(PageRun),
    pending: Option<PageRun>,
    released: Released,
}

impl<'t> Runs<'t> {
    fn new(tell: &'t mut dyn FnMut(PageRun)) -> Self {
        Self { tell, pending: None, released: Released::default() }
    }

    /// Adds a page.
    fn add(&mut self, page: Pfn, fate: Fate) {
        self.released.count(fate);
        let longer = self.pending.filter(|run| run.fate == fate && run.pages.end() == page);
        if let Some(run) = longer {
            let end = one(page).end();
            let pages = PfnRange::new(run.pages.start(), end).unwrap_or(run.pages);
            self.pending = Some(PageRun { pages, fate });
            return;
        }
        self.flush();
        self.pending = Some(PageRun { pages: one(page), fate });
    }

    /// Counts pages whose tag could not be written.
    const fn count_untagged(&mut self, pages: u64) {
        self.released.untagged = PageCount::new(self.released.untagged.get() + pages);
    }

    /// Tells the run that was not told yet.
    fn flush(&mut self) {
        if let Some(run) = self.pending.take() {
            (self.tell)(run);
        }
    }

    fn finish(mut self) -> Released {
        self.flush();
        self.released
    }
}

/// What goes in one call.
#[derive(Clone, Copy)]
struct Going {
    /// The section whose memory goes.
    section: Option<SectionNr>,
    /// Who goes with all pieces, so that a page is judged when the last of these went.
    users: [Option<User>; 2],
}

impl Going {
    /// Whether a piece is going to be forgotten too.
    fn takes(self, piece: &Piece) -> bool {
        self.users.contains(&Some(piece.user()))
    }
}

impl<G: Geometry, S: TagStore> Registry<'_, G, S> {
    /// Decides about a block of boot that is given back, and forgets all pieces in it.
    ///
    /// The model gives a block back when none of its users is left, so all of them go at once. Pages with other pieces
    /// stay; pages in a section that used the block leave with it.
    ///
    /// Source: Linux `free_map_bootmem` and `put_page_bootmem` (B-04, B-11). Differs from Linux: usages and tables are
    /// put too (B-13), and the virtual memmap is treated like any other (B-12).
    ///
    /// # Errors
    ///
    /// [`ReleaseError::PartlyInBlock`]; nothing has changed then.
    pub fn release_block(
        &mut self,
        block: &Block,
        tell: &mut dyn FnMut(PageRun),
    ) -> Result<Disposition, ReleaseError> {
        let len = ByteLen::new(block.layout().size() as u64);
        let bytes = PhysRange::from_start_count(block.phys(), len).unwrap_or_default();
        if block.origin() != Origin::Boot || self.range_in(bytes).is_empty() {
            return Ok(Disposition::NotRegistered);
        }
        if let Some(piece) = self.pieces_in(bytes).find(|piece| !bytes.contains_range(piece.bytes())) {
            let (user, piece) = (piece.user(), piece.bytes());
            return Err(ReleaseError::PartlyInBlock { block: bytes, user, bytes: piece });
        }
        let mut runs = Runs::new(tell);
        let pages = touched_pages::<G>(bytes);
        for page in pages.start().get()..pages.end().get() {
            self.judge_without(Pfn::new(page), bytes, &mut runs);
        }
        while !self.range_in(bytes).is_empty() {
            self.pieces.remove(self.range_in(bytes).start);
        }
        Ok(runs.finish().disposition())
    }

    /// Decides about a block of boot that is given back, as [`Registry::release_block`] does, without hearing of runs:
    /// for providers that take whole blocks.
    ///
    /// # Errors
    ///
    /// As [`Registry::release_block`].
    pub fn disposition(&mut self, block: &Block) -> Result<Disposition, ReleaseError> {
        self.release_block(block, &mut |_| {})
    }

    /// Forgets one piece: a section or node does not use it any more. A page of the user's own section leaves with it.
    ///
    /// Source: Linux `put_page_bootmem` (B-04), per piece instead of per page; what is not registered is an error
    /// instead of a crash.
    ///
    /// # Errors
    ///
    /// [`ReleaseError::UnknownPiece`].
    pub fn put(
        &mut self,
        user: User,
        bytes: PhysRange,
        tell: &mut dyn FnMut(PageRun),
    ) -> Result<Released, ReleaseError> {
        let wanted = |piece: &Piece| piece.user() == user && piece.bytes() == bytes;
        let range = self.range_in(bytes);
        let found = self.pieces_in(bytes).position(wanted).map(|offset| range.start + offset);
        let at = found.ok_or(ReleaseError::UnknownPiece { bytes, user })?;
        let mut runs = Runs::new(tell);
        let section = match user {
            User::Section(nr) => Some(nr),
            User::Node(_) => None,
        };
        self.forget(at, Going { section, users: [None; 2] }, &mut runs);
        Ok(runs.finish())
    }

    /// Forgets a section with all metadata that it still has, and with the data of its node if it was the last one there.
    ///
    /// Called when the section's frames are retired; blocks that the model gave back are forgotten already. Which pages
    /// may be freed is told to `tell`; a page is told as shared only if it is so in the end.
    ///
    /// # Errors
    ///
    /// [`ReleaseError`] if the section is not known, or holds metadata of others; nothing has changed then.
    pub fn release_section(
        &mut self,
        nr: SectionNr,
        tell: &mut dyn FnMut(PageRun),
    ) -> Result<Released, ReleaseError> {
        self.check_removable(nr)?;
        let at = self.section_index(nr).map_err(|_| ReleaseError::UnknownSection { section: nr })?;
        let node = self.sections.remove(at).map(|gone| gone.node);
        let last_of = node.filter(|node| self.section_of(*node, 0, None).is_none());
        let users = [Some(User::Section(nr)), last_of.map(User::Node)];
        let mut runs = Runs::new(tell);
        self.forget_all(Going { section: Some(nr), users }, &mut runs);
        Ok(runs.finish())
    }

    /// Forgets the data of a node that has no section, now or any more.
    ///
    /// # Errors
    ///
    /// [`ReleaseError`] if the node still has sections, or no data.
    pub fn release_node(
        &mut self,
        node: NodeId,
        tell: &mut dyn FnMut(PageRun),
    ) -> Result<Released, ReleaseError> {
        if let Some(slot) = self.section_of(node, 0, None).and_then(|at| self.sections.items().get(at)) {
            return Err(ReleaseError::NodeHasSections { node, section: slot.nr });
        }
        if !self.pieces().any(|piece| piece.user() == User::Node(node)) {
            return Err(ReleaseError::UnknownNode { node });
        }
        let mut runs = Runs::new(tell);
        self.forget_all(Going { section: None, users: [Some(User::Node(node)), None] }, &mut runs);
        Ok(runs.finish())
    }

    /// Whether a section could go now: nobody else needs metadata that lies in it.
    ///
    /// # Errors
    ///
    /// [`ReleaseError`], naming the first in the way; [`Registry::removal_plan`] names all.
    pub fn check_removable(&self, nr: SectionNr) -> Result<(), ReleaseError> {
        self.section_index(nr).map_err(|_| ReleaseError::UnknownSection { section: nr })?;
        match self.pieces_in(Self::section_bytes(nr)).find(|piece| self.outlives(piece, nr)) {
            Some(piece) => {
                let (user, bytes) = (piece.user(), piece.bytes());
                Err(ReleaseError::HoldsMetadata { section: nr, user, bytes })
            }
            None => Ok(()),
        }
    }

    /// Whether somebody needs a piece when section `nr` is gone.
    pub(crate) fn outlives(&self, piece: &Piece, nr: SectionNr) -> bool {
        match piece.user() {
            User::Section(user) => user != nr,
            User::Node(node) => {
                let memoryless = self.section_of(node, 0, None).is_none();
                memoryless || self.section_of(node, 0, Some(nr)).is_some()
            }
        }
    }

    /// Decides about a page when all pieces in `bytes` go, and writes the tag that it has then.
    fn judge_without(&mut self, page: Pfn, bytes: PhysRange, runs: &mut Runs<'_>) {
        let host = User::Section(page.section::<G>());
        let leaves = self.pieces_in(bytes).any(|piece| piece.user() == host);
        let rest = self.pieces_on(page).filter(|piece| !bytes.contains_range(piece.bytes()));
        let fate = match (rest.clone().next(), leaves) {
            (Some(_), _) => Fate::Shared,
            (None, true) => Fate::Leaves,
            (None, false) => Fate::Free,
        };
        // Fewer pieces than before fit a tag.
        let tag = tag_of(rest).unwrap_or_default();
        let tagged = self.tags.store(page, tag).is_ok();
        if !tagged && fate != Fate::Leaves {
            runs.count_untagged(1);
        }
        runs.add(page, fate);
    }

    /// Forgets all pieces of those who go.
    fn forget_all(&mut self, going: Going, runs: &mut Runs<'_>) {
        loop {
            let at = self.pieces().position(|piece| going.takes(piece));
            let Some(at) = at else { return };
            self.forget(at, going, runs);
        }
    }

    /// Forgets a piece.
    fn forget(&mut self, at: usize, going: Going, runs: &mut Runs<'_>) {
        let Some(slot) = self.pieces.remove(at) else { return };
        let pages = slot.piece().pages::<G>();
        for page in pages.start().get()..pages.end().get() {
            let page = Pfn::new(page);
            let mut rest = self.pieces_on(page).peekable();
            if rest.peek().is_none() {
                let leaves = going.section == Some(page.section::<G>());
                runs.add(page, if leaves { Fate::Leaves } else { Fate::Free });
            } else if rest.all(|piece| !going.takes(piece)) {
                runs.add(page, Fate::Shared);
            }
        }
        let untagged = self.rewrite_tags(pages, going.section);
        runs.count_untagged(untagged);
    }
}
