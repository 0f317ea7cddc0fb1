//! Boot: a model gets the memory that firmware reported. Teardown: a model gives all of its metadata back.
//!
//! # Invariants
//!
//! 1. No reported memory is lost silently: for memory that a model cannot take it reports a [`BootEvent`].
//! 2. If the metadata of a section cannot be allocated, that section is absent, and no other.

use crate::{
    Geometry, LostBlocks, MemoryModel, NodeId, OtherAddressSpace, PageCount, Pfn, PfnRange, PhysRange,
    SectionLoss, SectionNr, SectionShape, Writer, trace_event,
};

/// A range of memory as firmware reported it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRange {
    /// The frames.
    pub frames: PfnRange,
    /// The node that they belong to.
    pub node: NodeId,
}

impl MemoryRange {
    /// The whole frames in a range of bytes.
    #[must_use]
    pub const fn from_bytes<G: Geometry>(bytes: PhysRange, node: NodeId) -> Self {
        Self { frames: bytes.whole_frames::<G>(), node }
    }

    /// True if a frame of the range lies in a section.
    #[must_use]
    pub fn touches<G: Geometry>(&self, nr: SectionNr) -> bool {
        nr.frames::<G>().is_some_and(|frames| frames.overlaps(self.frames))
    }
}

/// A problem that boot reports and continues after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BootEvent {
    /// Frames beyond the geometry's maximum: they will have no descriptors.
    BeyondMaximum {
        /// The frames that were cut off.
        frames: PfnRange,
        /// The highest frame that the geometry has.
        last: Pfn,
    },
    /// Two nodes have memory in one section; its descriptors are allocated on the node that was reported first.
    SharedSection {
        /// The section.
        section: SectionNr,
        /// The node that reported it first and keeps it.
        first: NodeId,
        /// The node that reported it later.
        also: NodeId,
    },
    /// A section stays absent, with all memory in it.
    SectionLost {
        /// The section.
        section: SectionNr,
        /// The reason.
        why: SectionLoss,
    },
    /// The environment refused blocks of its own, which boot allocated and then gave back.
    BlocksLost {
        /// The section that the blocks were meant for.
        section: SectionNr,
        /// The blocks.
        lost: LostBlocks,
    },
}

/// Says whether an earlier part of the boot was in the same section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// None was: the section is brought up with this part.
    First,
    /// One was: the section is up, or lost.
    Again,
}

/// Memory of one section, as [`BootSummary::by_section`] hands it to a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootPart {
    /// The section.
    pub section: SectionNr,
    /// The frames of the section that are memory.
    pub frames: PfnRange,
    /// Their node.
    pub node: NodeId,
    /// Says whether it is the first part of its section.
    pub touch: Touch,
}

/// The result of a boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BootSummary {
    /// Number of sections that are up.
    pub sections: u64,
    /// Number of runs in which they were brought up; a run is successive sections of one node.
    pub runs: u64,
    /// Number of sections that were reported but are absent; boot reported each as [`BootEvent::SectionLost`].
    pub lost: u64,
    /// Number of frames beyond the geometry's maximum.
    pub beyond_maximum: PageCount,
}

impl BootSummary {
    /// Brings memory up part by part, for models that need nothing but one section at a time: `bring_up` returns the node
    /// that the section of a part has, or why the section is lost.
    ///
    /// Reports frames beyond the maximum, sections of two nodes, and, once each, sections that are lost. A section that
    /// was lost with its [first](Touch::First) part has to stay absent: `bring_up` returns any error for the others.
    pub fn by_section<G: Geometry>(
        &mut self,
        memory: &(impl Iterator<Item = MemoryRange> + Clone),
        on_event: &mut dyn FnMut(BootEvent),
        mut bring_up: impl FnMut(&BootPart) -> Result<NodeId, SectionLoss>,
    ) {
        for (at, MemoryRange { frames, node }) in memory.clone().enumerate() {
            let (frames, beyond) = self.below_maximum::<G>(frames);
            beyond.into_iter().for_each(&mut *on_event);
            for (section, frames) in frames.by_section::<G>() {
                let mut earlier = memory.clone().take(at);
                let again = earlier.any(|earlier| earlier.touches::<G>(section));
                let touch = if again { Touch::Again } else { Touch::First };
                match bring_up(&BootPart { section, frames, node, touch }) {
                    Ok(first) if first == node => {}
                    Ok(first) => on_event(BootEvent::SharedSection { section, first, also: node }),
                    Err(_) if again => {}
                    Err(why) => {
                        self.lost += 1;
                        trace_event!(WARN, "section {section} is lost: {why}");
                        on_event(BootEvent::SectionLost { section, why });
                    }
                }
            }
        }
    }

