//! The registry: sections, their nodes, and every piece of boot metadata.
//!
//! # Invariants
//!
//! 1. Sections are sorted by number. Pieces are sorted by address, then user; they are disjoint or identical.
//! 2. The user of a piece is a registered section, or a node.
//! 3. Each page for which the store has a place has the tag that `tag_of` computes from the pieces on it.

use core::marker::PhantomData;

use sparsemem_core::{Geometry, NodeId, Pfn, PfnRange, PhysRange, SectionNr, SectionShape};

use crate::piece::{bytes_of, one, touched_pages};
use crate::slots::Slots;
use crate::tag::tag_of;
use crate::{Piece, PieceSlot, RegisterError, SectionSlot, Tag, TagStore, User};

/// Memory for a registry's records.
#[derive(Debug)]
pub struct Storage<'r> {
    /// One slot for each section that is present, with or without metadata of boot.
    pub sections: &'r mut [SectionSlot],
    /// One slot for each piece: a memmap and a usage per section of boot, a table per section that needs it, node
    /// data.
    pub pieces: &'r mut [PieceSlot],
}

/// The places of the metadata of one section.
#[derive(Clone, Copy, Debug, Default)]
pub struct SectionMetadata<'p> {
    /// The descriptors of the section, in as many blocks as they were allocated in.
    pub memmap: &'p [PhysRange],
    /// The usage of the section.
    pub usage: &'p [PhysRange],
    /// Tables that the section needs: its root in a two-level section table, page tables of a virtual memmap. Other
    /// sections may name the same bytes.
    pub tables: &'p [PhysRange],
}

impl<'p> SectionMetadata<'p> {
    /// All metadata as pieces of a section.
    fn pieces(self, nr: SectionNr) -> impl Iterator<Item = Piece> + Clone + use<'p> {
        let memmap = self.memmap.iter().map(move |bytes| Piece::memmap(nr, *bytes));
        let usage = self.usage.iter().map(move |bytes| Piece::usage(nr, *bytes));
        memmap.chain(usage).chain(self.tables.iter().map(move |bytes| Piece::table(nr, *bytes)))
    }
}

/// A registry of boot-allocated metadata and its users.
///
/// ```
/// use sparsemem_bootmem_registration::{
///     PieceSlot, Registry, Removal, SectionMetadata, SectionSlot, SliceTags, Storage,
/// };
/// use sparsemem_core::presets::X86_64;
/// use sparsemem_core::{NodeId, Pfn, PhysAddr, PhysRange, SectionNr};
///
/// let (mut sections, mut pieces) = ([SectionSlot::EMPTY; 8], [PieceSlot::EMPTY; 16]);
/// let mut words = vec![0; 0x1_0000];
/// let tags = SliceTags::new(Pfn::new(0), &mut words);
/// let storage = Storage { sections: &mut sections, pieces: &mut pieces };
/// let mut registry = Registry::<X86_64, _>::new(tags, storage);
///
/// // The memmap of section 1, 2 MiB, lies at 16 MiB: in section 0.
/// let memmap = [PhysRange::new(PhysAddr::new(16 << 20), PhysAddr::new(18 << 20))?];
/// registry.register_section(SectionNr::new(0), NodeId::new(0), SectionMetadata::default())?;
/// let metadata = SectionMetadata { memmap: &memmap, ..SectionMetadata::default() };
/// registry.register_section(SectionNr::new(1), NodeId::new(0), metadata)?;
///
/// let (mut slots, mut steps) = ([Default::default(); 8], [SectionNr::new(0); 8]);
/// let plan = registry.removal_plan(SectionNr::new(0), &mut slots, &mut steps)?;
/// assert_eq!(plan, Removal::Order(&[SectionNr::new(1), SectionNr::new(0)]));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Registry<'r, G, S> {
    pub(crate) tags: S,
    pub(crate) sections: Slots<'r, SectionSlot>,
    pub(crate) pieces: Slots<'r, PieceSlot>,
    geometry: PhantomData<fn() -> G>,
}

impl<'r, G: Geometry, S: TagStore> Registry<'r, G, S> {
    /// An empty registry. It overwrites the slices of `storage` as it needs them.
    pub const fn new(tags: S, storage: Storage<'r>) -> Self {
        let Storage { sections, pieces } = storage;
        Self { tags, sections: Slots::new(sections), pieces: Slots::new(pieces), geometry: PhantomData }
    }

