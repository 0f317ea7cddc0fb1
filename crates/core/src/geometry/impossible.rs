//! Geometries that are not valid, one per check of [`SectionShape::CHECK`](super::SectionShape::CHECK). Each stands
//! beside the nearest valid geometry, which proves that it fails to compile for the named reason alone.

/// The text of a program with a geometry.
macro_rules! program {
    ($page:literal, $section:literal, $physmem:literal, $sub:literal, $order:literal, $map:literal, $flags:literal) => {
        concat!(
            "use sparsemem_core::{Geometry, SectionShape, primitive::AtomicU64};\n",
            "#[derive(Clone, Copy)]\nstruct Board;\n",
            "impl Geometry for Board {\n",
            "const NAME: &'static str = \"board\";\n",
            "const PAGE_SHIFT: u32 = ",
            $page,
            ";\nconst SECTION_SIZE_BITS: u32 = ",
            $section,
            ";\nconst MAX_PHYSMEM_BITS: u32 = ",
            $physmem,
            ";\nconst SUBSECTION_SHIFT: u32 = ",
            $sub,
            ";\nconst PAGEBLOCK_ORDER: u32 = ",
            $order,
            ";\ntype SubsectionMap = [AtomicU64; ",
            $map,
            "];\ntype PageblockFlags = [AtomicU64; ",
            $flags,
            "];\n}\nconst _: () = Board::CHECK;\n"
        )
    };
}

/// A test that compiles, and one that does not.
macro_rules! border {
    ($(#[$why:meta])* $name:ident: ($($possible:literal),*) ($($impossible:literal),*)) => {
        $(#[$why])*
        ///
        #[doc = concat!("```\n", program!($($possible),*), "```\n")]
        ///
        #[doc = concat!("```compile_fail\n", program!($($impossible),*), "```\n")]
        struct $name;
    };
}

border! {
    /// A page must hold several section entries.
    SmallPage: (6, 15, 18, 13, 7, 1, 1) (5, 15, 18, 13, 7, 1, 1)
}

border! {
    /// A subsection must hold at least one page.
    SmallSubsection: (12, 15, 18, 12, 1, 1, 1) (12, 15, 18, 11, 1, 1, 1)
}

border! {
    /// A subsection must fit its section.
    LargeSubsection: (12, 15, 18, 15, 1, 1, 1) (12, 15, 18, 16, 1, 1, 1)
}

border! {
    /// A section has at most 512 subsections.
    ManySubsections: (12, 24, 30, 15, 10, 8, 1) (12, 24, 30, 14, 10, 16, 1)
}

border! {
    /// Physical memory must have at least two sections.
    OneSection: (12, 15, 16, 13, 1, 1, 1) (12, 15, 15, 13, 1, 1, 1)
}

border! {
    /// A section number must fit 32 bits.
    ManySections: (12, 15, 47, 13, 1, 1, 1) (12, 15, 48, 13, 1, 1, 1)
}

border! {
    /// Physical addresses end below 2^60.
    HighAddresses: (12, 30, 60, 21, 16, 8, 1) (12, 30, 61, 21, 16, 8, 1)
}

border! {
    /// A pageblock must fit its section.
    LargePageblock: (12, 15, 18, 13, 3, 1, 1) (12, 15, 18, 13, 4, 1, 1)
}

border! {
    /// The subsection map has a bit per subsection: not a word less.
    ShortMap: (12, 21, 30, 14, 7, 2, 1) (12, 21, 30, 14, 7, 1, 1)
}

border! {
    /// And not a word more.
    LongMap: (12, 15, 18, 13, 1, 1, 1) (12, 15, 18, 13, 1, 2, 1)
}

border! {
    /// The flags have eight bits per pageblock: not a word less.
    ShortFlags: (12, 18, 24, 12, 2, 1, 2) (12, 18, 24, 12, 2, 1, 1)
}

border! {
    /// And not a word more.
    LongFlags: (12, 15, 18, 13, 1, 1, 1) (12, 15, 18, 13, 1, 1, 2)
}
