//! Machines: real memory maps, and made-up ones for growth.

use std::path::{Path, PathBuf};

use sparsemem_core::presets::X86_64;
use sparsemem_core::{Geometry, MemoryRange, NodeId, PageCount, Pfn, PfnRange, SectionShape};
use sparsemem_log_reader::{Mode, parse_bytes};

/// A memory map to measure on.
#[derive(Clone, Debug)]
pub struct Map {
    /// Name in reports.
    pub name: String,
    /// RAM as a kernel registers it.
    pub memory: Vec<MemoryRange>,
}

/// The reason why a machine cannot be measured on.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {why}")]
pub struct MapError {
    path: String,
    why: String,
}

/// The machines of a run that names none: a laptop, a cloud instance, and large servers.
pub const USUAL: [&str; 4] = [
    "x86-thinkpad-x1c6-8g.dmesg",
    "x86-gce-vm-32g-uefi.dmesg",
    "x86-dell-r815-4s8n-512g.dmesg",
    "x86-epyc-genoa-2s-1536g.dmesg",
];

/// The folder with the project's machines.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../conformance/machines")
}

impl Map {
    /// Reads a memory map of any notation: a path, or a name of the project's machines.
    ///
    /// # Errors
    ///
    /// [`MapError`], naming the file: it is not there, has no memory map, or memory beyond what x86_64 measures.
    pub fn open(name: &str) -> Result<Self, MapError> {
        let error = |why: String| MapError { path: name.to_owned(), why };
        let own = [name.to_owned(), format!("{name}.dmesg")].map(|name| folder().join(name));
        let given = Path::new(name);
        let known = own.into_iter().find(|path| path.is_file() && !given.exists());
        let bytes =
            std::fs::read(known.as_deref().unwrap_or(given)).map_err(|source| error(source.to_string()))?;
        let parsed = parse_bytes(&bytes, Mode::Lenient).map_err(|source| error(source.to_string()))?;
        let ranges = parsed.layout.memory_ranges();
        let ranges = ranges.map(|(bytes, node)| MemoryRange::from_bytes::<X86_64>(bytes, node));
        let memory: Vec<_> = ranges.filter(|range| !range.frames.is_empty()).collect();
        if memory.iter().any(|range| range.frames.end().get() > X86_64::MAX_PFN) {
            return Err(error("it has memory above 64 TiB (46 bits), which cannot be measured".to_owned()));
        }
        if memory.is_empty() {
            return Err(error("it has no memory".to_owned()));
        }
        let short = name.rsplit('/').next().unwrap_or(name);
        let short = short.strip_suffix(".dmesg").unwrap_or(short).to_owned();
        Ok(Self { name: short, memory })
    }

    /// A machine with `bytes` bytes from address zero on.
    #[must_use]
    pub fn contiguous(name: &str, bytes: u64) -> Self {
        Self { name: name.to_owned(), memory: vec![range(0, bytes)] }
    }

    /// A machine with 1 GiB at the start, 1 GiB that ends at `bytes`, and a hole between.
    #[must_use]
    pub fn hollow(name: &str, bytes: u64) -> Self {
        Self { name: name.to_owned(), memory: vec![range(0, 1 << 30), range(bytes - (1 << 30), bytes)] }
    }

    /// A machine in which every other section is there, `sections` in all.
    #[must_use]
    pub fn perforated<G: Geometry>(name: &str, sections: u64) -> Self {
        let memory =
            (0..sections).map(|index| range(2 * index * G::SECTION_SIZE, (2 * index + 1) * G::SECTION_SIZE));
        Self { name: name.to_owned(), memory: memory.collect() }
    }

    /// Bytes of RAM.
    #[must_use]
    pub fn ram_bytes(&self) -> u64 {
        self.memory.iter().map(|range| range.frames.count().get() * X86_64::PAGE_SIZE).sum()
    }

    /// The number of sections that have RAM.
    #[must_use]
    pub fn sections(&self) -> u64 {
        let mut numbers: Vec<u64> = self
            .memory
            .iter()
            .flat_map(|range| range.frames.by_section::<X86_64>().map(|(nr, _)| nr.get()))
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.len() as u64
    }
}

/// The frames between two addresses.
fn range(start: u64, end: u64) -> MemoryRange {
    let frames = PfnRange::from_start_count(
        Pfn::new(start >> X86_64::PAGE_SHIFT),
        PageCount::new((end - start) >> X86_64::PAGE_SHIFT),
    );
    MemoryRange { frames: frames.unwrap_or_default(), node: NodeId::new(0) }
}

/// All frames of some memory, as one range.
#[must_use]
pub fn span(memory: &[MemoryRange]) -> PfnRange {
    let start = memory.iter().map(|range| range.frames.start()).min().unwrap_or_default();
    let end = memory.iter().map(|range| range.frames.end()).max().unwrap_or_default();
    PfnRange::new(start, end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Map, USUAL};

    #[test]
    fn the_usual_machines_are_there() {
        for name in USUAL {
            let map = Map::open(name).unwrap();
            assert!(map.ram_bytes() > 4 << 30, "{name} has {} bytes", map.ram_bytes());
        }
        assert!(Map::open("no-such.dmesg").is_err());
    }

    #[test]
    fn sections_are_counted_once() {
        assert_eq!(Map::contiguous("a", 1 << 30).sections(), 8);
        assert_eq!(Map::hollow("b", 64 << 40).sections(), 16);
        assert_eq!(Map::perforated::<sparsemem_core::presets::X86_64>("c", 5).sections(), 5);
    }
}
