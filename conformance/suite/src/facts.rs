//! Facts about a model, a world and a machine that are known before a scenario runs. They decide whether the scenario
//! suits.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use sparsemem_core::{EarlyFrames, LeafSize, MemoryRange, PagingDepth};

use crate::capabilities::{BringUp, Capabilities, Life, MemmapSource, Reach};
use crate::{Shape, Subject};

/// The facts that decide whether a scenario suits.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// The geometry's numbers.
    pub shape: Shape,
    /// The capabilities that the model claims.
    pub can: Capabilities,
    /// The part of a life that the subject can take part in.
    pub life: Life,
    /// The frames of a section of boot that are valid, as the model says.
    pub early: EarlyFrames,
    /// Bytes of a descriptor.
    pub descriptor_bytes: u64,
    /// Sections that the machine's memory touches.
    pub sections: u64,
    /// The largest mapping that models may use.
    pub largest_leaf: LeafSize,
    /// A page table has 2 to this power bytes, and so has the smallest mapping.
    pub table_shift: u32,
    /// Levels of the page tables.
    pub depth: PagingDepth,
    /// True if the world can refuse mappings on request.
    pub can_refuse_links: bool,
}

impl Facts {
    /// The facts of a subject on a machine with `memory`.
    #[must_use]
    pub fn new(subject: &dyn Subject, can: Capabilities, memory: &[MemoryRange]) -> Self {
        let world = subject.world();
        Self {
            shape: subject.shape(),
            can,
            life: subject.life(),
            early: subject.early_frames(),
            descriptor_bytes: subject.descriptor_bytes(),
            sections: touched_sections(&subject.shape(), memory),
            largest_leaf: world.largest_leaf(),
            table_shift: world.table_shift(),
            depth: world.depth(),
            can_refuse_links: world.can_refuse_links(),
        }
    }

    /// The first frame that cannot have a descriptor: the geometry's maximum, or the end of the array.
    #[must_use]
    pub fn frame_limit(&self) -> u64 {
        let array = self.can.array.map_or(u64::MAX, |array| array.len_bytes / self.descriptor_bytes);
        self.shape.frames().min(array)
    }

    /// Sections below [`Facts::frame_limit`].
    #[must_use]
    pub fn section_limit(&self) -> u64 {
        self.frame_limit() / self.shape.section_frames()
    }

    /// An entry of a page table at a level, counted from 1 at the smallest mappings, translates 2 to this power bytes: a
    /// table has entries of eight bytes.
    #[must_use]
    pub const fn level_shift(&self, level: u32) -> u32 {
        self.table_shift + (self.table_shift - 3) * (level - 1)
    }

    /// Bytes of the descriptors of a section.
    #[must_use]
    pub const fn section_memmap_bytes(&self) -> u64 {
        self.shape.section_frames() * self.descriptor_bytes
    }
}

/// The number of sections that memory touches, computed without visiting each section.
#[must_use]
pub fn touched_sections(shape: &Shape, memory: &[MemoryRange]) -> u64 {
    let limit = shape.frames();
    let mut touched: Vec<(u64, u64)> = memory
        .iter()
        .map(|range| (range.frames.start().get(), range.frames.end().get().min(limit)))
        .filter(|(start, end)| start < end)
        .map(|(start, end)| (shape.section_of(start), shape.section_of(end - 1) + 1))
        .collect();
    touched.sort_unstable();
    let mut counted_to = 0;
    let count = |(start, end): (u64, u64)| {
        let fresh = end.saturating_sub(start.max(counted_to));
        counted_to = counted_to.max(end);
        fresh
    };
    touched.into_iter().map(count).sum()
}

/// The reason why a scenario was not run, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(String);

impl Reason {
    /// A reason in words.
    #[must_use]
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The reason why a scenario is not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotRun {
    /// The model, the geometry or the machine lacks the subject of the scenario: there is nothing to run.
    NotApplicable(Reason),
    /// The scenario could be run, and is not: it would take too long, or the world lacks an ability that it needs.
    Skipped(Reason),
}

impl NotRun {
    /// A scenario that does not apply, with the reason.
    #[must_use]
    pub fn not_applicable(why: impl Into<String>) -> Self {
        Self::NotApplicable(Reason::new(why))
    }

    /// A scenario that applies and is skipped, with the reason.
    #[must_use]
    pub fn skipped(why: impl Into<String>) -> Self {
        Self::Skipped(Reason::new(why))
    }
}

/// Checks whether a scenario suits.
pub type Suits = fn(&Facts) -> Result<(), NotRun>;

/// Conditions that scenarios name in the registry. They check whether a scenario applies before they check whether it
/// takes too long.
pub mod suits {
    use alloc::format;

    use super::{BringUp, EarlyFrames, Facts, Life, MemmapSource, NotRun, Reach};

