//! The recorded kernel, as the field `kernel` of a recording describes it.
//!
//! # Invariants
//!
//! 1. A kernel whose numbers mean something else than this crate reads is refused, with the word that says so.

use sparsemem_core::presets::{X86_64, X86_64La57};
use sparsemem_core::{Page, PagingDepth, SectionShape};

/// The geometry in which this crate counts: frames, subsections, sections and roots are the same with four levels of
/// page tables, which only have fewer of them. The models have the geometry of the recorded kernel.
pub(super) type Geo = X86_64La57;

/// Bytes of a descriptor, the same here and in the recorded kernels.
pub(super) const DESCRIPTOR: u64 = size_of::<Page>() as u64;
const _: () = assert!(DESCRIPTOR == 64, "recorded offsets count descriptors of 64 bytes");

/// The levels of the recorded kernel's page tables, which determine how many physical addresses it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Levels {
    /// 46 bits of physical address.
    Four,
    /// 52 bits.
    Five,
}

impl Levels {
    /// The number of frames.
    pub(super) const fn frames(self) -> u64 {
        match self {
            Self::Four => X86_64::MAX_PFN,
            Self::Five => X86_64La57::MAX_PFN,
        }
    }

    /// The number of sections.
    pub(super) const fn sections(self) -> u64 {
        match self {
            Self::Four => X86_64::NR_SECTIONS,
            Self::Five => X86_64La57::NR_SECTIONS,
        }
    }

    /// The depth of page tables.
    pub(super) const fn depth(self) -> PagingDepth {
        match self {
            Self::Four => PagingDepth::Four,
            Self::Five => PagingDepth::Five,
        }
    }
}

/// The properties of a kernel on which the meaning of a recording depends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kernel {
    /// Levels of its page tables.
    pub(super) levels: Levels,
    /// Entries of a root of its section table, if the description has the size of an entry.
    pub(super) sections_per_root: Option<u64>,
    /// True if it has a virtual memmap.
    pub(super) has_array: bool,
}

impl Kernel {
    /// Reads a description: `Linux 6.1, SPARSEMEM_EXTREME + VMEMMAP, x86_64 4-level, 64-byte struct page, 32-byte
    /// mem_section`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        let words: Vec<&str> = text.split(|c| !is_part(c)).filter(|word| !word.is_empty()).collect();
        if !words.contains(&"x86_64") {
            return Err(format!("`{text}` does not say x86_64, and the replay knows no other architecture"));
        }
        if let Some(bytes) = bytes_of(&words, "struct").filter(|bytes| *bytes != DESCRIPTOR) {
            return Err(format!(
                "a struct page of {bytes} bytes; the replay counts {DESCRIPTOR} for each frame"
            ));
        }
        Ok(Self {
            levels: levels(text, &words)?,
            sections_per_root: bytes_of(&words, "mem_section").map(per_root).transpose()?,
            has_array: has_array(text, &words)?,
        })
    }
}

/// The number before a word: 32 in `32-byte mem_section`.
fn bytes_of(words: &[&str], noun: &str) -> Option<u64> {
    let before = words.iter().zip(words.iter().skip(1)).find(|(_, next)| **next == noun);
    before.and_then(|(size, _)| size.strip_suffix("-byte")?.parse().ok())
}

/// Entries of a root of one page.
fn per_root(entry: u64) -> Result<u64, String> {
    let per_root =
        Geo::PAGE_SIZE.checked_div(entry).filter(|count| (1..=Geo::SECTIONS_PER_ROOT).contains(count));
    per_root.ok_or_else(|| {
        format!(
            "a mem_section of {entry} bytes: a root would have no entry, or more than {}",
            Geo::SECTIONS_PER_ROOT
        )
    })
}

/// The levels of page tables.
fn levels(text: &str, words: &[&str]) -> Result<Levels, String> {
    let mut said: Vec<&str> = words.iter().filter_map(|word| word.strip_suffix("-level")).collect();
    said.dedup();
    match said[..] {
        ["4"] => Ok(Levels::Four),
        ["5"] => Ok(Levels::Five),
        _ => Err(format!("`{text}` has to say either 4-level or 5-level")),
    }
}

/// Reads whether there is a virtual memmap.
fn has_array(text: &str, words: &[&str]) -> Result<bool, String> {
    let at = words.iter().position(|word| *word == "VMEMMAP");
    let at = at.ok_or_else(|| format!("`{text}` has to say either VMEMMAP or without VMEMMAP"))?;
    Ok(at.checked_sub(1).and_then(|before| words.get(before)) != Some(&"without"))
}

#[cfg(test)]
mod tests {
    use super::{Kernel, Levels};

    #[test]
    fn the_words_that_matter_are_read() {
        let usual = "Linux 6.1.192 (Debian linux-image-amd64), SPARSEMEM_EXTREME + VMEMMAP, x86_64 4-level, 64-byte struct \
                     page, 32-byte mem_section";
        let read = Kernel { levels: Levels::Four, sections_per_root: Some(128), has_array: true };
        assert_eq!(Kernel::parse(usual), Ok(read));
        let five = usual.replace("4-level", "5-level");
        assert_eq!(Kernel::parse(&five), Ok(Kernel { levels: Levels::Five, ..read }));
        let table = usual.replace("+ VMEMMAP", "without VMEMMAP").replace("32-byte", "16-byte");
        let read = Kernel { sections_per_root: Some(256), has_array: false, ..read };
        assert_eq!(Kernel::parse(&table), Ok(read));
    }

    #[test]
    fn a_kernel_with_other_numbers_is_refused() {
        let usual = "SPARSEMEM_EXTREME + VMEMMAP, x86_64 4-level, 64-byte struct page, 32-byte mem_section";
        for (from, to, said) in [
            ("x86_64", "arm64", "does not say x86_64"),
            ("4-level", "6-level", "either 4-level or 5-level"),
            ("4-level", "4-level 5-level", "either 4-level or 5-level"),
            ("x86_64 4-level", "x86_64", "either 4-level or 5-level"),
            ("64-byte", "56-byte", "a struct page of 56 bytes"),
            ("32-byte", "0-byte", "a mem_section of 0 bytes"),
            ("32-byte", "8-byte", "a mem_section of 8 bytes"),
            ("VMEMMAP", "FLATMEM", "either VMEMMAP or without VMEMMAP"),
        ] {
            let error = Kernel::parse(&usual.replace(from, to)).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
