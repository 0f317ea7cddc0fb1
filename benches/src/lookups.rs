//! The lookups on one machine: all models, baselines and twins, pattern by pattern.

use sparsemem_core::presets::{X86_64, X86_64La57};
use sparsemem_core::{MemoryModel, MemoryRange, NeverReclaim};

use crate::frames::{Pattern, TOUCH_LIMIT};
use crate::ground::Pages;
use crate::maps::Map;
use crate::measure::{Effort, Samples, alternate, disagreement};
use crate::models::{
    Classic, Coming, Extreme, Fixed, FreeClassic, FreeExtreme, FreeFixed, LA57_ROOTS, LA57_SECTIONS, OfLa57,
    OnBase, OnHuge, array_model, initialise_all, initialise_these, placed_model, table_model,
};
use crate::result::{Measured, Ratio, Results};
use crate::subjects::{
    Any, Baselines, CHECKED_LATER, Geometry46, Geometry52, INLINE, InlineBits, Object, Subject, TwinTables,
    baselines, empty_loop, hot_added, hot_added_twin, selected, twins, ways, ways_chosen_at_run_time,
};

/// vmemmap on 4 KiB pages of the host.
pub const ON_BASE_PAGES: &str = "vmemmap on 4 KiB pages";
/// The machine of the cold table.
pub const COLD: &str = "every other section of 512 TiB";
/// The models, by the names that reports use.
pub const MODELS: [&str; 3] = ["classic-sparse", "sparse-extreme", "vmemmap"];

/// The patterns of every machine that is not cold.
const WARM: [Pattern; 3] = [Pattern::Hot, Pattern::Sequential, Pattern::Random];
/// The patterns that read descriptors.
const TOUCHING: [Pattern; 3] = [Pattern::SequentialTouch, Pattern::RandomTouch, Pattern::TlbTouch];

