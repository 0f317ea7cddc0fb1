//! Stores that fail: pages whose descriptors are gone, and words that cannot be written.

use std::cell::Cell;

use sparsemem_bootmem_registration::{
    Disposition, Fate, MetadataKind, PageRun, Piece, PieceSlot, RegisterError, Registry, SectionMetadata,
    SectionSlot, SliceTags, Storage, Tag, TagStore, TagStoreError, User,
};
use sparsemem_core::presets::TinyWide;
use sparsemem_core::{Origin, Pfn, PfnRange, PhysAddr, PhysRange};

use crate::{NODE, SECTION, block, nr, pages, with_store};

/// A store in which pages lose their words, as they do when their section is retired, or in which they can be read and
/// not written.
struct Failing<'s> {
    words: SliceTags<'s>,
    gone: &'s Cell<PfnRange>,
    stuck: &'s Cell<Option<Pfn>>,
}

impl TagStore for Failing<'_> {
    fn load(&self, page: Pfn) -> Result<Option<Tag>, TagStoreError> {
        if self.gone.get().contains(page) {
            Err(TagStoreError::NoPlace { page })
        } else {
            self.words.load(page)
        }
    }

    fn store(&mut self, page: Pfn, tag: Option<Tag>) -> Result<(), TagStoreError> {
        if self.gone.get().contains(page) || self.stuck.get() == Some(page) {
            return Err(TagStoreError::NoPlace { page });
        }
        self.words.store(page, tag)
    }
}

/// A registry with sections 0 to 3 over such a store.
fn with(test: impl FnOnce(&mut Registry<'_, TinyWide, Failing<'_>>, &Cell<PfnRange>, &Cell<Option<Pfn>>)) {
    let mut words = vec![0; 4096];
    let (gone, stuck) = (Cell::new(PfnRange::default()), Cell::new(None));
    let store = Failing { words: SliceTags::new(Pfn::new(0), &mut words), gone: &gone, stuck: &stuck };
    with_store(store, [0; 4], |registry| test(registry, &gone, &stuck));
}

/// The descriptors of section 1 are gone when it is forgotten: what leaves with it needs no tag, and what lies elsewhere
/// without a descriptor is told.
#[test]
fn pages_without_descriptors_are_counted_unless_they_leave() {
    with(|registry, gone, _| {
        registry.get(Piece::memmap(nr(1), pages(SECTION, 3))).unwrap();
        registry.get(Piece::usage(nr(1), pages(3 * SECTION, 2))).unwrap();
        gone.set(nr(1).frames::<TinyWide>().unwrap());
        let own = registry.release_block(&block(pages(SECTION, 3), Origin::Boot), &mut |_| {}).unwrap();
        assert_eq!(own, Disposition::Leaves);
        gone.set(nr(3).frames::<TinyWide>().unwrap());
        let released = registry.release_section(nr(1), &mut |_| {}).unwrap();
        assert_eq!((released.free.get(), released.leaves.get(), released.untagged.get()), (2, 0, 2));
    });
}

/// The same where a block has both kinds of pages.
#[test]
fn a_block_counts_the_pages_that_stay_without_a_tag() {
    with(|registry, gone, _| {
        let bytes = pages(2 * SECTION - 2, 3);
        registry.get(Piece::memmap(nr(1), bytes)).unwrap();
        gone.set(PfnRange::new(Pfn::new(0), Pfn::new(4096)).unwrap());
        let mut told = Vec::new();
        let decision = registry
            .release_block(&block(bytes, Origin::Boot), &mut |run: PageRun| told.push(run.fate))
            .unwrap();
        let Disposition::Mixed(released) = decision else { panic!("{decision:?}") };
        assert_eq!((released.leaves.get(), released.free.get(), released.untagged.get()), (2, 1, 1));
        assert_eq!(told, [Fate::Leaves, Fate::Free]);
    });
}

/// A word that cannot be written although it could be read: the piece is refused, and the tags are as before.
#[test]
fn a_store_that_fails_half_way_leaves_the_tags_as_they_were() {
    with(|registry, _, stuck| {
        let usage = PhysRange::new(PhysAddr::new(10 << 12), PhysAddr::new((10 << 12) + 64)).unwrap();
        registry.get(Piece::usage(nr(2), usage)).unwrap();
        let before: Vec<_> = (0..64).map(|page| registry.tag(Pfn::new(page)).unwrap()).collect();
        stuck.set(Some(Pfn::new(12)));
        let over = PhysRange::new(PhysAddr::new((10 << 12) + 64), PhysAddr::new(13 << 12)).unwrap();
        let refused = registry.get(Piece::memmap(nr(1), over)).unwrap_err();
        assert_eq!(refused, RegisterError::Store(TagStoreError::NoPlace { page: Pfn::new(12) }));
        let user = User::Section(nr(1));
        assert!(registry.put(user, over, &mut |_| {}).is_err());
        let after: Vec<_> = (0..64).map(|page| registry.tag(Pfn::new(page)).unwrap()).collect();
        assert_eq!(after, before);
        // As a part of a section, nothing of the section is there either.
        let parts = [pages(20, 1), over];
        let metadata = SectionMetadata { memmap: &parts, ..SectionMetadata::default() };
        assert!(registry.register_section(nr(9), NODE, metadata).is_err());
        assert_eq!((registry.sections().count(), registry.pieces().count()), (4, 1));
        assert_eq!(registry.tag(Pfn::new(20)).unwrap(), None);
    });
}

