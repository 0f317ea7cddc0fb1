//! The tag of a page of boot metadata: kind, user, and number of pieces.
//!
//! # Invariants
//!
//! 1. A tag counts at least one user; a page without users has no tag, and its word is zero.
//! 2. A packed tag is never zero, so it differs from the word of a page without a tag.
//! 3. The number in a tag is valid for its user: the number of a node has at most 32 bits.

use sparsemem_core::{NodeId, SectionNr};

use crate::{Piece, Purpose, User};

/// The kind of metadata on a boot page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MetadataKind {
    /// The memmap of one section.
    SectionInfo = 12,
    /// Metadata that several sections may share: usages, tables, or pieces of different kinds on one page.
    MixInfo = 13,
    /// Data of a node.
    NodeInfo = 14,
}

impl MetadataKind {
    /// The number that Linux 2.6.27 kept in a page's mapcount, below its smallest normal value.
    #[must_use]
    pub const fn code_2008(self) -> i32 {
        match self {
            Self::SectionInfo => -2,
            Self::MixInfo => -3,
            Self::NodeInfo => -4,
        }
    }

    /// The number that later versions used until 2026, and that a packed [`Tag`] has. It was chosen to be easy to
    /// recognise in a dump.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The kind with this [`MetadataKind::code`].
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            12 => Some(Self::SectionInfo),
            13 => Some(Self::MixInfo),
            14 => Some(Self::NodeInfo),
            _ => None,
        }
    }
}

/// The reason why a tag cannot have these parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TagError {
    /// The number of the section or node is too large for a tag.
    #[error("section or node number {id} does not fit a tag")]
    IdTooLarge {
        /// The number.
        id: u64,
    },
    /// A tag counts at least one user, and at most [`Tag::MAX_USERS`].
    #[error("a tag cannot count {users} users")]
    Users {
        /// The number.
        users: u32,
    },
}

/// The kind and the user of the metadata on a boot page, and the number of pieces on it.
///
/// A tag packs into a word of a page descriptor:
///
/// | bits | meaning |
/// |---|---|
/// | 0..4 | [`MetadataKind::code`] |
/// | 4..24 | number of pieces |
/// | 24..64 | section or node |
///
/// Source: Linux `get_page_bootmem`, which keeps kind and number packed in `page->private` since 6.14 (B-02), and the
/// count in the page's references (B-03). Differs from Linux: the count has its own bits, so references keep their
/// meaning; and when the user of a tag is removed, the number becomes that of a remaining user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag {
    kind: MetadataKind,
    id: u64,
    users: u32,
}

const USERS_SHIFT: u32 = 4;
const ID_SHIFT: u32 = 24;

impl Tag {
    /// The most pieces that a page's tag can count.
    pub const MAX_USERS: u32 = (1 << (ID_SHIFT - USERS_SHIFT)) - 1;
    /// The largest section number that fits. The number of every node fits, because it has 32 bits.
    pub const MAX_ID: u64 = (1 << (u64::BITS - ID_SHIFT)) - 1;

    /// A tag of these parts.
    ///
    /// # Errors
    ///
    /// [`TagError`], with the part that does not fit.
    pub const fn new(kind: MetadataKind, id: u64, users: u32) -> Result<Self, TagError> {
        let max = match kind {
            MetadataKind::NodeInfo => u32::MAX as u64,
            MetadataKind::SectionInfo | MetadataKind::MixInfo => Self::MAX_ID,
        };
        if id > max {
            return Err(TagError::IdTooLarge { id });
        }
        if users == 0 || users > Self::MAX_USERS {
            return Err(TagError::Users { users });
        }
        Ok(Self { kind, id, users })
    }

    /// The kind of metadata on the page.
    #[must_use]
    pub const fn kind(self) -> MetadataKind {
        self.kind
    }

