//! Boots a machine and returns the state of the models, for the command `inspect`.

use std::collections::BTreeMap;

use sparsemem_core::{BootEvent, MemoryRange};
use sparsemem_suite::{NotUp, Shape, Subject};

use crate::fit::{self, TooLarge};
use crate::subjects::with_subject;
use crate::variant::Variant;
use crate::{InspectedBackend, InspectedRange, InspectedSection, Inspection};
use sparsemem_any::Backend;
use sparsemem_machine_files::MachineFile;

/// Why a machine cannot be inspected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// The machine does not fit the host.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// The simulated machine cannot be made.
    #[error("{machine}: cannot be simulated: {source}")]
    NoMachine {
        /// The machine.
        machine: String,
        /// The host's error.
        source: sparsemem_machine::MachineError,
    },
    /// A model does not boot.
    #[error("{machine}: {backend} does not boot: {source}")]
    NoBoot {
        /// The machine.
        machine: String,
        /// The backend.
        backend: Backend,
        /// The model's error.
        source: NotUp,
    },
}

/// Boots a machine on each of the given backends, on all if none is given, and returns the state of the models.
///
/// # Errors
///
/// [`InspectError`], with the machine.
pub fn inspect(machine: &MachineFile, backends: &[Backend]) -> Result<Inspection, InspectError> {
    fit::check(machine)?;
    let backends = if backends.is_empty() { &Backend::ALL[..] } else { backends };
    let mut inspected = BTreeMap::new();
    for backend in backends {
        inspected.insert(backend.name(), inspect_on(machine, *backend)?);
    }
    let shape = machine.geometry.shape();
    Ok(Inspection {
        machine: machine.name.clone(),
        geometry: machine.geometry.name(),
        section_bytes: shape.section_bytes(),
        subsection_bytes: 1 << shape.subsection_bits,
        ram_bytes: machine.memory.iter().map(|(range, _)| range.count().get()).sum(),
        ranges: ranges(machine),
        contradictions: machine.contradictions.iter().map(ToString::to_string).collect(),
        agreements: machine.agreements.iter().map(ToString::to_string).collect(),
        backends: inspected,
    })
}

/// The physical layout.
fn ranges(machine: &MachineFile) -> Vec<InspectedRange> {
    let ranges = machine.layout.ranges().iter().map(|entry| InspectedRange {
        start: entry.range.start().get(),
        end: entry.range.end().get(),
        node: entry.node.map(sparsemem_core::NodeId::get),
        kind: entry.kind.name(),
    });
    ranges.collect()
}

/// Boots one backend.
fn inspect_on(machine: &MachineFile, backend: Backend) -> Result<InspectedBackend, InspectError> {
    let mut inspected = None;
    let made = with_subject(machine, backend, Variant::Usual, &mut |subject, _, memory| {
        inspected = Some(look(subject, memory));
    });
    let name = || machine.name.clone();
    made.map_err(|source| InspectError::NoMachine { machine: name(), source })?;
    let looked = inspected.unwrap_or_else(|| unreachable!("a subject that is made is lent"));
    looked.map_err(|source| InspectError::NoBoot { machine: name(), backend, source })
}

/// Boots a model, observes it, and takes it down.
fn look(subject: &mut dyn Subject, memory: &[MemoryRange]) -> Result<InspectedBackend, NotUp> {
    let mut events = Vec::new();
    subject.boot(memory, &mut |event| events.push(event_text(event)))?;
    let shape = subject.shape();
    let present = subject.present_sections().into_iter();
    let footprint = subject.footprint();
    let inspected = InspectedBackend {
        sections: present.map(|nr| section(subject, &shape, nr)).collect(),
        events,
        table_bytes: footprint.table_bytes,
        usage_bytes: footprint.usage_bytes,
        memmap_bytes: footprint.memmap_bytes,
        page_table_bytes: footprint.page_table_bytes,
    };
    if let Err(error) = subject.tear_down() {
        unreachable!("the simulated machine takes back what it gave: {error}");
    }
    Ok(inspected)
}

/// A present section.
fn section(subject: &dyn Subject, shape: &Shape, nr: sparsemem_core::SectionNr) -> InspectedSection {
    let state = subject.section(nr);
    let words = usize::try_from(shape.subsections().div_ceil(64)).unwrap_or(1);
    let digits = state.subsections.words().iter().take(words).rev();
    InspectedSection {
        nr: nr.get(),
        flags: state.flags.bits(),
        subsections: digits.map(|word| format!("{word:016x}")).collect(),
    }
}

/// An event in words.
fn event_text(event: BootEvent) -> String {
    match event {
        BootEvent::BeyondMaximum { frames, last } => {
            format!("frames {frames} are beyond the last possible frame {last}")
        }
        BootEvent::SharedSection { section, first, also } => {
            format!("section {section} has memory of nodes {first} and {also}; it belongs to node {first}")
        }
        BootEvent::SectionLost { section, why } => format!("section {section} is lost: {why}"),
        BootEvent::BlocksLost { section, lost } => format!("section {section} did not come up{lost}"),
        other => format!("{other:?}"),
    }
}
