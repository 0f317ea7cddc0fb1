//! The rules by name, with what Linux does, what this project does, and why.

use core::fmt;

use sparsemem_suite::Capabilities;

use crate::suits;

/// A difference from Linux on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Roots of a section table without a section.
    EmptyRoots,
    /// Usages of sections of boot that were removed.
    BootUsages,
    /// Sections of a node that begins inside a section.
    SteppedOver,
    /// Descriptors of partial sections in an altmap.
    AltmapForParts,
    /// An altmap without room for whole sections, on a table model.
    AltmapTooSmall,
    /// An altmap with descriptors that a neighbour needs, on a table model.
    AltmapStillNeeded,
    /// Descriptors of the tails of a device's large pages, in an array.
    FoldedTails,
    /// Descriptors of the tails of a device's large pages, on a table model.
    Unfoldable,
}

/// The texts of a rule.
struct Texts {
    name: &'static str,
    linux: &'static str,
    ours: &'static str,
    why: &'static str,
}

impl Rule {
    /// All rules.
    pub const ALL: [Self; 8] = [
        Self::EmptyRoots,
        Self::BootUsages,
        Self::SteppedOver,
        Self::AltmapForParts,
        Self::AltmapTooSmall,
        Self::AltmapStillNeeded,
        Self::FoldedTails,
        Self::Unfoldable,
    ];

    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.texts().name
    }

    /// True if the rule can apply to a model that says this of itself.
    #[must_use]
    pub const fn is_about(self, can: &Capabilities) -> bool {
        match self {
            Self::EmptyRoots => suits::has_roots(can),
            Self::FoldedTails => can.array.is_some(),
            Self::AltmapTooSmall | Self::AltmapStillNeeded | Self::Unfoldable => can.array.is_none(),
            Self::BootUsages | Self::SteppedOver | Self::AltmapForParts => true,
        }
    }

    const fn texts(self) -> Texts {
        match self {
            Self::EmptyRoots => Texts {
                name: "empty-roots",
                linux: "keeps a root of the section table for ever (O-14)",
                ours: "a root goes with its last section",
                why: "removing memory gives back what adding it took",
            },
            Self::BootUsages => Texts {
                name: "boot-usages",
                linux: "keeps the usage of a boot section that is removed (U-18)",
                ours: "a usage goes with its section",
                why: "every usage is a block of its own",
            },
            Self::SteppedOver => Texts {
                name: "stepped-over",
                linux: "registers a boot section by one frame of it, in steps from the node's first frame on, and so misses the \
                        last section of a node that begins inside a section, and one whose frame is a hole (B-30)",
                ours: "every section of boot is registered",
                why: "memory that holds a memmap must not go",
            },
            Self::AltmapForParts => Texts {
                name: "altmap-for-parts",
                linux: "takes the descriptors of a partial section from RAM, on x86, although the device has an altmap \
                        (V-15)",
                ours: "the altmap has them, as base pages of an array or in the section's block of a table model",
                why: "a device that brings memory for its descriptors takes no RAM",
            },
            Self::AltmapTooSmall => Texts {
                name: "altmap-too-small",
                linux: "has altmaps only with a virtual memmap, which does with single pages",
                ours: "a table model wants a block for every section, refuses an altmap that has no room for them, and is \
                       then given the device without the altmap",
                why: "the word of a section leads to one block",
            },
            Self::AltmapStillNeeded => Texts {
                name: "altmap-still-needed",
                linux: "has altmaps only with a virtual memmap, whose pages no two devices share",
                ours: "a table model refuses to remove a device whose altmap has the block of a section that a neighbour \
                       shares; both are then removed, and the neighbour is added again",
                why: "the neighbour would lose its descriptors",
            },
            Self::FoldedTails => Texts {
                name: "folded-tails",
                linux: "keeps two pages of the descriptors of a device's large page, and maps the second in the place of all \
                        others (V-61)",
                ours: "the head has a page of its own, and one page that may only be read has the tails of all large pages of \
                       the size and the node",
                why: "tails are alike whatever page they belong to",
            },
            Self::Unfoldable => Texts {
                name: "unfoldable",
                linux: "has devices with large pages only with a virtual memmap, whose mappings may share memory",
                ours: "a table model refuses to share descriptors, and is then given the device in base pages",
                why: "the word of a section leads to one block",
            },
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Texts { name, linux, ours, why } = self.texts();
        write!(f, "{name}: Linux {linux}. Here {ours}, because {why}.")
    }
}