    /// Counts sections that are up, lowest first, each with its node, and their runs.
    pub fn count(&mut self, sections: impl Iterator<Item = (SectionNr, NodeId)>) {
        let mut next = None;
        for (nr, node) in sections {
            self.sections += 1;
            self.runs += u64::from(next != Some((nr, node)));
            next = Some((nr.next(), node));
        }
    }

    /// Cuts off the frames of a range beyond the geometry's maximum and counts them. Returns the others, and the event
    /// that a boot has to report if it cut some off.
    ///
    /// ```
    /// use sparsemem_core::presets::X86_64;
    /// use sparsemem_core::{BootEvent, BootSummary, Geometry, PageCount, Pfn, PfnRange, SectionShape};
    ///
    /// let mut summary = BootSummary::default();
    /// let (end, beyond) = (Pfn::new(X86_64::MAX_PFN), Pfn::new(X86_64::MAX_PFN + 5));
    /// let (below, event) = summary.below_maximum::<X86_64>(PfnRange::new(Pfn::new(0), beyond)?);
    /// assert_eq!(below, PfnRange::new(Pfn::new(0), end)?);
    /// assert!(matches!(event, Some(BootEvent::BeyondMaximum { frames, .. }) if frames.start() == end));
    /// assert_eq!(summary.beyond_maximum, PageCount::new(5));
    /// # Ok::<(), sparsemem_core::ReversedRange>(())
    /// ```
    #[must_use = "a boot reports the event"]
    pub fn below_maximum<G: Geometry>(&mut self, frames: PfnRange) -> (PfnRange, Option<BootEvent>) {
        let (below, beyond) = frames.split_at(Pfn::new(G::MAX_PFN));
        if beyond.is_empty() {
            return (below, None);
        }
        let last = Pfn::new(G::MAX_PFN - 1);
        trace_event!(WARN, "frames {beyond} are beyond the last possible frame {last}");
        let sum = self.beyond_maximum.get().saturating_add(beyond.count().get());
        self.beyond_maximum = PageCount::new(sum);
        (below, Some(BootEvent::BeyondMaximum { frames: beyond, last }))
    }
}

/// The reason why a boot did not begin. The model is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BootError {
    /// The model is up already.
    #[error("the model is up already, section {present} is present; tear it down before another boot")]
    AlreadyUp {
        /// The lowest section that is present.
        present: SectionNr,
    },
    /// The model cannot mark sections without making their descriptors.
    #[error("{model} makes the descriptors of all memory at once; boot it without deferring")]
    CannotDefer {
        /// The model's name.
        model: &'static str,
    },
    /// A node number does not fit the section word.
    #[error("node {node} of frames {frames} does not fit a section word")]
    NodeTooLarge {
        /// The node.
        node: NodeId,
        /// The range that it was given for.
        frames: PfnRange,
    },
}

/// The reason why a teardown did not give all metadata back to the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TearDownError {
    /// The model is down, but the environment refused blocks.
    #[error("the model is down{lost}; the first block was of section {section}")]
    Lost {
        /// The blocks that the environment refused.
        lost: LostBlocks,
        /// The section of the first.
        section: SectionNr,
    },
    /// Another model with the same writer slot has a writer now; this model is as it was.
    #[error(
        "the model is as it was: another model with the same writer slot is being changed; try again after that"
    )]
    SharedSlotTaken,
    /// The environment has other page tables than the model, which is as it was.
    #[error("the model is as it was: {0}")]
    OtherAddressSpace(#[from] OtherAddressSpace),
}

