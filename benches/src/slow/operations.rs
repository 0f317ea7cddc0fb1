//! Whole operations, one at a time: for counting their instructions, and for timing them.
//!
//! # Invariants
//!
//! 1. Everything before the operation itself happens outside of what is counted.

use sparsemem_core::presets::X86_64;
use sparsemem_core::{Geometry, NodeId, PageCount, Pfn, PfnRange, Reclaim, SectionShape};

use super::models::{Slow, SlowClassic, SlowExtreme, SlowFixed, Stand};
use crate::domain::Counted;
use crate::maps::Map;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Bringing a laptop with 8 GiB up.
    BootLaptop,
    /// Bringing up two pieces of 1 GiB with 2 GiB of address space between their ends.
    BootNear,
    /// The same with 64 TiB: a hole costs nothing.
    BootFar,
    /// A section comes.
    AddSection,
    /// A section goes.
    RemoveSection,
    /// A subsection comes to a section that has another.
    AddSubsection,
    /// A subsection goes from a section that has another.
    RemoveSubsection,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::BootLaptop,
        Self::BootNear,
        Self::BootFar,
        Self::AddSection,
        Self::RemoveSection,
        Self::AddSubsection,
        Self::RemoveSubsection,
    ];

    /// Name in commands and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BootLaptop => "boot-laptop-8g",
            Self::BootNear => "boot-2g-in-2g",
            Self::BootFar => "boot-2g-in-64t",
            Self::AddSection => "add-section",
            Self::RemoveSection => "remove-section",
            Self::AddSubsection => "add-subsection",
            Self::RemoveSubsection => "remove-subsection",
        }
    }

    /// The machine that it happens on.
    fn map(self) -> Map {
        match self {
            Self::BootLaptop => {
                Map::open("x86-thinkpad-x1c6-8g.dmesg").expect("one of the project's machines")
            }
            Self::BootFar => Map::hollow("far", 64 << 40),
            _ => Map::hollow("near", 2 << 30),
        }
    }
}

/// The names of the models.
pub const MODELS: [&str; 3] = [SlowClassic::NAME, SlowExtreme::NAME, SlowFixed::NAME];

/// Prepares an operation and does it inside of `measured`; `None` if there is no such model.
pub fn perform(operation: Operation, model: &str, measured: &mut dyn FnMut(&mut dyn FnMut())) -> Option<()> {
    match model {
        SlowClassic::NAME => on::<SlowClassic>(operation, measured),
        SlowExtreme::NAME => on::<SlowExtreme>(operation, measured),
        SlowFixed::NAME => on::<SlowFixed>(operation, measured),
        _ => return None,
    }
    Some(())
}

/// A section that no machine of the operations has at boot.
pub(crate) fn free_section() -> PfnRange {
    subsections(0, X86_64::SUBSECTIONS_PER_SECTION)
}

/// Subsections of that section.
pub(crate) fn subsections(first: u32, count: u32) -> PfnRange {
    let section = Pfn::new((4 << 40) >> X86_64::PAGE_SHIFT);
    let start = section.saturating_add(PageCount::new(u64::from(first) * X86_64::PAGES_PER_SUBSECTION));
    let count = PageCount::new(u64::from(count) * X86_64::PAGES_PER_SUBSECTION);
    PfnRange::from_start_count(start, count).unwrap_or_default()
}

fn on<M: Slow>(operation: Operation, measured: &mut dyn FnMut(&mut dyn FnMut())) {
    let map = operation.map();
    let mut stand = Stand::<M>::new(&map);
    // The first guard of a thread costs more than any other.
    drop(Counted::enter());
    if let Operation::BootLaptop | Operation::BootNear | Operation::BootFar = operation {
        return measured(&mut || stand.boot(&map));
    }
    stand.boot(&map);
    let Stand { model, ground, .. } = &mut stand;
    let node = NodeId::new(0);
    // Each operation takes the writer, as one of a kernel does.
    let write = || model.write().expect("nobody else changes the model");
    let mut add = |frames| write().install(ground, frames, node).expect("there is memory for it");
    match operation {
        Operation::AddSection => return measured(&mut || add(free_section())),
        Operation::AddSubsection => {
            add(subsections(0, 1));
            return measured(&mut || add(subsections(1, 1)));
        }
        _ => add(free_section()),
    }
    let gone = if operation == Operation::RemoveSection { free_section() } else { subsections(1, 1) };
    measured(&mut || {
        let retired = write().retire(ground, gone).expect("it was just added");
        assert!(retired.lost.is_empty());
    });
}

#[cfg(test)]
mod tests {
    use super::{MODELS, Operation, perform};

    #[test]
    fn every_operation_is_done_once_on_every_model() {
        for operation in Operation::ALL {
            for model in MODELS {
                let mut done = 0;
                let performed = perform(operation, model, &mut |once| {
                    once();
                    done += 1;
                });
                assert_eq!((performed, done), (Some(()), 1), "{} on {model}", operation.name());
            }
        }
        assert_eq!(perform(Operation::AddSection, "none", &mut |_| {}), None);
    }
}
