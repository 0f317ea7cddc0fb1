//! Walks every reachable state of tiny machines, on every backend, and compares each with a plain reference.
//!
//! The machines have two or three sections of two or four subsections, depending on [`Size`]. The walk starts from
//! every boot layout, that is, every set of subsections that can be memory at boot. It tries every operation in every
//! state with every range between subsection borders, and with ranges that are empty, unaligned, or beyond the
//! maximum. It drives models at two levels: below hotplug, where an installation is limited to one section, and
//! through hotplug, with memory blocks, resources and an allocator.
//!
//! After every operation, accepted or refused, the walk compares the answer (with the range, section and subsections
//! that an error names) and everything that can be observed: flags, subsection maps and online maps of sections, the
//! result of each lookup of each frame, walks over present sections and valid frames, the marks in the descriptors,
//! memory blocks, resources, the allocator's frames, the number of metadata blocks, and the mapped pages of a virtual
//! array. A refusal must leave exactly the same blocks allocated, no block may be freed before a grace period, no
//! operation may wait for two grace periods, and every teardown must give everything back; there are several
//! teardowns per state.
//!
//! The references are arrays and conditions, written from the contracts; they do not call the crates under test.
//!
//! # Invariants
//!
//! 1. The counts of a report depend on size and backend alone, and are the same for every backend.
//! 2. Only the module `environment` contains `unsafe` code.

#![deny(unsafe_code)]

mod engine;
#[allow(unsafe_code, reason = "implements the unsafe traits of the models' memory")]
mod environment;
mod facts;
mod instance;
mod op;
mod parts;
mod ranges;
mod report;
mod sections;
mod shape;
mod view;

use std::time::Instant;

pub use report::{Discrepancy, Progress, Report};
pub use sparsemem_any::Backend;

use engine::{Finding, Tally};
use parts::Part;

/// The extent of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Per backend 1,387,389 transitions from 5,509 states of 96 boot layouts: about two seconds with little
    /// optimisation. Walks machines of two sections at both levels, and one of three sections through hotplug.
    Small,
    /// Per backend 63,898,151 transitions from 199,289 states of 672 boot layouts: two to three minutes with little
    /// optimisation. Walks all machines at both levels.
    Full,
}

/// The number of visited states between two reports of progress.
const STATES_PER_PROGRESS: u64 = 256;

/// Walks a backend.
///
/// # Errors
///
/// [`Discrepancy`]: the first difference that the walk found.
///
/// # Examples
///
/// ```no_run
/// use sparsemem_exhaustive::{Backend, Size, walk};
///
/// match walk(Backend::Vmemmap, Size::Small, &mut |_| {}) {
///     Ok(report) => println!("{report}"),
///     Err(discrepancy) => println!("{discrepancy}"),
/// }
/// ```
pub fn walk(
    backend: Backend,
    size: Size,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Report, Box<Discrepancy>> {
    let begin = Instant::now();
    let mut tally = Tally::default();
    let parts = Part::all(size);
    for (part_nr, part) in (1..).zip(parts) {
        let mut report = |tally: &Tally| {
            if tally.states.is_multiple_of(STATES_PER_PROGRESS) {
                let Tally { states, transitions, .. } = *tally;
                let (part, nr_parts) = (part.name, parts.len());
                progress(&Progress { backend, part, part_nr, nr_parts, states, transitions });
            }
        };
        part.walk(backend, &mut tally, &mut report)
            .map_err(|finding| discrepancy(backend, *part, finding))?;
    }
    let Tally { boot_layouts, states, transitions, refused } = tally;
    Ok(Report { boot_layouts, states, transitions, refused, seconds: begin.elapsed().as_secs_f64() })
}

fn discrepancy(backend: Backend, part: Part, finding: Finding) -> Box<Discrepancy> {
    let Finding { layout: boot, operations, expected, found } = finding;
    Box::new(Discrepancy { backend, part: part.name, boot, operations, expected, found })
}