/// Measures all lookups on a machine.
///
/// # Panics
///
/// If two subjects that have to agree give different answers: nothing that was measured would mean anything.
pub fn on_machine(map: &Map, effort: Effort, say: &dyn Fn(&str), results: &mut Results) {
    say(&format!("{}: bringing the models up", map.name));
    let memory = &map.memory;
    let small = map.ram_bytes() <= TOUCH_LIMIT;
    let pages = if small { Pages::Huge } else { Pages::Base };
    let classic = table_model::<FreeClassic>(memory, Coming::Boot, pages);
    let extreme = table_model::<FreeExtreme>(memory, Coming::Boot, pages);
    let vmemmap = array_model::<OnHuge, FreeFixed<OnHuge>>(memory, Coming::Boot, pages);
    let on_base = array_model::<OnBase, FreeFixed<OnBase>>(memory, Coming::Boot, Pages::Base);
    let placed = placed_model(memory, pages);
    let flat_twin = TwinTables::<Geometry46>::new(&*classic.model);
    let rooted_twin = TwinTables::<Geometry46>::new(&*extreme.model);
    let array_twin = TwinTables::<Geometry46>::new(&*vmemmap.model);
    let others = Baselines::new::<X86_64>(memory);
    skip(results, &map.name, others.left_out());
    if small {
        say(&format!("{}: initialising descriptors", map.name));
        initialise_all(&*classic.model, memory);
        initialise_all(&*extreme.model, memory);
        initialise_all(&*vmemmap.model, memory);
        initialise_all(&*placed.model, memory);
        initialise_all(&*on_base.model, memory);
        others.write(memory);
    } else {
        for frames in WARM.map(|pattern| pattern.list(memory)) {
            initialise_these(&*classic.model, &frames);
            initialise_these(&*extreme.model, &frames);
            initialise_these(&*vmemmap.model, &frames);
            initialise_these(&*placed.model, &frames);
        }
        let why = "all descriptors would not fit the measuring machine: only the way back reads some, and they are on 4 KiB pages";
        skip(results, &map.name, vec![why.to_owned()]);
    }
    let any = [Any::Flat(&classic.model), Any::Rooted(&extreme.model), Any::Array(&placed.model)];
    let (flat, rooted) = (|pfn| classic.model.lookup(pfn), |pfn| extreme.model.lookup(pfn));
    let array = |pfn| placed.model.lookup(pfn);
    let mut subjects = vec![empty_loop()];
    subjects.extend(ways(&*classic.model, MODELS[0]));
    subjects.extend(twins(&flat_twin, &*classic.model, MODELS[0]));
    subjects.extend(ways(&*extreme.model, MODELS[1]));
    subjects.extend(twins(&rooted_twin, &*extreme.model, MODELS[1]));
    subjects.extend(ways(&*vmemmap.model, MODELS[2]));
    subjects.extend(twins(&array_twin, &*vmemmap.model, MODELS[2]));
    subjects.extend(baselines(&others));
    subjects.extend(selected(&classic.model, &extreme.model, &vmemmap.model));
    let objects: [Object<'_>; 3] = [&flat, &rooted, &array];
    subjects.extend(ways_chosen_at_run_time(&any, &placed.model, objects));
    for pattern in WARM {
        measure(&subjects, pattern, map, effort, say, results);
    }
    if small {
        subjects.extend(ways(&*on_base.model, ON_BASE_PAGES));
        for pattern in TOUCHING {
            measure(&subjects, pattern, map, effort, say, results);
        }
    }
}

/// Measures checked lookups where sections came later, so that the subsection is looked at.
pub fn hot_added_on(map: &Map, effort: Effort, say: &dyn Fn(&str), results: &mut Results) {
    say(&format!("{}: adding sections", map.name));
    let memory = &map.memory;
    let classic = table_model::<FreeClassic>(memory, Coming::Later, Pages::Huge);
    let extreme = table_model::<FreeExtreme>(memory, Coming::Later, Pages::Huge);
    let vmemmap = array_model::<OnHuge, FreeFixed<OnHuge>>(memory, Coming::Later, Pages::Huge);
    let tables = [
        TwinTables::<Geometry46>::new(&*classic.model),
        TwinTables::<Geometry46>::new(&*extreme.model),
        TwinTables::<Geometry46>::new(&*vmemmap.model),
    ];
    let inline = InlineBits::new(&*classic.model);
    let mut subjects = vec![
        hot_added(&*classic.model, MODELS[0]),
        hot_added(&*extreme.model, MODELS[1]),
        hot_added(&*vmemmap.model, MODELS[2]),
    ];
    let own = tables.iter().zip(MODELS);
    subjects.extend(own.filter_map(|(tables, name)| hot_added_twin(tables, name)));
    subjects.push(inline.subject());
    for pattern in [Pattern::Hot, Pattern::Random] {
        measure(&subjects, pattern, map, effort, say, results);
    }
}

/// Measures where the section table is larger than the last-level cache.
pub fn cold(effort: Effort, say: &dyn Fn(&str), results: &mut Results) {
    say("cold table: bringing up two million sections");
    // 2^21 of 2^22 sections: 64 MiB of flat table.
    let map = Map::perforated::<X86_64>(COLD, 1 << 21);
    let memory: &[MemoryRange] = &map.memory;
    type G = X86_64La57;
    // Descriptors that the way back reads are too far apart for large pages.
    let (boot, pages) = (Coming::Boot, Pages::Base);
    let classic = table_model::<Classic<G, NeverReclaim, LA57_SECTIONS>>(memory, boot, pages);
    let extreme = table_model::<Extreme<G, NeverReclaim, LA57_ROOTS>>(memory, boot, pages);
    let vmemmap = array_model::<OfLa57, Fixed<G, NeverReclaim, OfLa57, LA57_ROOTS>>(memory, boot, pages);
    let frames = Pattern::Cold.list(memory);
    initialise_these(&*classic.model, &frames);
    initialise_these(&*extreme.model, &frames);
    initialise_these(&*vmemmap.model, &frames);
    let tables = [
        TwinTables::<Geometry52>::new(&*classic.model),
        TwinTables::<Geometry52>::new(&*extreme.model),
        TwinTables::<Geometry52>::new(&*vmemmap.model),
    ];
    let others = Baselines::new::<G>(memory);
    skip(results, COLD, others.left_out());
    let mut subjects = vec![empty_loop()];
    subjects.extend(ways(&*classic.model, MODELS[0]));
    subjects.extend(ways(&*extreme.model, MODELS[1]));
    subjects.extend(ways(&*vmemmap.model, MODELS[2]));
    subjects.extend(twins(&tables[0], &*classic.model, MODELS[0]));
    subjects.extend(twins(&tables[1], &*extreme.model, MODELS[1]));
    subjects.extend(twins(&tables[2], &*vmemmap.model, MODELS[2]));
    subjects.extend(baselines(&others));
    measure(&subjects, Pattern::Cold, &map, effort, say, results);
}

/// Measures every subject in one order of frames.
fn measure(
    subjects: &[Subject<'_>],
    pattern: Pattern,
    map: &Map,
    effort: Effort,
    say: &dyn Fn(&str),
    results: &mut Results,
) {
    say(&format!("{}: {}", map.name, pattern.name()));
    let frames = pattern.list(&map.memory);
    if let Some(who) = disagreement(subjects, &frames) {
        panic!("{} on {}: {who}", pattern.name(), map.name);
    }
    let samples = alternate(subjects, &frames, pattern, effort);
    let measured: Vec<(&Subject<'_>, &Samples)> = subjects
        .iter()
        .zip(&samples)
        .filter_map(|(subject, samples)| Some((subject, samples.as_ref()?)))
        .collect();
    for (subject, samples) in &measured {
        results.results.push(Measured::time(
            subject.bench,
            &subject.name,
            pattern.name(),
            &map.name,
            samples,
        ));
        let Some((bench, name)) = reference(subject) else { continue };
        let other = measured.iter().find(|(other, _)| other.bench == bench && other.name == name);
        if let Some((_, other)) = other {
            let what = ratio_name(subject, (bench, &name), pattern, &map.name);
            results.ratios.push(Ratio { what, value: samples.ratio_to(other) });
        }
    }
}

/// What a subject is compared with: a model with C, its other ways with the checked lookup, a baseline with a model.
fn reference(subject: &Subject<'_>) -> Option<(&'static str, String)> {
    let own = |bench| Some((bench, subject.name.clone()));
    match subject.bench {
        "reader" | "any" | "dyn" | "selected" => own("checked"),
        _ if subject.name == ON_BASE_PAGES => Some((subject.bench, MODELS[2].to_owned())),
        _ if subject.name == INLINE => Some((subject.bench, MODELS[0].to_owned())),
        "unchecked" | "checked" | "valid" | "pfn_of" | CHECKED_LATER if MODELS.contains(&&*subject.name) => {
            Some((subject.bench, format!("{} in C", subject.name)))
        }
        "unchecked" | "checked" if subject.family == "baselines" || subject.family == "compressed" => {
            Some((subject.bench, MODELS[1].to_owned()))
        }
        _ => None,
    }
}

/// A comparison by name: `unchecked vmemmap / unchecked vmemmap in C, random, MACHINE`.
fn ratio_name(subject: &Subject<'_>, (bench, name): (&str, &str), pattern: Pattern, machine: &str) -> String {
    comparison((subject.bench, &subject.name), (bench, name), pattern.name(), machine)
}

/// The name of a comparison of two subjects, each given as bench and name.
#[must_use]
pub fn comparison(one: (&str, &str), other: (&str, &str), pattern: &str, machine: &str) -> String {
    format!("{} {} / {} {}, {pattern}, {machine}", one.0, one.1, other.0, other.1)
}

/// Notes what was left out.
fn skip(results: &mut Results, machine: &str, why: Vec<String>) {
    results.skipped.extend(why.into_iter().map(|why| format!("{machine}: {why}")));
}