    /// Registers a section that becomes present, with its metadata of boot. A hot-added section has no such metadata,
    /// and is registered because its node counts its sections.
    ///
    /// Source: Linux `register_page_bootmem_info_section`. Differs from Linux: the call can fail, and changes nothing
    /// then.
    ///
    /// # Errors
    ///
    /// [`RegisterError`], with the section or piece that was refused.
    ///
    /// # Cost
    ///
    /// A binary search per piece, and moving the entries at higher addresses.
    pub fn register_section(
        &mut self,
        nr: SectionNr,
        node: NodeId,
        metadata: SectionMetadata<'_>,
    ) -> Result<(), RegisterError> {
        if !nr.exists::<G>() {
            return Err(RegisterError::BeyondMaximum { section: nr });
        }
        let at = match self.section_index(nr) {
            Ok(_) => return Err(RegisterError::SectionKnown { section: nr }),
            Err(at) => at,
        };
        self.sections
            .insert(at, SectionSlot { nr, node })
            .map_err(|full| RegisterError::SectionsFull { capacity: full.capacity })?;
        self.get_all(metadata.pieces(nr)).inspect_err(|_| {
            self.sections.remove(at);
        })
    }

    /// Registers data of a node.
    ///
    /// The data is released with the node's last section ([`Registry::release_section`]). A node without sections
    /// keeps it until [`Registry::release_node`].
    ///
    /// Source: Linux `register_page_bootmem_info_node`, whose records Linux never used (B-14).
    ///
    /// # Errors
    ///
    /// [`RegisterError`], with the piece that was refused.
    pub fn register_node(&mut self, node: NodeId, data: &[PhysRange]) -> Result<(), RegisterError> {
        self.get_all(data.iter().map(|bytes| Piece::node_data(node, *bytes)))
    }

    /// Registers one more piece: a section or node begins to use it.
    ///
    /// Source: Linux `get_page_bootmem` (B-03), per piece instead of per page.
    ///
    /// # Errors
    ///
    /// [`RegisterError`], with the piece that was refused.
    pub fn get(&mut self, piece: Piece) -> Result<(), RegisterError> {
        let at = self.place_for(&piece)?;
        let pages = piece.pages::<G>();
        self.each_page(pages, |registry, page| registry.check_page(page, &piece))?;
        self.pieces
            .insert(at, PieceSlot::new(piece))
            .map_err(|full| RegisterError::PiecesFull { capacity: full.capacity })?;
        let stored = self.each_page(pages, Self::write_tag);
        if stored.is_err() {
            self.pieces.remove(at);
            self.rewrite_tags(pages, None);
        }
        stored
    }

    /// The tag of a page, read from the store.
    ///
    /// # Errors
    ///
    /// [`RegisterError::Store`] if the store has no word for the page.
    pub fn tag(&self, page: Pfn) -> Result<Option<Tag>, RegisterError> {
        Ok(self.tags.load(page)?)
    }

    /// The registered sections with their nodes, lowest first.
    pub fn sections(&self) -> impl Iterator<Item = (SectionNr, NodeId)> {
        self.sections.items().iter().map(|slot| (slot.nr, slot.node))
    }

    /// The registered pieces, lowest address first.
    pub fn pieces(&self) -> impl Iterator<Item = &Piece> + Clone {
        self.pieces.items().iter().map(PieceSlot::piece)
    }

    /// The pieces that overlap `bytes`.
    pub fn pieces_in(&self, bytes: PhysRange) -> impl Iterator<Item = &Piece> + Clone {
        self.slots_in(bytes).iter().map(PieceSlot::piece)
    }

    /// The index of a section in the list, or the index at which it would be inserted.
    pub(crate) fn section_index(&self, nr: SectionNr) -> Result<usize, usize> {
        self.sections.items().binary_search_by_key(&nr, |slot| slot.nr)
    }

    /// Removes a section that has no pieces from the list.
    pub(crate) fn forget_section(&mut self, nr: SectionNr) {
        if let Ok(at) = self.section_index(nr) {
            self.sections.remove(at);
        }
    }

    /// The first section of a node at or after an index, except `but`.
    pub(crate) fn section_of(&self, node: NodeId, from: usize, but: Option<SectionNr>) -> Option<usize> {
        let sections = self.sections.items().iter().enumerate().skip(from);
        sections.filter(|(_, slot)| slot.node == node && Some(slot.nr) != but).map(|(index, _)| index).next()
    }