    /// The user; if there are several, the section with the highest number.
    #[must_use]
    pub const fn user(self) -> User {
        match self.kind {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "invariant 3: the number of a node has 32 bits"
            )]
            MetadataKind::NodeInfo => User::Node(NodeId::new(self.id as u32)),
            MetadataKind::SectionInfo | MetadataKind::MixInfo => User::Section(SectionNr::new(self.id)),
        }
    }

    /// The number of the section or node, as it is stored in the word.
    #[must_use]
    pub const fn id(self) -> u64 {
        self.id
    }

    /// The number of pieces that have a byte on the page.
    #[must_use]
    pub const fn users(self) -> u32 {
        self.users
    }

    /// The tag as a word; never zero.
    #[must_use]
    pub const fn word(self) -> u64 {
        self.id << ID_SHIFT | (self.users as u64) << USERS_SHIFT | self.kind.code() as u64
    }

    /// The tag in a word, or `None` if [`Tag::word`] never returns that word.
    #[must_use]
    pub const fn from_word(word: u64) -> Option<Self> {
        let code = (word & 0xf) as u8;
        #[expect(clippy::cast_possible_truncation, reason = "masked to twenty bits")]
        let users = (word >> USERS_SHIFT) as u32 & Self::MAX_USERS;
        match MetadataKind::from_code(code) {
            Some(kind) => match Self::new(kind, word >> ID_SHIFT, users) {
                Ok(tag) => Some(tag),
                Err(_) => None,
            },
            None => None,
        }
    }
}

/// The tag of a page on which these pieces lie.
pub(crate) fn tag_of<'p>(pieces: impl IntoIterator<Item = &'p Piece>) -> Result<Option<Tag>, TagError> {
    let (mut users, mut highest, mut one_memmap) = (0u32, None, true);
    for piece in pieces {
        let same = highest.is_none_or(|user| user == piece.user());
        one_memmap &= same && piece.purpose() == Purpose::Memmap;
        highest = highest.max(Some(piece.user()));
        users = users.saturating_add(1);
    }
    let (kind, id) = match highest {
        None => return Ok(None),
        Some(User::Node(node)) => (MetadataKind::NodeInfo, u64::from(node.get())),
        Some(User::Section(nr)) if one_memmap => (MetadataKind::SectionInfo, nr.get()),
        Some(User::Section(nr)) => (MetadataKind::MixInfo, nr.get()),
    };
    Tag::new(kind, id, users).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_the_numbers_of_linux() {
        let kinds = [MetadataKind::SectionInfo, MetadataKind::MixInfo, MetadataKind::NodeInfo];
        assert_eq!(kinds.map(MetadataKind::code), [12, 13, 14]);
        assert_eq!(
            kinds.map(|kind| kind.code_2008().cast_unsigned()),
            [0xffff_fffe, 0xffff_fffd, 0xffff_fffc]
        );
        assert!((0..=u8::MAX).filter_map(MetadataKind::from_code).eq(kinds));
    }

    #[test]
    fn tags_survive_their_word() {
        let kinds = [
            (MetadataKind::SectionInfo, Tag::MAX_ID),
            (MetadataKind::MixInfo, Tag::MAX_ID),
            (MetadataKind::NodeInfo, u64::from(u32::MAX)),
        ];
        for (kind, max) in kinds {
            for (id, users) in [(0, 1), (7, 64), (max, Tag::MAX_USERS)] {
                let tag = Tag::new(kind, id, users).unwrap();
                assert_ne!(tag.word(), 0);
                assert_eq!(Tag::from_word(tag.word()), Some(tag));
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let id = Tag::MAX_ID + 1;
        assert_eq!(Tag::new(MetadataKind::MixInfo, id, 1), Err(TagError::IdTooLarge { id }));
        let id = u64::from(u32::MAX) + 1;
        assert_eq!(Tag::new(MetadataKind::NodeInfo, id, 1), Err(TagError::IdTooLarge { id }));
        let section = Tag::new(MetadataKind::MixInfo, id, 1).unwrap();
        assert_eq!(section.user(), User::Section(SectionNr::new(id)));
        let node = section.word() - u64::from(MetadataKind::MixInfo.code())
            + u64::from(MetadataKind::NodeInfo.code());
        assert_eq!(Tag::from_word(node), None);
        for users in [0, Tag::MAX_USERS + 1] {
            assert_eq!(Tag::new(MetadataKind::MixInfo, 1, users), Err(TagError::Users { users }));
        }
        for word in [0, 12, 0x1b, u64::MAX, 5 << 24] {
            assert_eq!(Tag::from_word(word), None, "{word:#x}");
        }
    }
}
