//! The facts of a recording, as far as a model can have them.

use std::collections::{BTreeMap, BTreeSet};

use sparsemem_core::{PfnRange, SectionFlags, SectionNr, SectionShape};

use super::facts::{Aspect, Facts, What};
use super::kernel::Geo;
use super::script::{ResourceRow, Script, SectionRow, Step};
use super::spans;
use super::words;
use crate::suits;
use sparsemem_suite::Capabilities;

/// Tag of a page of a section's memmap.
const SECTION_INFO: u8 = 12;
/// Tag of a page of a node's data.
const NODE_INFO: u8 = 14;

/// The facts that both sides can have after a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    /// The recorded kernel had subsection maps.
    pub(super) subsections: bool,
    /// Both have a virtual array: words lead into it, and its mappings are recorded.
    pub(super) array: bool,
    /// Both have a virtual array, and the memory that it leads to is recorded.
    pub(super) pages: bool,
    /// Both have a two-level table.
    pub(super) roots: bool,
    /// The resource tree was recorded.
    pub(super) resources: bool,
    /// Tags were recorded, after this step.
    pub(super) tags: bool,
}

impl Scope {
    /// The facts that can be compared after a step.
    pub(super) fn new(script: &Script, index: usize, can: &Capabilities) -> Self {
        let step = script.steps.get(index);
        let has_array = script.kernel.has_array;
        let both_have_arrays = has_array && can.array.is_some();
        Self {
            subsections: has_array,
            array: both_have_arrays,
            pages: both_have_arrays && step.is_some_and(|it| !it.backing.is_empty()),
            roots: suits::has_roots(can) && step.is_some_and(|it| it.roots.is_some()),
            resources: step.is_some_and(|it| it.resources.is_some()),
            tags: script.tags.is_some() && index + 1 == script.steps.len(),
        }
    }

    /// The same without tags, if the model does not say where its metadata lies.
    pub(super) const fn registered(self, has_registry: bool) -> Self {
        Self { tags: self.tags && has_registry, ..self }
    }
}

/// The recorded facts after a step.
pub(super) fn facts(script: &Script, step: &Step, scope: Scope) -> Facts {
    let mut facts = Facts::default();
    step.sections.iter().for_each(|row| section(&mut facts, *row, step, scope));
    facts.note(What::Usages, step.sections.iter().filter(|row| row.has_usage).count());
    if scope.roots {
        facts.note(What::Roots, words::numbers(roots(script, step)));
    }
    if scope.array {
        for (start, end, size) in words::mapping_runs(&step.mapped) {
            facts.note(What::Mapping(start), words::mapping(end, size));
        }
    }
    if let Some(rows) = step.resources.as_deref().filter(|_| scope.resources) {
        resources(&mut facts, rows);
    }
    if scope.tags {
        tags(&mut facts, script);
    }
    facts
}

/// A section row.
fn section(facts: &mut Facts, row: SectionRow, step: &Step, scope: Scope) {
    let mut note = |aspect, value: String| facts.note(What::Section(row.nr, aspect), value);
    if !row.flags.is_empty() {
        note(Aspect::Flags, words::flags(row.flags));
    }
    if row.has_usage {
        note(Aspect::Usage, words::THERE.to_owned());
    }
    if let Some(memmap) = memmap(row, scope) {
        note(Aspect::Memmap, memmap);
    }
    if let Some(pages) = words::pages(row.nr, &step.backing).filter(|_| scope.pages) {
        note(Aspect::Pages, pages.to_string());
    }
    let Some(subsections) = row.subsections else { return };
    note(Aspect::Subsections, subsections.hex::<Geo>().to_string());
    if let Some(where_to) = words::altmap(row.nr, subsections, &step.altmaps, |at| backing(step, at)) {
        note(Aspect::Altmap, where_to);
    }
}

/// The place of a section's memmap, or only that it has one.
fn memmap(row: SectionRow, scope: Scope) -> Option<String> {
    if scope.array {
        return row.memmap.filter(|_| row.flags.contains(SectionFlags::HAS_MEM_MAP)).map(words::offset);
    }
    let is_there = match row.subsections {
        Some(_) => row.flags.contains(SectionFlags::HAS_MEM_MAP),
        None => row.memmap.is_some(),
    };
    is_there.then(|| words::THERE.to_owned())
}

/// The physical address of the byte at an offset of the array.
fn backing(step: &Step, offset: u64) -> Option<u64> {
    let piece = step.backing.iter().find(|(start, end, _)| (*start..*end).contains(&offset));
    piece.map(|(start, _, phys)| phys + (offset - start))
}

/// The roots, computed with this project's geometry.
fn roots(script: &Script, step: &Step) -> BTreeSet<u64> {
    let per_root = script.kernel.sections_per_root.unwrap_or(Geo::SECTIONS_PER_ROOT);
    let first = |root: &u64| SectionNr::new(root.saturating_mul(per_root));
    step.roots.iter().flatten().map(|root| words::root_of(first(root))).collect()
}

/// RAM, with adjacent ranges as one run, and devices, one by one.
pub(super) fn resources(facts: &mut Facts, rows: &[ResourceRow]) {
    let of = |is_device| rows.iter().filter(move |row| row.is_device == is_device).map(|row| row.frames);
    for (start, end) in spans::joined(of(false).map(words::bytes)) {
        facts.note(What::Ram(start), words::end(end));
    }
    for (start, end) in of(true).map(words::bytes) {
        facts.note(What::Device(start), words::end(end));
    }
}

/// The recorded tags.
fn tags(facts: &mut Facts, script: &Script) {
    let runs = script.tags.iter().flatten();
    note_tags(facts, script, runs.map(|run| (run.kind, run.id, run.pages)));
}

/// The number of pages with the tag of each section's memmap, the nodes with a tag of their data, and the types of tags
/// that occur: from kinds, sections or nodes, and pages. Linux has data for nodes without memory of boot, too, which a
/// recording does not list; and where memory of a node was removed, it depends on places whether its data was there.
pub(super) fn note_tags(facts: &mut Facts, script: &Script, runs: impl Iterator<Item = (u8, u64, PfnRange)>) {
    let mut kinds = BTreeSet::new();
    let mut pages = BTreeMap::<u64, u64>::new();
    let nodes = script.nodes_that_stay();
    for (kind, id, run) in runs {
        kinds.insert(u64::from(kind));
        match kind {
            SECTION_INFO => *pages.entry(id).or_default() += run.count().get(),
            NODE_INFO if nodes.contains(&id) => facts.note(What::NodeInfo(id), words::THERE),
            _ => {}
        }
    }
    pages.into_iter().for_each(|(nr, count)| facts.note(What::SectionInfo(nr), count));
    facts.note(What::TagTypes, words::numbers(kinds));
}
