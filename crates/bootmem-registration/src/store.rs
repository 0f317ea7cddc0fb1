//! Where tags are kept: in the page descriptors themselves, or in a slice of words.

use sparsemem_core::primitive::Ordering;
use sparsemem_core::{MemoryModel, Page, Pfn};

use crate::Tag;

/// Why a page's tag cannot be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TagStoreError {
    /// The store has no word for the page: its descriptor is not there, or not yet.
    #[error("page {page} has no place for a tag")]
    NoPlace {
        /// The page.
        page: Pfn,
    },
    /// The page's word is in use for something else.
    #[error("the word of page {page} holds {word:#x}, which is no tag")]
    NotATag {
        /// The page.
        page: Pfn,
        /// What its word holds.
        word: u64,
    },
}

/// One tag per page.
///
/// What is stored is loaded again until something else is stored. A registry trusts its store with answers about single
/// pages only; what may be freed and in which order follows from the pieces.
pub trait TagStore {
    /// The page's tag, if it has one.
    ///
    /// # Errors
    ///
    /// [`TagStoreError`].
    fn load(&self, page: Pfn) -> Result<Option<Tag>, TagStoreError>;

    /// Writes the page's tag, or that it has none.
    ///
    /// # Errors
    ///
    /// [`TagStoreError::NoPlace`]; nothing has changed then. Where [`TagStore::load`] succeeded, storing does.
    fn store(&mut self, page: Pfn, tag: Option<Tag>) -> Result<(), TagStoreError>;
}

impl<S: TagStore + ?Sized> TagStore for &mut S {
    fn load(&self, page: Pfn) -> Result<Option<Tag>, TagStoreError> {
        (**self).load(page)
    }

    fn store(&mut self, page: Pfn, tag: Option<Tag>) -> Result<(), TagStoreError> {
        (**self).store(page, tag)
    }
}

/// A word as a store keeps it.
fn decode(page: Pfn, word: u64) -> Result<Option<Tag>, TagStoreError> {
    match (word, Tag::from_word(word)) {
        (0, _) => Ok(None),
        (_, Some(tag)) => Ok(Some(tag)),
        (_, None) => Err(TagStoreError::NotATag { page, word }),
    }
}

/// A page descriptor that has a word for a tag while its page belongs to boot metadata.
///
/// The word has to be zero before the page is registered, and is zero when it is free. What an implementor gets wrong ends in
/// errors and in tags that say nothing: a word that is not zero is refused when its page is registered
/// ([`ForeignTag`](crate::RegisterError::ForeignTag), [`TagStoreError::NotATag`]), and no word decides what is given back,
/// which follows from the pieces.
pub trait BootmemTag {
    /// The word.
    fn tag_word(&self) -> u64;

    /// Changes the word. Called only for pages of boot metadata, by one registry at a time.
    fn set_tag_word(&self, word: u64);
}

/// The owner's word: boot metadata owns its pages. Linux used the same field.
impl BootmemTag for Page {
    fn tag_word(&self) -> u64 {
        // Relaxed: one registry reads and writes, and it is borrowed for that.
        self.private.load(Ordering::Relaxed)
    }

    fn set_tag_word(&self, word: u64) {
        // Relaxed: as above.
        self.private.store(word, Ordering::Relaxed);
    }
}

/// Tags in the descriptors of a model.
///
/// A page whose section has been retired has no descriptor and no tag; so the tags of metadata that leaves with its
/// section leave with it too.
#[derive(Debug)]
pub struct DescriptorTags<'m, M> {
    model: &'m M,
}

impl<'m, M: MemoryModel<Page: BootmemTag>> DescriptorTags<'m, M> {
    /// Tags in the descriptors of `model`.
    pub const fn new(model: &'m M) -> Self {
        Self { model }
    }
}

impl<M: MemoryModel<Page: BootmemTag>> TagStore for DescriptorTags<'_, M> {
    fn load(&self, page: Pfn) -> Result<Option<Tag>, TagStoreError> {
        let reader = self.model.read();
        let descriptor = reader.page(page).ok_or(TagStoreError::NoPlace { page })?;
        decode(page, descriptor.tag_word())
    }

    fn store(&mut self, page: Pfn, tag: Option<Tag>) -> Result<(), TagStoreError> {
        let reader = self.model.read();
        let descriptor = reader.page(page).ok_or(TagStoreError::NoPlace { page })?;
        descriptor.set_tag_word(tag.map_or(0, Tag::word));
        Ok(())
    }
}

/// Tags in a slice of words, one per page from a first page on.
#[derive(Debug)]
pub struct SliceTags<'s> {
    first: Pfn,
    words: &'s mut [u64],
}

impl<'s> SliceTags<'s> {
    /// Tags of as many pages from `first` on as there are words; a word that is not zero counts as a tag.
    pub const fn new(first: Pfn, words: &'s mut [u64]) -> Self {
        Self { first, words }
    }

    /// Where the word of a page is.
    fn index(&self, page: Pfn) -> Result<usize, TagStoreError> {
        let offset = page.offset_from(self.first).and_then(|offset| usize::try_from(offset.get()).ok());
        offset.filter(|index| *index < self.words.len()).ok_or(TagStoreError::NoPlace { page })
    }
}

impl TagStore for SliceTags<'_> {
    fn load(&self, page: Pfn) -> Result<Option<Tag>, TagStoreError> {
        let word = self.words.get(self.index(page)?).ok_or(TagStoreError::NoPlace { page })?;
        decode(page, *word)
    }

    fn store(&mut self, page: Pfn, tag: Option<Tag>) -> Result<(), TagStoreError> {
        let index = self.index(page)?;
        let word = self.words.get_mut(index).ok_or(TagStoreError::NoPlace { page })?;
        *word = tag.map_or(0, Tag::word);
        Ok(())
    }
}
