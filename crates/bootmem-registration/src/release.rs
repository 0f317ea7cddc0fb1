//! Releases metadata of users that are removed: which pages may be freed now, and which must not.
//!
//! # Invariants
//!
//! 1. A page is reported as free at most once between two registrations: when its last piece is released, and only if
//!    the section that contains the page is not removed at the same time.

use sparsemem_core::{
    Block, ByteLen, Geometry, NodeId, Origin, PageCount, Pfn, PfnRange, PhysRange, SectionNr,
};

use crate::piece::{one, touched_pages};
use crate::tag::tag_of;
use crate::{Piece, Registry, ReleaseError, TagStore, User};

/// The fate of a page when metadata on it is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// The page has no users any more and may be freed.
    Free,
    /// The page lies in the section that is removed. It must not be freed, because the allocator would hand it out
    /// while it is unplugged (point 2 of the patch).
    Leaves,
    /// The page still has other users.
    Shared,
}

/// Successive pages with one fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRun {
    /// The pages.
    pub pages: PfnRange,
    /// Their fate.
    pub fate: Fate,
}

impl PageRun {
    /// True if the pages may be freed.
    #[must_use]
    pub const fn is_free(&self) -> bool {
        matches!(self.fate, Fate::Free)
    }
}

/// The number of pages with each fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "it reports which pages may be freed"]
pub struct Released {
    /// Pages that may be freed.
    pub free: PageCount,
    /// Pages that are removed with the section.
    pub leaves: PageCount,
    /// Pages that still have other users.
    pub shared: PageCount,
    /// Pages that stay, but whose tag could not be written because they have no descriptor.
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

    /// The fate of all pages, if they have the same.
    const fn disposition(self) -> Disposition {
        match (self.free.get(), self.leaves.get(), self.shared.get()) {
            (_, 0, 0) => Disposition::Free,
            (0, _, 0) => Disposition::Leaves,
            (0, 0, _) => Disposition::Shared,
            _ => Disposition::Mixed(self),
        }
    }
}

/// The decision about a block of boot that a model gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a block that is neither freed nor kept is lost"]
pub enum Disposition {
    /// The registry has no pieces of the block: the environment handles it as it would without a registry.
    NotRegistered,
    /// All its pages may be freed, including pages that were reported as [`Disposition::Shared`] with earlier blocks.
    Free,
    /// All its pages are removed with the section: free none of them.
    Leaves,
    /// All its pages still have other users: free none of them yet.
    Shared,
    /// Its pages have different fates, which were reported run by run.
    Mixed(Released),
}

/// Joins pages of one fate into runs, reports them, and counts the pages.
struct Runs<'t> {
    report: &'t mut dyn FnMut(PageRun),
    pending: Option<PageRun>,
    released: Released,
}

impl<'t> Runs<'t> {
    fn new(report: &'t mut dyn FnMut(PageRun)) -> Self {
        Self { report, pending: None, released: Released::default() }
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

    /// Reports the run that was not reported yet.
    fn flush(&mut self) {
        if let Some(run) = self.pending.take() {
            (self.report)(run);
        }
    }

    fn finish(mut self) -> Released {
        self.flush();
        self.released
    }
}

/// The users that are removed by one call.
#[derive(Clone, Copy)]
struct Going {
    /// The section whose memory is removed.
    section: Option<SectionNr>,
    /// Users all of whose pieces are released, so that the fate of a page is decided when the last of these pieces
    /// is.
    users: [Option<User>; 2],
}

impl Going {
    /// True if the call releases a piece, too.
    fn takes(self, piece: &Piece) -> bool {
        self.users.contains(&Some(piece.user()))
    }
}

impl<G: Geometry, S: TagStore> Registry<'_, G, S> {
    /// Decides about a block of boot that is given back, and removes all pieces in it.
    ///
    /// The model gives a block back when it has no users any more, so all its pieces are removed at once. Pages with
    /// other pieces stay; pages in a section that used the block are removed with that section.
    ///
    /// Source: Linux `free_map_bootmem` and `put_page_bootmem` (B-04, B-11). Differs from Linux: usages and tables
    /// are released too (B-13), and the virtual memmap is handled like any other (B-12).
    ///
    /// # Errors
    ///
    /// [`ReleaseError::PartlyInBlock`]; nothing has changed then.
    pub fn release_block(
        &mut self,
        block: &Block,
        report: &mut dyn FnMut(PageRun),
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
        let mut runs = Runs::new(report);
        let pages = touched_pages::<G>(bytes);
        for page in pages.start().get()..pages.end().get() {
            self.judge_without(Pfn::new(page), bytes, &mut runs);
        }
        while !self.range_in(bytes).is_empty() {
            self.pieces.remove(self.range_in(bytes).start);
        }
        Ok(runs.finish().disposition())
    }

    /// Decides about a block of boot that is given back, as [`Registry::release_block`] does, without reporting runs:
    /// for providers that take whole blocks.
    ///
    /// # Errors
    ///
    /// As [`Registry::release_block`].
    pub fn disposition(&mut self, block: &Block) -> Result<Disposition, ReleaseError> {
        self.release_block(block, &mut |_| {})
    }