/// Memory of a model's metadata, in bytes: [`MemoryModel::footprint`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Bytes of the section table with all its levels.
    pub table_bytes: u64,
    /// Bytes of the planes in which lookups find the valid and the online frames; zero for models without.
    pub plane_bytes: u64,
    /// Bytes of the usages of sections.
    pub usage_bytes: u64,
    /// Bytes of the memory that backs descriptors.
    pub memmap_bytes: u64,
    /// Bytes of the page tables that the model made to reach descriptors; zero for models without.
    pub page_table_bytes: u64,
}

impl Footprint {
    /// The sum of all, in bytes.
    #[must_use]
    pub const fn total_bytes(&self) -> u64 {
        self.table_bytes + self.plane_bytes + self.usage_bytes + self.memmap_bytes + self.page_table_bytes
    }
}

/// Boot and teardown, with memory and mappings from an environment `E`.
///
/// Every model takes [`MetadataMemory`](crate::MetadataMemory) from its environment; vmemmap takes
/// [`AddressSpace`](crate::AddressSpace) as well. A kernel that implements both on one type can change its model by
/// changing a feature.
///
/// ```
/// use sparsemem_core::{BootError, BootEvent, BootModel, MemoryModel, MemoryRange, PageCount, initialise};
///
/// /// Brings a model up and returns the number of frames that have a descriptor.
/// fn bring_up<M: BootModel<E>, E>(model: &M, env: &mut E, ram: &[MemoryRange]) -> Result<PageCount, BootError> {
///     let mut writer = model.write().expect("nothing else changes the model at boot");
///     writer.boot(env, ram.iter().copied(), &mut |event| match event {
///         BootEvent::SectionLost { section, why } => eprintln!("section {section} is lost: {why}"),
///         other => eprintln!("{other:?}"),
///     })?;
///     let frames = ram.iter().map(|ram| initialise(model, ram.frames).get());
///     Ok(PageCount::new(frames.sum()))
/// }
/// ```
pub trait BootModel<E>: MemoryModel {
    /// Brings up every section that holds a frame of `memory`.
    ///
    /// Sections are marked with the node of the first range that touches them (an early node id), with a usage in which
    /// the populated subsections are marked; then runs of successive sections of one node get memmaps. Ranges may
    /// have any order and may overlap. Descriptors are zeroed, not initialised: see
    /// [`initialise`](crate::initialise). No memory at all is not an error: the summary then counts no sections.
    ///
    /// If `memory` or `on_event` unwinds while sections are marked, boot unmarks all of them; if `on_event` unwinds
    /// later, boot brings up the rest without calling it, and then unwinding continues.
    ///
    /// Source: Linux `memory_present`, `sparse_init`, `subsection_map_init`. Differs from Linux: a section whose
    /// metadata cannot be allocated is skipped alone, where Linux gave up the rest of the run (until 7.0) or panics
    /// (since).
    ///
    /// # Errors
    ///
    /// [`BootError`]; nothing has changed then. Boot reports later problems to `on_event` and counts them.
    fn boot<I>(
        writer: &mut Writer<'_, Self>,
        env: &mut E,
        memory: I,
        on_event: &mut dyn FnMut(BootEvent),
    ) -> Result<BootSummary, BootError>
    where
        Self: Sized,
        I: Iterator<Item = MemoryRange> + Clone;

    /// Gives back all metadata of the model. `&mut self` proves that this model has no reader and no writer left;
    /// teardown holds a writer slot that other models share.
    ///
    /// # Errors
    ///
    /// [`TearDownError::Lost`] if the environment refused blocks; all other blocks are given back.
    /// [`TearDownError::OtherAddressSpace`], [`TearDownError::SharedSlotTaken`]; nothing has changed then.
    fn tear_down(&mut self, env: &mut E) -> Result<(), TearDownError>;
}