    /// The indices of the pieces that touch `bytes`.
    pub(crate) fn range_in(&self, bytes: PhysRange) -> core::ops::Range<usize> {
        let items = self.pieces.items();
        let start = items.partition_point(|slot| slot.piece().bytes().end() <= bytes.start());
        let end = items.partition_point(|slot| slot.piece().bytes().start() < bytes.end());
        start..end.max(start)
    }

    /// The pieces that touch `bytes`.
    pub(crate) fn slots_in(&self, bytes: PhysRange) -> &[PieceSlot] {
        self.pieces.items().get(self.range_in(bytes)).unwrap_or_default()
    }

    /// The pieces that touch a page.
    pub(crate) fn pieces_on(&self, page: Pfn) -> impl Iterator<Item = &Piece> + Clone {
        self.slots_in(bytes_of::<G>(one(page))).iter().map(PieceSlot::piece)
    }

    /// The bytes of a section.
    pub(crate) fn section_bytes(nr: SectionNr) -> PhysRange {
        bytes_of::<G>(nr.frames::<G>().unwrap_or_default())
    }

    /// Writes the tag that follows from the pieces on a page.
    pub(crate) fn write_tag(&mut self, page: Pfn) -> Result<(), RegisterError> {
        let tag = tag_of(self.pieces_on(page)).map_err(|why| RegisterError::Tag { page, why })?;
        Ok(self.tags.store(page, tag)?)
    }

    /// Calls `act` for every page until it fails.
    pub(crate) fn each_page<E>(
        &mut self,
        pages: PfnRange,
        mut each: impl FnMut(&mut Self, Pfn) -> Result<(), E>,
    ) -> Result<(), E> {
        (pages.start().get()..pages.end().get()).try_for_each(|page| each(self, Pfn::new(page)))
    }

    /// Registers pieces: all or none.
    fn get_all(&mut self, pieces: impl Iterator<Item = Piece> + Clone) -> Result<(), RegisterError> {
        for (done, piece) in pieces.clone().enumerate() {
            if let Err(error) = self.get(piece) {
                pieces.take(done).for_each(|piece| {
                    // The piece was registered a moment ago, so `put` finds it.
                    let _ = self.put(piece.user(), piece.bytes(), &mut |_| {});
                });
                return Err(error);
            }
        }
        Ok(())
    }

    /// The index at which a new piece belongs.
    fn place_for(&self, piece: &Piece) -> Result<usize, RegisterError> {
        let (bytes, user) = (piece.bytes(), piece.user());
        if bytes.is_empty() {
            return Err(RegisterError::Empty { bytes, user });
        }
        if touched_pages::<G>(bytes).end().get() > G::MAX_PFN {
            let last = Pfn::new(G::MAX_PFN - 1);
            return Err(RegisterError::BytesBeyondMaximum { bytes, user, last });
        }
        if let User::Section(section) = user {
            self.section_index(section).map_err(|_| RegisterError::UnknownSection { section })?;
        }
        for other in self.pieces_in(bytes) {
            if other.bytes() != bytes {
                let (other, other_user) = (other.bytes(), other.user());
                return Err(RegisterError::Overlap { bytes, user, other, other_user });
            }
            if other.user() == user {
                return Err(RegisterError::PieceKnown { bytes, user });
            }
        }
        let key = |piece: &Piece| (piece.bytes().start(), piece.user());
        Ok(self.pieces.items().partition_point(|slot| key(slot.piece()) < key(piece)))
    }

    /// Checks that a page can have the tag that it gets with a new piece, and that no other code uses its word: the
    /// word must hold the tag that follows from the registered pieces, and not another number that looks like a tag.
    fn check_page(&self, page: Pfn, piece: &Piece) -> Result<(), RegisterError> {
        let refused = |why| RegisterError::Tag { page, why };
        tag_of(self.pieces_on(page).chain([piece])).map_err(refused)?;
        let registered = tag_of(self.pieces_on(page)).map_err(refused)?;
        let found = self.tags.load(page)?;
        if found != registered {
            return Err(RegisterError::ForeignTag { page, found, registered });
        }
        Ok(())
    }

    /// Writes the tags of pages again. Returns the number of pages outside the section `leaving` whose tag could not
    /// be written.
    pub(crate) fn rewrite_tags(&mut self, pages: PfnRange, leaving: Option<SectionNr>) -> u64 {
        let mut untagged = 0;
        for page in pages.start().get()..pages.end().get() {
            let page = Pfn::new(page);
            if self.write_tag(page).is_err() && leaving != Some(page.section::<G>()) {
                untagged += 1;
            }
        }
        untagged
    }
}