    /// Removes one piece: a section or node does not use it any more. A page in the user's own section counts as
    /// removed with that section.
    ///
    /// Source: Linux `put_page_bootmem` (B-04), per piece instead of per page; putting an unregistered piece is an
    /// error instead of a crash.
    ///
    /// # Errors
    ///
    /// [`ReleaseError::UnknownPiece`].
    pub fn put(
        &mut self,
        user: User,
        bytes: PhysRange,
        report: &mut dyn FnMut(PageRun),
    ) -> Result<Released, ReleaseError> {
        let wanted = |piece: &Piece| piece.user() == user && piece.bytes() == bytes;
        let range = self.range_in(bytes);
        let found = self.pieces_in(bytes).position(wanted).map(|offset| range.start + offset);
        let at = found.ok_or(ReleaseError::UnknownPiece { bytes, user })?;
        let mut runs = Runs::new(report);
        let section = match user {
            User::Section(nr) => Some(nr),
            User::Node(_) => None,
        };
        self.forget(at, Going { section, users: [None; 2] }, &mut runs);
        Ok(runs.finish())
    }

    /// Removes a section with all metadata that it still has, and with the data of its node if it was the node's last
    /// section.
    ///
    /// Call this after the section's frames are retired; blocks that the model gave back were removed before.
    /// `report` gets the pages with their fates. A page is reported as shared only if it is still shared when the
    /// call ends.
    ///
    /// # Errors
    ///
    /// [`ReleaseError`] if the section is not registered, or holds metadata of others; nothing has changed then.
    pub fn release_section(
        &mut self,
        nr: SectionNr,
        report: &mut dyn FnMut(PageRun),
    ) -> Result<Released, ReleaseError> {
        self.check_removable(nr)?;
        let at = self.section_index(nr).map_err(|_| ReleaseError::UnknownSection { section: nr })?;
        let node = self.sections.remove(at).map(|gone| gone.node);
        let last_of = node.filter(|node| self.section_of(*node, 0, None).is_none());
        let users = [Some(User::Section(nr)), last_of.map(User::Node)];
        let mut runs = Runs::new(report);
        self.forget_all(Going { section: Some(nr), users }, &mut runs);
        Ok(runs.finish())
    }

    /// Removes the data of a node that has no section, or no section any more.
    ///
    /// # Errors
    ///
    /// [`ReleaseError`] if the node still has sections, or has no data.
    pub fn release_node(
        &mut self,
        node: NodeId,
        report: &mut dyn FnMut(PageRun),
    ) -> Result<Released, ReleaseError> {
        if let Some(slot) = self.section_of(node, 0, None).and_then(|at| self.sections.items().get(at)) {
            return Err(ReleaseError::NodeHasSections { node, section: slot.nr });
        }
        if !self.pieces().any(|piece| piece.user() == User::Node(node)) {
            return Err(ReleaseError::UnknownNode { node });
        }
        let mut runs = Runs::new(report);
        self.forget_all(Going { section: None, users: [Some(User::Node(node)), None] }, &mut runs);
        Ok(runs.finish())
    }

    /// Checks that a section can be removed now: no other section and no node needs metadata in it.
    ///
    /// # Errors
    ///
    /// [`ReleaseError`] with the first piece that prevents the removal; [`Registry::removal_plan`] reports all
    /// sections that must be removed first.
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

    /// True if a user needs a piece after section `nr` is removed.
    pub(crate) fn outlives(&self, piece: &Piece, nr: SectionNr) -> bool {
        match piece.user() {
            User::Section(user) => user != nr,
            User::Node(node) => {
                let memoryless = self.section_of(node, 0, None).is_none();
                memoryless || self.section_of(node, 0, Some(nr)).is_some()
            }
        }
    }

    /// Decides the fate of a page when all pieces in `bytes` are removed, and writes its new tag.
    fn judge_without(&mut self, page: Pfn, bytes: PhysRange, runs: &mut Runs<'_>) {
        let host = User::Section(page.section::<G>());
        let leaves = self.pieces_in(bytes).any(|piece| piece.user() == host);
        let rest = self.pieces_on(page).filter(|piece| !bytes.contains_range(piece.bytes()));
        let fate = match (rest.clone().next(), leaves) {
            (Some(_), _) => Fate::Shared,
            (None, true) => Fate::Leaves,
            (None, false) => Fate::Free,
        };
        // The page has fewer pieces than before, so they fit a tag.
        let tag = tag_of(rest).unwrap_or_default();
        let tagged = self.tags.store(page, tag).is_ok();
        if !tagged && fate != Fate::Leaves {
            runs.count_untagged(1);
        }
        runs.add(page, fate);
    }

    /// Removes all pieces of the users in `going`.
    fn forget_all(&mut self, going: Going, runs: &mut Runs<'_>) {
        loop {
            let at = self.pieces().position(|piece| going.takes(piece));
            let Some(at) = at else { return };
            self.forget(at, going, runs);
        }
    }

    /// Removes a piece.
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