    /// Scenarios in general run on machines of at most this many sections.
    pub const MANY_SECTIONS: u64 = 1 << 12;
    /// Size-dependent scenarios run on machines of at most this many sections. Larger machines run only the scenarios
    /// that must hold at any size.
    pub const VERY_MANY_SECTIONS: u64 = 1 << 17;

    /// Every machine.
    ///
    /// # Errors
    ///
    /// This never fails.
    pub const fn always(_: &Facts) -> Result<(), NotRun> {
        Ok(())
    }

    /// Machines with memory, of any size.
    ///
    /// # Errors
    ///
    /// The reason, if the machine has no memory.
    pub fn any_memory(facts: &Facts) -> Result<(), NotRun> {
        if facts.sections == 0 {
            Err(NotRun::not_applicable("the machine has no usable memory"))
        } else {
            Ok(())
        }
    }

    /// Machines with memory in at most [`MANY_SECTIONS`] sections.
    ///
    /// # Errors
    ///
    /// The reason, if the machine has too much memory or none.
    pub fn memory(facts: &Facts) -> Result<(), NotRun> {
        at_most(facts, MANY_SECTIONS)
    }

    /// Machines with memory in at most [`VERY_MANY_SECTIONS`] sections.
    ///
    /// # Errors
    ///
    /// The reason, if the machine has too much memory or none.
    pub fn much_memory(facts: &Facts) -> Result<(), NotRun> {
        at_most(facts, VERY_MANY_SECTIONS)
    }

    /// Machines with memory in at most `limit` sections.
    fn at_most(facts: &Facts, limit: u64) -> Result<(), NotRun> {
        any_memory(facts)?;
        if facts.sections <= limit {
            return Ok(());
        }
        let why = format!("{} sections: smaller machines test the same", facts.sections);
        Err(NotRun::skipped(why))
    }

    /// Models with a virtual array.
    ///
    /// # Errors
    ///
    /// The reason, if the model has none.
    pub fn array(facts: &Facts) -> Result<(), NotRun> {
        any_memory(facts)?;
        match facts.can.array {
            Some(_) => memory(facts),
            None => Err(NotRun::not_applicable("the model has no virtual array")),
        }
    }

    /// Models with a virtual array in a world that can refuse mappings.
    ///
    /// # Errors
    ///
    /// The reason, if the model has no array or the world refuses no mappings.
    pub fn refusable_links(facts: &Facts) -> Result<(), NotRun> {
        array(facts)?;
        if facts.can_refuse_links {
            return Ok(());
        }
        Err(NotRun::skipped("the world does not refuse mappings"))
    }

    /// Models that hotplug can add memory to and remove memory from.
    ///
    /// # Errors
    ///
    /// The reason, if the subject only boots, or the machine has too much memory or none.
    pub fn hotplug(facts: &Facts) -> Result<(), NotRun> {
        match facts.life {
            Life::Hotplug => memory(facts),
            Life::Boot => Err(NotRun::not_applicable("the model only boots")),
        }
    }

    /// Models whose memmaps can lie in the memory that is added.
    ///
    /// # Errors
    ///
    /// The reason, if the model allocates no memmaps for added memory, or [`hotplug`]'s.
    pub fn altmap(facts: &Facts) -> Result<(), NotRun> {
        any_memory(facts)?;
        match facts.can.memmaps {
            MemmapSource::AllocMemmap(_) => hotplug(facts),
            MemmapSource::Other => {
                Err(NotRun::not_applicable("the model does not allocate memmaps for added memory"))
            }
        }
    }

    /// Models that can make memmaps of boot memory after the boot.
    ///
    /// # Errors
    ///
    /// The reason, if the model makes all of them at boot, or the machine has too much memory or none.
    pub fn deferred(facts: &Facts) -> Result<(), NotRun> {
        any_memory(facts)?;
        match facts.can.bring_up {
            BringUp::Later => memory(facts),
            BringUp::AtBoot => Err(NotRun::not_applicable("the model makes all memmaps at boot")),
        }
    }

    /// Models that are exact by frame.
    ///
    /// # Errors
    ///
    /// The reason, if the model takes holes of boot memory for valid, or the machine has too much memory or none.
    pub fn by_frame(facts: &Facts) -> Result<(), NotRun> {
        any_memory(facts)?;
        if facts.early == EarlyFrames::Reported {
            return memory(facts);
        }
        Err(NotRun::not_applicable("small holes of boot memory are valid in the model"))
    }

    /// Models that bring up any section, on geometries with enough sections to be far apart.
    ///
    /// # Errors
    ///
    /// The reason, if the model reaches no other sections than those of boot, or there are too few sections.
    pub fn far_sections(facts: &Facts) -> Result<(), NotRun> {
        any_memory(facts)?;
        if facts.can.reach == Reach::BootMemory {
            return Err(NotRun::not_applicable("the model reaches no section far from those of boot"));
        }
        if facts.section_limit() >= 4096 {
            return memory(facts);
        }
        let why = format!("all {} sections are near each other", facts.section_limit());
        Err(NotRun::not_applicable(why))
    }
}