/// A store whose words others write too.
struct Open<'s>(&'s [Cell<Option<Tag>>]);

impl Open<'_> {
    fn word(&self, page: Pfn) -> Result<&Cell<Option<Tag>>, TagStoreError> {
        let index = usize::try_from(page.get()).unwrap();
        self.0.get(index).ok_or(TagStoreError::NoPlace { page })
    }
}

impl TagStore for Open<'_> {
    fn load(&self, page: Pfn) -> Result<Option<Tag>, TagStoreError> {
        self.word(page).map(Cell::get)
    }

    fn store(&mut self, page: Pfn, tag: Option<Tag>) -> Result<(), TagStoreError> {
        self.word(page).map(|word| word.set(tag))
    }
}

/// A tag that the registry did not write is somebody's: nothing is registered on its page, and it stays.
#[test]
fn a_tag_that_is_not_of_the_registered_pieces_is_refused_and_kept() {
    let words = [const { Cell::new(None) }; 64];
    let (mut sections, mut pieces) = ([SectionSlot::EMPTY; 6], [PieceSlot::EMPTY; 12]);
    let storage = Storage { sections: &mut sections, pieces: &mut pieces };
    let mut registry: Registry<'_, TinyWide, _> = Registry::new(Open(&words), storage);
    for section in 0..4 {
        registry.register_section(nr(section), NODE, SectionMetadata::default()).unwrap();
    }
    let usage = |section: u64| {
        let start = (10 << 12) + section * 64;
        Piece::usage(nr(section), PhysRange::new(PhysAddr::new(start), PhysAddr::new(start + 64)).unwrap())
    };
    let (page, word) = (Pfn::new(10), &words[10]);
    let tag = |section, users| Some(Tag::new(MetadataKind::MixInfo, section, users).unwrap());

    // On a page without pieces, also if it is the tag that the piece would give.
    for found in [tag(77, 3), tag(1, 1)] {
        word.set(found);
        let refused = RegisterError::ForeignTag { page, found, registered: None };
        assert_eq!(registry.get(usage(1)), Err(refused));
        assert_eq!((word.get(), registry.pieces().count()), (found, 0));
    }
    // On a page with pieces, whether it was changed or taken away.
    word.set(None);
    registry.get(usage(1)).unwrap();
    for found in [tag(1, 2), tag(2, 1), None] {
        word.set(found);
        let refused = RegisterError::ForeignTag { page, found, registered: tag(1, 1) };
        assert_eq!(registry.get(usage(2)), Err(refused));
        assert_eq!((word.get(), registry.pieces().count()), (found, 1));
    }
    assert_eq!(
        registry.get(usage(2)).unwrap_err().to_string(),
        "page 0xa has the tag 0x0, and 0x100001d is the tag of the pieces on it: its word is not the registry's alone"
    );
    // A block of several pages is refused as a whole.
    let block = Piece::memmap(nr(3), pages(8, 4));
    words[11].set(tag(77, 3));
    word.set(tag(1, 1));
    let released = registry.put(User::Section(nr(1)), usage(1).bytes(), &mut |_| {}).unwrap();
    assert_eq!(released.free.get(), 1);
    assert!(
        matches!(registry.get(block), Err(RegisterError::ForeignTag { page, .. }) if page == Pfn::new(11))
    );
    assert!((8..11).all(|page| words[page].get().is_none()) && registry.pieces().count() == 0);
    // Once the words are free, everything goes.
    words[11].set(None);
    registry.get(block).unwrap();
    assert_eq!(registry.tag(Pfn::new(11)).unwrap().map(Tag::kind), Some(MetadataKind::SectionInfo));
}

#[test]
fn a_store_behind_a_reference_is_a_store() {
    let mut words = [0; 2];
    let mut tags = SliceTags::new(Pfn::new(0), &mut words);
    let mut behind = &mut tags;
    let tag = Tag::new(MetadataKind::MixInfo, 3, 2).unwrap();
    TagStore::store(&mut behind, Pfn::new(1), Some(tag)).unwrap();
    assert_eq!(TagStore::load(&behind, Pfn::new(1)), Ok(Some(tag)));
    assert!(TagStore::store(&mut behind, Pfn::new(2), None).is_err());
}
