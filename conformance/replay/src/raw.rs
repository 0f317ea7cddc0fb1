//! The JSON of a recording, field by field, before anything is checked.
//!
//! # Invariants
//!
//! 1. An unknown field is an error, so that a misspelt one is not ignored.

use serde::Deserialize;
use serde::de::IgnoredAny;

/// A recording.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRecording {
    pub(super) case: String,
    pub(super) what: String,
    pub(super) kernel: String,
    #[serde(rename = "qemu", default)]
    _qemu: IgnoredAny,
    #[serde(rename = "append", default)]
    _append: IgnoredAny,
    /// Bytes of a memory block; one section if left out.
    #[serde(default)]
    pub(super) memory_block: Option<u64>,
    /// Node, start, end; bytes.
    pub(super) memblock_memory: Vec<(u32, u64, u64)>,
    #[serde(rename = "e820", default)]
    _e820: IgnoredAny,
    #[serde(rename = "srat", default)]
    _srat: IgnoredAny,
    pub(super) steps: Vec<RawStep>,
    #[serde(default)]
    pub(super) bootmem_tags: Option<Vec<String>>,
}

/// The operations of a step, and the recorded state after them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStep {
    pub(super) ops: Vec<RawOp>,
    #[serde(default)]
    pub(super) iomem: Option<Vec<String>>,
    #[serde(default)]
    pub(super) roots: Option<Vec<u64>>,
    pub(super) sections: Vec<RawSection>,
    /// Start, end, size of a mapping; offsets in bytes.
    #[serde(default)]
    pub(super) vmemmap: Vec<(u64, u64, u64)>,
    /// Start, end as offsets, and physical address.
    #[serde(default)]
    pub(super) vmemmap_backing: Vec<(u64, u64, u64)>,
}

/// Number, flags, subsection map, memmap, has usage.
#[derive(Deserialize)]
pub(super) struct RawSection(
    pub(super) u64,
    pub(super) u8,
    pub(super) Option<String>,
    pub(super) Option<u64>,
    pub(super) u8,
);

/// An operation; `start` and `size` are bytes.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum RawOp {
    Boot {},
    AddMemory { start: u64, size: u64, node: u32, altmap: Option<RawAltmap> },
    RemoveMemory { start: u64, size: u64 },
    Online { start: u64, size: u64 },
    Offline { start: u64, size: u64 },
    AddDevice { start: u64, size: u64, altmap: Option<RawAltmap>, compound: Option<u64> },
    RemoveDevice { start: u64, size: u64 },
}

/// Frames of added memory that are reserved for its memmap.
#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAltmap {
    pub(super) base_pfn: u64,
    pub(super) reserve: u64,
    pub(super) free: u64,
}
