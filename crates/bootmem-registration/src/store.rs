//! Stores for tags: the page descriptors themselves, or a slice of words.

use sparsemem_core::primitive::Ordering;
use sparsemem_core::{MemoryModel, Page, Pfn};

use crate::Tag;

/// The reason why a page's tag cannot be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TagStoreError {
    /// The store has no word for the page: the page has no descriptor, or not yet.
    #[error("page {page} has no descriptor or word for a tag; register pages that the store covers")]
    NoPlace {
        /// The page.
        page: Pfn,
    },
    /// The page's word is used for another purpose.
    #[error("the word of page {page} holds {word:#x}, which is not a tag")]
    NotATag {
        /// The page.
        page: Pfn,
        /// The contents of the word.
        word: u64,
    },
}

/// A place for one tag per page.
///
/// A stored tag is loaded again until another is stored. A registry relies on its store only for answers about single
/// pages; which pages may be freed, and in which order, follows from the pieces.
pub trait TagStore {
    /// The page's tag, if it has one.
    ///
    /// # Errors
    ///
    /// [`TagStoreError`].
    fn load(&self, page: Pfn) -> Result<Option<Tag>, TagStoreError>;

    /// Writes the page's tag, or removes it if `tag` is `None`.
    ///
    /// # Errors
    ///
    /// [`TagStoreError::NoPlace`]; nothing has changed then. If [`TagStore::load`] succeeds for a page, storing
    /// succeeds too.
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

/// The tag in a word of a store.
fn decode(page: Pfn, word: u64) -> Result<Option<Tag>, TagStoreError> {
    match (word, Tag::from_word(word)) {
        (0, _) => Ok(None),
        (_, Some(tag)) => Ok(Some(tag)),
        (_, None) => Err(TagStoreError::NotATag { page, word }),
    }
}

/// A page descriptor that has a word for a tag while its page belongs to boot metadata.
///
/// The word must be zero before the page is registered, and is zero when the page is free. A faulty implementation
/// leads to errors and wrong tags, but not to wrong releases: a word that is not zero is refused when its page is
/// registered ([`ForeignTag`](crate::RegisterError::ForeignTag), [`TagStoreError::NotATag`]), and the pages to free
/// follow from the pieces, not from words.
pub trait BootmemTag {
    /// The word.
    fn tag_word(&self) -> u64;

    /// Changes the word. Called only for pages of boot metadata, by one registry at a time.
    fn set_tag_word(&self, word: u64);
}

/// The tag is kept in the owner's word, because boot metadata owns its pages. Linux used the same field.
impl BootmemTag for Page {
    fn tag_word(&self) -> u64 {
        // Relaxed: only one registry accesses the word, and it does so through a borrow of itself.
        self.private.load(Ordering::Relaxed)
    }

    fn set_tag_word(&self, word: u64) {
        // Relaxed: the same reason.
        self.private.store(word, Ordering::Relaxed);
    }
}

/// Tags in the descriptors of a model.
///
/// A page of a retired section has no descriptor and no tag. So when a section is removed, the tags of the metadata
/// in it disappear too.
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
    /// Tags for as many pages from `first` on as there are words; a word that is not zero counts as a tag.
    pub const fn new(first: Pfn, words: &'s mut [u64]) -> Self {
        Self { first, words }
    }

    /// The index of the word of a page.
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
