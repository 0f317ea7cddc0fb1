//! Whole operations, one at a time: for counting their instructions, and for timing them.
//!
//! # Invariants
//!
//! 1. Everything before the operation itself happens outside of what is counted.

use sparsemem_core::Reclaim;

use crate::backends::{Changing, MODELS, each_changing};
use crate::instance::{free_section, free_subsections};
use crate::maps::Map;
use crate::reclaim::Counted;

/// The operation that is counted.
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

/// The function that calls the operation inside the counted region.
pub type Measure<'m> = &'m mut dyn FnMut(&mut dyn FnMut());

/// Prepares an operation and does it inside of `measured`; `None` if there is no such model.
pub fn perform(operation: Operation, model: &str, measured: Measure<'_>) -> Option<()> {
    let at = MODELS.iter().position(|known| *known == model)?;
    each_changing!(on)[at](operation, measured);
    Some(())
}

fn on<M: Changing>(operation: Operation, measured: Measure<'_>) {
    let map = operation.map();
    let mut instance = M::instance(&map);
    // The first guard of a thread costs more than any other.
    drop(Counted::enter());
    if let Operation::BootLaptop | Operation::BootNear | Operation::BootFar = operation {
        return measured(&mut || instance.boot(&map));
    }
    instance.boot(&map);
    match operation {
        Operation::AddSection => return measured(&mut || instance.add(free_section())),
        Operation::AddSubsection => {
            instance.add(free_subsections(0, 1));
            return measured(&mut || instance.add(free_subsections(1, 1)));
        }
        _ => instance.add(free_section()),
    }
    let gone = if operation == Operation::RemoveSection { free_section() } else { free_subsections(1, 1) };
    measured(&mut || instance.remove(gone));
}

#[cfg(test)]
mod tests {
    use super::{Operation, perform};
    use crate::backends::MODELS;

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
