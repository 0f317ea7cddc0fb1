//! The registry: sections, their nodes, and every piece of boot metadata.
//!
//! # Invariants
//!
//! 1. Sections are sorted by number. Pieces are sorted by address, then user; they are disjoint or identical.
//! 2. The user of a piece is a registered section, or a node.
//! 3. The tag of a page is what `tag_of` makes of the pieces on it, wherever the store has a place for it.

use core::marker::PhantomData;

use sparsemem_core::{Geometry, NodeId, Pfn, PfnRange, PhysRange, SectionNr, SectionShape};

use crate::piece::{bytes_of, one, touched_pages};
use crate::slots::Slots;
use crate::tag::tag_of;
use crate::{Piece, PieceSlot, RegisterError, SectionSlot, Tag, TagStore, User};

/// Memory for a registry's records.
#[derive(Debug)]
pub struct Storage<'r> {
    /// One per section that is present, whether it has metadata of boot or not.
    pub sections: &'r mut [SectionSlot],
    /// One per piece: a memmap and a usage per section of boot, a table per section that needs it, node data.
    pub pieces: &'r mut [PieceSlot],
}

/// Where the metadata of one section lies.
#[derive(Clone, Copy, Debug, Default)]
pub struct SectionMetadata<'p> {
    /// Its descriptors, in as many blocks as they were allocated in.
    pub memmap: &'p [PhysRange],
    /// Its usage.
    pub usage: &'p [PhysRange],
    /// Tables that it needs: its root in a two-level section table, page tables of a virtual memmap. Other sections may
    /// name the same bytes.
    pub tables: &'p [PhysRange],
}

impl<'p> SectionMetadata<'p> {
    /// All of it as pieces of a section.
    fn pieces(self, nr: SectionNr) -> impl Iterator<Item = Piece> + Clone + use<'p> {
        let memmap = self.memmap.iter().map(move |bytes| Piece::memmap(nr, *bytes));
        let usage = self.usage.iter().map(move |bytes| Piece::usage(nr, *bytes));
        memmap.chain(usage).chain(self.tables.iter().map(move |bytes| Piece::table(nr, *bytes)))
    }
}

/// Who uses which boot-allocated metadata page.
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
    /// An empty registry. What the slices of `storage` hold is overwritten as they are needed.
    pub const fn new(tags: S, storage: Storage<'r>) -> Self {
        let Storage { sections, pieces } = storage;
        Self { tags, sections: Slots::new(sections), pieces: Slots::new(pieces), geometry: PhantomData }
    }

    /// Registers a section, present from now on, with its metadata of boot; a hot-added section has none, but its node
    /// counts it.
    ///
    /// Source: Linux `register_page_bootmem_info_section`. Differs from Linux: it can fail, and changes nothing then.
    ///
    /// # Errors
    ///
    /// [`RegisterError`], naming the offender.
    ///
    /// # Cost
    ///
    /// A binary search per piece, and the move of everything registered at higher addresses.
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
    /// It goes with the node's last section ([`Registry::release_section`]). A node without sections keeps it until
    /// [`Registry::release_node`].
    ///
    /// Source: Linux `register_page_bootmem_info_node`, which nothing ever used (B-14).
    ///
    /// # Errors
    ///
    /// [`RegisterError`], naming the offender.
    pub fn register_node(&mut self, node: NodeId, data: &[PhysRange]) -> Result<(), RegisterError> {
        self.get_all(data.iter().map(|bytes| Piece::node_data(node, *bytes)))
    }

    /// Registers one more piece: a section or node begins to use it.
    ///
    /// Source: Linux `get_page_bootmem` (B-03), per piece instead of per page.
    ///
    /// # Errors
    ///
    /// [`RegisterError`], naming the offender.
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
    /// [`RegisterError::Store`] if the store has none for the page.
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

    /// The pieces that lie in `bytes`, wholly or in part.
    pub fn pieces_in(&self, bytes: PhysRange) -> impl Iterator<Item = &Piece> + Clone {
        self.slots_in(bytes).iter().map(PieceSlot::piece)
    }

    /// Where a section is in the list, or belongs.
    pub(crate) fn section_index(&self, nr: SectionNr) -> Result<usize, usize> {
        self.sections.items().binary_search_by_key(&nr, |slot| slot.nr)
    }

    /// The first section of a node at or after an index, but for one.
    pub(crate) fn section_of(&self, node: NodeId, from: usize, but: Option<SectionNr>) -> Option<usize> {
        let sections = self.sections.items().iter().enumerate().skip(from);
        sections.filter(|(_, slot)| slot.node == node && Some(slot.nr) != but).map(|(index, _)| index).next()
    }

    /// Where the pieces that touch `bytes` are in the list.
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

    /// Writes the tag that a page should have.
    pub(crate) fn write_tag(&mut self, page: Pfn) -> Result<(), RegisterError> {
        let tag = tag_of(self.pieces_on(page)).map_err(|why| RegisterError::Tag { page, why })?;
        Ok(self.tags.store(page, tag)?)
    }

    /// Does something for every page, until it fails.
    pub(crate) fn each_page<E>(
        &mut self,
        pages: PfnRange,
        mut each: impl FnMut(&mut Self, Pfn) -> Result<(), E>,
    ) -> Result<(), E> {
        (pages.start().get()..pages.end().get()).try_for_each(|page| each(self, Pfn::new(page)))
    }

    /// Registers pieces, all or none.
    fn get_all(&mut self, pieces: impl Iterator<Item = Piece> + Clone) -> Result<(), RegisterError> {
        for (done, piece) in pieces.clone().enumerate() {
            if let Err(error) = self.get(piece) {
                pieces.take(done).for_each(|piece| {
                    // Registered a moment ago, so it is there.
                    let _ = self.put(piece.user(), piece.bytes(), &mut |_| {});
                });
                return Err(error);
            }
        }
        Ok(())
    }

    /// Where a new piece belongs in the list.
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

    /// Checks that a page can have the tag that it gets with a new piece, and that nobody else uses its word: it holds the
    /// tag of the pieces that are registered, and nothing that only looks like a tag.
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

    /// Writes the tags of pages anew; answers with how many could not be, outside the section that leaves.
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
