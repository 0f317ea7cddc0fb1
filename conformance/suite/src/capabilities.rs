//! The capabilities that a model claims: scenarios run only where it says that they apply, and then hold it to its
//! word.
//!
//! # Invariants
//!
//! 1. Every capability has a broken model that claims it and is caught.

#![allow(unsafe_code, reason = "that descriptors need not be initialised is a promise")]

use sparsemem_altmap::MemmapRule;
use sparsemem_core::VirtAddr;

/// The sections that a model can bring up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Any section of the geometry, at any time and at the same price. `walk/cost` and `boot/beyond-maximum` bring up
    /// the highest section.
    Everywhere,
    /// Those from the lowest to the highest section of boot, and those that room was reserved for. A machine may have
    /// holes that are too large: where the model says so by [`SectionLoss::Array`](sparsemem_core::SectionLoss::Array)
    /// for each section, no scenario applies.
    BootMemory,
}

/// The time at which a model gives the memory of a removed section back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryBack {
    /// The memory goes with the section: `hotplug/boot-memory-goes` expects less memory outstanding after a removal.
    WithItsSection,
    /// The memory goes at some time, and all of it with the last section.
    WithTheLast,
}

/// The time at which a model can make the memmap of a section of boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BringUp {
    /// The time is boot.
    AtBoot,
    /// The time is later, if the boot is deferred ([`DeferredModel`](sparsemem_core::DeferredModel)): the scenarios
    /// `deferred/*` apply, and need a subject with boots that wait ([`Deferring`](crate::Deferring)).
    Later,
}

/// The place of what a model knows of a section's subsections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usages {
    /// A block of its own for each present section, which comes and goes with the section, as in Linux: the recordings
    /// `linux/*` compare the model with a running Linux, and count the blocks.
    PerSection,
    /// Anywhere else: no recording applies.
    Elsewhere,
}

/// The source of descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemmapSource {
    /// [`MetadataMemory::alloc_memmap`](sparsemem_core::MetadataMemory::alloc_memmap), for added memory at the time
    /// when it is added, in the sizes of the rule: the scenarios `altmap/*` and `hotplug/every-failure-altmap` let
    /// memory hold its own descriptors.
    AllocMemmap(MemmapRule),
    /// Something else.
    Other,
}

/// The memory of a model's section table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableKind {
    /// One entry of two words per possible section: `memmap/footprint` computes the bytes.
    Flat,
    /// Roots of one page each, or with planes behind it, allocated on demand: `memmap/footprint` computes the bytes.
    Rooted,
    /// Anything else: `memmap/footprint` compares the bytes that the model reports with those that are outstanding.
    Other,
}

/// The way from a descriptor back to its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WayBack {
    /// The address of the descriptor leads to the frame: `lookup/round-trip` asks before anything is initialised.
    Address(ByAddress),
    /// The descriptor holds its section since it was initialised: `hotplug/*` and `altmap/hosts-itself` look at the
    /// stamp.
    Stamp,
}

/// The descriptors of a device's large pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compounds {
    /// Those of all but the first frames share a page, if descriptors have a power of two of bytes
    /// ([`InstallModel::install_compounds`](sparsemem_core::InstallModel::install_compounds)): `compound/*` compare pages and
    /// bytes. `compound/fold-up` and `compound/unfold` do so with RAM that is up
    /// ([`RetireModel::fold`](sparsemem_core::RetireModel::fold)).
    Folded,
    /// The same when a device is added; the processor cannot move descriptors that are in use, and the model refuses to fold
    /// and to unfold RAM that is up.
    FoldedWhenAdded,
    /// The model refuses such devices: `compound/*` expect [`FoldError`](sparsemem_core::FoldError), and no change.
    Refused,
}

/// A promise that a model gets from any descriptor of a valid frame to the frame, initialised or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByAddress(());

impl ByAddress {
    /// Makes the promise.
    ///
    /// # Safety
    ///
    /// [`MemoryModel::pfn_of`](sparsemem_core::MemoryModel::pfn_of) of the model reads no descriptor.
    #[must_use]
    pub const unsafe fn promise() -> Self {
        Self(())
    }
}

/// The virtual array of a model, if descriptors lie in one that the model maps: `memmap/mapped-iff-needed`,
/// `memmap/leaf-sizes`, `memmap/stray-access-faults` and `boot/link-refused` compare its mappings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArrayFacts {
    /// Address of the descriptor of frame 0.
    pub start: VirtAddr,
    /// Bytes that are reserved for it.
    pub len_bytes: u64,
}

/// The capabilities that a model claims.
///
/// ```
/// use sparsemem_suite::{Capabilities, Reach};
///
/// // A model that can bring any section up, and promises nothing else that is optional.
/// let mine = Capabilities { reach: Reach::Everywhere, ..Capabilities::LEAST };
/// assert!(mine.array.is_none());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The sections that it can bring up.
    pub reach: Reach,
    /// The time at which it can make memmaps of boot memory.
    pub bring_up: BringUp,
    /// The time at which it gives memory back.
    pub memory_back: MemoryBack,
    /// The source of its descriptors.
    pub memmaps: MemmapSource,
    /// The memory of its section table.
    pub table: TableKind,
    /// The way from a descriptor to its frame.
    pub way_back: WayBack,
    /// Its virtual array, or `None` if it maps none.
    pub array: Option<ArrayFacts>,
    /// The treatment of large pages.
    pub compounds: Compounds,
    /// The place of what it knows of subsections.
    pub usages: Usages,
}

impl Capabilities {
    /// Those of a model that promises nothing but what every model must.
    pub const LEAST: Self = Self {
        reach: Reach::BootMemory,
        bring_up: BringUp::AtBoot,
        memory_back: MemoryBack::WithTheLast,
        memmaps: MemmapSource::Other,
        table: TableKind::Other,
        way_back: WayBack::Stamp,
        array: None,
        compounds: Compounds::Refused,
        usages: Usages::Elsewhere,
    };
}

/// The part of a memory model's life that a subject can take part in, which its type decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It boots, answers, and is torn down ([`Booting`](crate::Booting)): models without hotplug, or whose readers
    /// cannot be waited for, as with [`NeverReclaim`](sparsemem_core::NeverReclaim).
    Boot,
    /// Memory is added, goes online and offline, and is removed ([`Pair`](crate::Pair)): the scenarios `hotplug/*` and
    /// `altmap/*` apply.
    Hotplug,
}
