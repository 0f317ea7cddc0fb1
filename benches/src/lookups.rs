//! The lookups on one machine: all models, baselines and twins, pattern by pattern.

use sparsemem_core::presets::{X86_64, X86_64La57};

use crate::backends::{
    MODELS, ON_BASE_PAGES, WITH_PLANES, bounded, for_lookups, for_lookups_in_52_bits, on_base_pages, placed,
    with_planes,
};
use crate::environment::Pages;
use crate::frames::{Pattern, TOUCH_LIMIT};
use crate::instance::Coming;
use crate::maps::Map;
use crate::measure::{Effort, Samples, alternate, disagreement};
use crate::result::{Measured, Ratio, Results};
use crate::subjects::{BOUNDED, Baselines, CHECKED_LATER, INLINE, Lookups, Subject, baselines, empty_loop};

/// The machine of the cold table.
pub const COLD: &str = "every other section of 512 TiB";

/// The machine of hot-added memory that no cache holds the tables of.
pub const LARGE: &str = "4 TiB";

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
    say(&format!("{}: booting the models", map.name));
    let memory = &map.memory;
    let small = map.ram_bytes() <= TOUCH_LIMIT;
    let pages = if small { Pages::Huge } else { Pages::Base };
    let models = for_lookups(map, Coming::Boot, pages);
    let (on_base, placed) = (on_base_pages(map), placed(map, pages));
    let bounded: Vec<_> = bounded(map, pages).into_iter().flatten().collect();
    let others = Baselines::new::<X86_64>(memory);
    skip(results, &map.name, others.left_out());
    if small {
        say(&format!("{}: initialising descriptors", map.name));
        let all = models.iter().chain([&placed, &on_base]).chain(&bounded);
        all.for_each(|model| model.initialise_all(memory));
        others.write(memory);
    } else {
        let frames = WARM.map(|pattern| pattern.list(memory)).concat();
        models.iter().chain([&placed]).chain(&bounded).for_each(|model| model.initialise_these(&frames));
        let why = "all descriptors would not fit the measuring machine: only `pfn_of` reads some, and they are on 4 KiB pages";
        skip(results, &map.name, vec![why.to_owned()]);
    }
    let chosen = models.iter().chain([&placed]).filter_map(|model| model.chosen_at_run_time());
    let chosen: Vec<_> = chosen.collect();
    let mut subjects = with_baselines(&models, &others);
    subjects.extend(placed.subjects());
    subjects.extend(bounded.iter().flat_map(|model| model.subjects()));
    subjects.extend(chosen.iter().flat_map(|chosen| chosen.subjects()));
    for pattern in WARM {
        measure(&subjects, pattern, map, effort, say, results);
    }
    if small {
        subjects.extend(on_base.subjects());
        for pattern in TOUCHING {
            measure(&subjects, pattern, map, effort, say, results);
        }
    }
}

/// The loop alone, the models beside C, and the baselines.
fn with_baselines<'m>(models: &'m [Box<dyn Lookups>], others: &'m Baselines) -> Vec<Subject<'m>> {
    let models = models.iter().flat_map(|model| model.subjects());
    std::iter::once(empty_loop()).chain(models).chain(baselines(others)).collect()
}

/// Measures checked lookups where sections came later, so that the subsection is looked at, beside a flat array with a bound.
pub fn hot_added_on(map: &Map, effort: Effort, say: &dyn Fn(&str), results: &mut Results) {
    say(&format!("{}: adding sections", map.name));
    let pages = if map.ram_bytes() <= TOUCH_LIMIT { Pages::Huge } else { Pages::Base };
    let models = for_lookups(map, Coming::Later, pages);
    let (inline, planes) = (models[0].inline_bits(), with_planes(map, pages));
    let flat = Baselines::new::<X86_64>(&map.memory);
    let subjects = models.iter().chain([&planes]).flat_map(|model| model.hot_added());
    let subjects: Vec<_> = subjects.chain([inline.subject(), flat.bounded(CHECKED_LATER)]).collect();
    for pattern in [Pattern::Hot, Pattern::Random] {
        measure(&subjects, pattern, map, effort, say, results);
    }
}

/// Measures where the section table is larger than the last-level cache.
pub fn cold(effort: Effort, say: &dyn Fn(&str), results: &mut Results) {
    say("cold table: booting with two million sections");
    // 2^21 of 2^22 sections: 64 MiB of flat table.
    let map = Map::perforated::<X86_64>(COLD, 1 << 21);
    // Descriptors that the way back reads are too far apart for large pages.
    let models = for_lookups_in_52_bits(&map, Pages::Base);
    let frames = Pattern::Cold.list(&map.memory);
    models.iter().for_each(|model| model.initialise_these(&frames));
    let others = Baselines::new::<X86_64La57>(&map.memory);
    skip(results, COLD, others.left_out());
    measure(&with_baselines(&models, &others), Pattern::Cold, &map, effort, say, results);
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
            subject.question,
            &subject.name,
            pattern.name(),
            &map.name,
            samples,
        ));
        let Some((question, name)) = reference(subject) else { continue };
        let other = measured.iter().find(|(other, _)| other.question == question && other.name == name);
        if let Some((_, other)) = other {
            let one = format!("{} {}", subject.question, subject.name);
            let what = format!("{one} / {question} {name}, {}, {}", pattern.name(), map.name);
            results.ratios.push(Ratio { what, value: samples.ratio_to(other) });
        }
    }
}

/// The counterpart of a subject in a ratio: a model with C, its other ways with the checked lookup, a baseline with a model.
fn reference(subject: &Subject<'_>) -> Option<(&'static str, String)> {
    let own = |question| Some((question, subject.name.clone()));
    match subject.question {
        "reader" | "any" | "dyn" | "selected" => own("checked"),
        _ if subject.name == ON_BASE_PAGES => Some((subject.question, MODELS[2].to_owned())),
        CHECKED_LATER if subject.name == WITH_PLANES => Some((CHECKED_LATER, BOUNDED.to_owned())),
        CHECKED_LATER if subject.name == BOUNDED => Some((CHECKED_LATER, MODELS[2].to_owned())),
        _ if subject.name == INLINE => Some((subject.question, MODELS[0].to_owned())),
        "unchecked" | "checked" | "valid" | "pfn_of" | CHECKED_LATER if MODELS.contains(&&*subject.name) => {
            Some((subject.question, format!("{} in C", subject.name)))
        }
        "unchecked" | "checked" if subject.family == "baselines" || subject.family == "compressed" => {
            Some((subject.question, MODELS[1].to_owned()))
        }
        _ => None,
    }
}

/// Notes what was left out.
fn skip(results: &mut Results, machine: &str, why: Vec<String>) {
    results.skipped.extend(why.into_iter().map(|why| format!("{machine}: {why}")));
}

#[cfg(test)]
mod tests {
    use crate::backends::bounded;
    use crate::environment::Pages;
    use crate::frames::Pattern;
    use crate::maps::Map;
    use crate::measure::disagreement;

    #[test]
    fn models_of_one_array_answer_alike_where_there_are_holes() {
        let map = Map::hollow("2 GiB", 1 << 40);
        let models = bounded(&map, Pages::Base).map(|model| model.unwrap());
        models.iter().for_each(|model| model.initialise_all(&map.memory));
        let subjects: Vec<_> = models.iter().flat_map(|model| model.subjects()).collect();
        assert_eq!(subjects.len(), 10, "five ways each");
        assert_eq!(disagreement(&subjects, &Pattern::Random.list(&map.memory)), None);
    }
}
