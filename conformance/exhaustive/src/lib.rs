//! Walks every reachable state of tiny machines, on any memory model, and compares each with a plain reference.
//!
//! A crate that defines a model implements [`On`] and [`Walked`], and calls [`check`] in a test; the backends of the
//! workspace are walked in the same way.
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
//! 1. The counts of a report depend on the size alone, and are the same for every model.
//! 2. Only the modules `environment` and `walked` contain `unsafe` code.

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
#[allow(unsafe_code, reason = "gives a model of the workspace the place that is kept for its array")]
mod walked;

use std::time::Instant;

pub use environment::{Descriptor, Environment, Metadata, Place, Readers, Reading};
pub use report::{Discrepancy, Progress, Report};
pub use shape::{Pair, Quad, Triple};
pub use sparsemem_any::Backend;
pub use walked::{On, Walked};

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

/// Walks a model.
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
/// match walk(&Backend::Vmemmap, Size::Small, &mut |_| {}) {
///     Ok(report) => println!("{report}"),
///     Err(discrepancy) => println!("{discrepancy}"),
/// }
/// ```
pub fn walk<W: Walked>(
    walked: &W,
    size: Size,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Report, Box<Discrepancy>> {
    let begin = Instant::now();
    let mut tally = Tally::default();
    let (model, parts) = (walked.name(), Part::all(size));
    for (part_nr, part) in (1..).zip(parts) {
        let mut report = |tally: &Tally| {
            if tally.states.is_multiple_of(STATES_PER_PROGRESS) {
                let Tally { states, transitions, .. } = *tally;
                let (part, nr_parts) = (part.name, parts.len());
                progress(&Progress { model, part, part_nr, nr_parts, states, transitions });
            }
        };
        part.walk(walked, &mut tally, &mut report).map_err(|finding| discrepancy(model, *part, finding))?;
    }
    let Tally { boot_layouts, states, transitions, refused } = tally;
    Ok(Report { boot_layouts, states, transitions, refused, seconds: begin.elapsed().as_secs_f64() })
}

/// Walks a model to the small extent, for a test: returns the counters.
///
/// # Panics
///
/// If the walk finds a difference; the message has the operations that lead to it.
#[allow(
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "it is an assertion about a value made for it"
)]
pub fn check<W: Walked>(walked: W) -> Report {
    walk(&walked, Size::Small, &mut |_| {}).unwrap_or_else(|found| panic!("{found}"))
}

fn discrepancy(model: &'static str, part: Part, finding: Finding) -> Box<Discrepancy> {
    let Finding { layout: boot, operations, expected, found } = finding;
    Box::new(Discrepancy { model, part: part.name, boot, operations, expected, found })
}
