//! The geometries of the architectures that Linux runs on, and tiny ones for tests.
//!
//! The numbers are Linux' own (`arch/*/include/asm/sparsemem.h`, 6.12); each is compared with them in the tests below.

use super::{Geometry, SectionShape};
use crate::primitive::AtomicU64;

/// Declares a geometry and checks it.
macro_rules! preset {
    ($(#[$doc:meta])* $name:ident = $text:literal, page $page:literal, section $section:literal,
     physmem $physmem:literal, subsection $sub:literal, pageblock $order:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name;

        impl Geometry for $name {
            const NAME: &'static str = $text;
            const PAGE_SHIFT: u32 = $page;
            const SECTION_SIZE_BITS: u32 = $section;
            const MAX_PHYSMEM_BITS: u32 = $physmem;
            const SUBSECTION_SHIFT: u32 = $sub;
            const PAGEBLOCK_ORDER: u32 = $order;
            type SubsectionMap = [AtomicU64; (1usize << ($section - $sub)).div_ceil(64)];
            type PageblockFlags = [AtomicU64; (8usize << ($section - $page - $order)).div_ceil(64)];
        }

        const _: () = $name::CHECK;
    };
}

preset! {
    /// x86_64 with 4-level page tables: 46 bits of physical address, 128 MiB sections.
    X86_64 = "x86_64", page 12, section 27, physmem 46, subsection 21, pageblock 9
}

preset! {
    /// x86_64 with 5-level page tables: 52 bits of physical address.
    X86_64La57 = "x86_64-la57", page 12, section 27, physmem 52, subsection 21, pageblock 9
}

preset! {
    /// 32-bit x86 with physical address extension: 36 bits of physical address, 512 MiB sections.
    X86Pae = "x86-pae", page 12, section 29, physmem 36, subsection 21, pageblock 9
}

preset! {
    /// arm64 with 4 KiB pages.
    Arm64Page4K = "arm64-4k", page 12, section 27, physmem 48, subsection 21, pageblock 9
}

preset! {
    /// arm64 with 16 KiB pages: a subsection's memmap is half a page.
    Arm64Page16K = "arm64-16k", page 14, section 27, physmem 48, subsection 21, pageblock 11
}

preset! {
    /// arm64 with 64 KiB pages: 512 MiB sections, one pageblock each.
    Arm64Page64K = "arm64-64k", page 16, section 29, physmem 48, subsection 21, pageblock 13
}

preset! {
    /// riscv64: 56 bits of physical address.
    Riscv64 = "riscv64", page 12, section 27, physmem 56, subsection 21, pageblock 9
}

preset! {
    /// ppc64 with 64 KiB pages: 16 MiB sections, four of whose memmaps share a page.
    Ppc64Page64K = "ppc64-64k", page 16, section 24, physmem 51, subsection 21, pageblock 8
}

preset! {
    /// s390x: 256 MiB sections, 1 MiB pageblocks.
    S390x = "s390x", page 12, section 28, physmem 46, subsection 21, pageblock 8
}

preset! {
    /// loongarch64 with 16 KiB pages: 512 MiB sections.
    LoongArch64 = "loongarch64", page 14, section 29, physmem 48, subsection 21, pageblock 11
}

preset! {
    /// sparc64: 8 KiB pages, 1 GiB sections of 512 subsections.
    Sparc64 = "sparc64", page 13, section 30, physmem 53, subsection 21, pageblock 10
}

preset! {
    /// Eight sections of four subsections of two 4 KiB frames: small enough for tests to visit every state.
    Tiny = "tiny", page 12, section 15, physmem 18, subsection 13, pageblock 1
}

preset! {
    /// 64 sections of 64 subsections of one 4 KiB frame: small memory, full-width subsection maps.
    TinyWide = "tiny-wide", page 12, section 18, physmem 24, subsection 12, pageblock 3
}

preset! {
    /// Eight sections of two subsections of two 64-byte frames, four sections to a root: for model checkers, whose run
    /// time grows with every atomic.
    Minute = "minute", page 6, section 8, physmem 11, subsection 7, pageblock 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PageCount, Pfn, PhysAddr, SectionNr};

    /// The columns of the table of Linux geometries: G-20 and following.
    struct Row {
        pages_per_section: u64,
        nr_sections_log2: u32,
        subsections: u32,
        sections_per_root: u64,
        nr_roots: u64,
    }

    fn compare<G: Geometry>(row: &Row) {
        assert_eq!(G::PAGES_PER_SECTION, row.pages_per_section, "{}", G::NAME);
        assert_eq!(G::NR_SECTIONS, 1 << row.nr_sections_log2, "{}", G::NAME);
        assert_eq!(G::SUBSECTIONS_PER_SECTION, row.subsections, "{}", G::NAME);
        assert_eq!(G::SECTIONS_PER_ROOT, row.sections_per_root, "{}", G::NAME);
        assert_eq!(G::NR_ROOTS, row.nr_roots, "{}", G::NAME);
        assert_eq!(G::MAX_PFN, G::NR_SECTIONS * G::PAGES_PER_SECTION, "{}", G::NAME);
        assert_eq!(G::PAGES_PER_SECTION, G::PAGES_PER_SUBSECTION * u64::from(G::SUBSECTIONS_PER_SECTION));
    }

    #[test]
    fn derived_numbers_are_those_of_linux() {
        let row = |pages_per_section, nr_sections_log2, subsections, sections_per_root, nr_roots| Row {
            pages_per_section,
            nr_sections_log2,
            subsections,
            sections_per_root,
            nr_roots,
        };
        compare::<X86_64>(&row(32768, 19, 64, 256, 2048)); // G-20
        compare::<X86_64La57>(&row(32768, 25, 64, 256, 131_072)); // G-21
        compare::<X86Pae>(&row(131_072, 7, 256, 256, 1)); // G-22, which Linux builds with one level only
        compare::<Arm64Page4K>(&row(32768, 21, 64, 256, 8192)); // G-24
        compare::<Arm64Page16K>(&row(8192, 21, 64, 1024, 2048)); // G-25
        compare::<Arm64Page64K>(&row(8192, 19, 256, 4096, 128)); // G-26
        compare::<Riscv64>(&row(32768, 29, 64, 256, 2_097_152)); // G-27
        compare::<Ppc64Page64K>(&row(256, 27, 8, 4096, 32768)); // G-29
        compare::<S390x>(&row(65536, 18, 128, 256, 1024)); // G-31
        compare::<LoongArch64>(&row(32768, 19, 256, 1024, 512)); // G-32
        compare::<Sparc64>(&row(131_072, 23, 512, 512, 16384)); // G-34
    }

    #[test]
    fn frame_numbers_split_as_in_the_worked_vectors() {
        // The worked vectors (T-01).
        assert_eq!(Pfn::new(0x10_0000).section::<X86_64>(), SectionNr::new(32));
        assert_eq!(Pfn::new(0x10_0000).subsection::<X86_64>().get(), 0);
        assert_eq!(Pfn::new(0xf_ffff).section::<X86_64>(), SectionNr::new(31));
        assert_eq!(Pfn::new(0xf_ffff).subsection::<X86_64>().get(), 63);
        assert_eq!(Pfn::new(0xf_ffff).offset_in_section::<X86_64>(), PageCount::new(0x7fff));
    }

    #[test]
    fn numbers_beyond_the_end_of_the_address_space_have_no_address() {
        assert_eq!(Pfn::new(u64::MAX).phys::<X86_64>(), None);
        assert_eq!(Pfn::new(u64::MAX >> 12).phys::<X86_64>(), Some(PhysAddr::new(!0xfff)));
        assert_eq!(SectionNr::new(u64::MAX).first_pfn::<X86_64>(), None);
        assert_eq!(SectionNr::new(u64::MAX).frames::<X86_64>(), None);
        assert!(!SectionNr::new(X86_64::NR_SECTIONS).exists::<X86_64>());
        assert!(SectionNr::new(X86_64::NR_SECTIONS - 1).exists::<X86_64>());
    }
}
