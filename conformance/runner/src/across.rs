//! Compares two backends on one machine: everything that can be observed must be the same.

use sparsemem_core::{
    BootEvent, BootSummary, LookupError, MemoryRange, Pfn, PfnRange, PhysRange, SectionNr, SectionState,
};
use sparsemem_machine::MachineError as HostError;
use sparsemem_suite::{Oracle, Subject, range, sample_frames, spread, suits, unsuited};

use crate::subjects::with_subject;
use crate::variant::Variant;
use sparsemem_any::Backend;
use sparsemem_machine_files::MachineFile;
use sparsemem_report::Outcome;
use sparsemem_report::Verdict;

/// Everything that can be observed of a model after boot, except addresses.
#[derive(Debug, PartialEq)]
struct Seen {
    summary: Option<BootSummary>,
    events: Vec<BootEvent>,
    sections: Vec<(SectionNr, SectionState)>,
    valid: Vec<PfnRange>,
    lookups: Vec<(Pfn, Option<LookupError>)>,
}

/// The most sections whose states are compared.
const SECTIONS: usize = 20_000;

/// Boots a backend and the next one from the same machine, and compares everything that can be observed.
pub(crate) fn same_answers(machine: &MachineFile, backend: Backend) -> Verdict {
    if machine.memory.is_empty() {
        return (Outcome::NotApplicable, "the machine has no usable memory".to_owned());
    }
    let sections = sections(machine);
    if sections > suits::MANY_SECTIONS {
        return (Outcome::Skipped, format!("{sections} sections: smaller machines test the same"));
    }
    let other = next(backend);
    match (seen(machine, backend), seen(machine, other)) {
        (Ok(Err(why)), _) | (_, Ok(Err(why))) => (Outcome::NotApplicable, why),
        (Ok(Ok(mine)), Ok(Ok(theirs))) => match difference(&mine, &theirs) {
            None => (Outcome::Passed, String::new()),
            Some(what) => (Outcome::Failed, format!("{backend} and {other} differ: {what}")),
        },
        (Err(error), _) | (_, Err(error)) => (Outcome::Failed, format!("no machine: {error}")),
    }
}

/// The approximate number of sections that contain a machine's memory: a section with two ranges counts twice.
fn sections(machine: &MachineFile) -> u64 {
    let bits = machine.geometry.shape().section_bits;
    let of = |range: &PhysRange| (range.end().get() >> bits) - (range.start().get() >> bits) + 1;
    machine.memory.iter().map(|(range, _)| of(range)).sum()
}

/// The backend after this one; the first one after the last.
fn next(backend: Backend) -> Backend {
    let next = Backend::ALL.into_iter().skip_while(|known| *known != backend).nth(1);
    next.unwrap_or(Backend::ALL[0])
}

/// The observations, or the reason why a model does not suit the machine.
type Look = Result<Seen, String>;

/// Boots a backend and observes everything.
fn seen(machine: &MachineFile, backend: Backend) -> Result<Look, HostError> {
    let mut seen = None;
    with_subject(machine, backend, Variant::Usual, &mut |subject, can, memory| {
        seen = Some(match unsuited(subject, can, memory) {
            Ok(None) => Ok(look(subject, memory)),
            Ok(Some(why)) => Err(why.to_string()),
            Err(failure) => Err(failure.to_string()),
        });
    })?;
    Ok(seen.unwrap_or_else(|| unreachable!("a subject that is made is lent")))
}

/// Boots a model, observes it, and takes it down.
fn look(subject: &mut dyn Subject, memory: &[MemoryRange]) -> Seen {
    let mut events = Vec::new();
    let summary = subject.boot(memory, &mut |event| events.push(event)).ok();
    let oracle = Oracle::new(subject.shape(), memory).with_early(subject.early_frames());
    let sections = spread(&subject.present_sections(), SECTIONS);
    let frames = sample_frames(&oracle, memory).into_iter().map(Pfn::new);
    let seen = Seen {
        summary,
        events,
        sections: sections.into_iter().map(|nr| (nr, subject.section(nr))).collect(),
        valid: spread(&subject.valid_ranges(range(0, u64::MAX)), SECTIONS),
        lookups: frames.map(|pfn| (pfn, subject.explain(pfn).err())).collect(),
    };
    // Other scenarios test that teardown gives everything back.
    let _ = subject.tear_down();
    seen
}

/// The first difference, in words.
fn difference(mine: &Seen, theirs: &Seen) -> Option<String> {
    if mine == theirs {
        return None;
    }
    let first = |what: &str, mine: &dyn std::fmt::Debug, theirs: &dyn std::fmt::Debug| {
        format!("{what}: {mine:?} and {theirs:?}")
    };
    if mine.summary != theirs.summary {
        return Some(first("summaries", &mine.summary, &theirs.summary));
    }
    if mine.events != theirs.events {
        return Some(first("events", &mine.events, &theirs.events));
    }
    let sections = mine.sections.iter().zip(&theirs.sections).find(|(one, other)| one != other);
    let lookups = mine.lookups.iter().zip(&theirs.lookups).find(|(one, other)| one != other);
    sections
        .map(|(one, other)| first("sections", one, other))
        .or_else(|| lookups.map(|(one, other)| first("lookups", one, other)))
        .or_else(|| Some("valid ranges, or the number of sections".to_owned()))
}
