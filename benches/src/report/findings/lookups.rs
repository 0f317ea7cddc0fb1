//! What the report says of lookups.

use super::super::Report;
use super::super::tables::ns;
use super::{machine, of_each, times};
use crate::frames::Pattern;
use crate::lookups::{COLD, MODELS, ON_BASE_PAGES, comparison};
use crate::subjects::{CHECKED_LATER, INLINE};

pub(super) fn loads(report: &Report<'_>) -> Option<String> {
    let codegen = report.codegen?;
    let of = |probe: &str| {
        let counted = codegen.lookups.iter().find(|counted| counted.probe == format!("{probe}_unchecked"))?;
        let loads = if counted.loads == 1 { "1 load".to_owned() } else { format!("{} loads", counted.loads) };
        Some(format!("{} instructions and {loads} on", counted.instructions))
    };
    let (classic, extreme, vmemmap) = (of("classic")?, of("extreme")?, of("vmemmap")?);
    Some(format!(
        "The unchecked lookup is {classic} classic-sparse, {extreme} sparse-extreme, {vmemmap} vmemmap."
    ))
}

pub(super) fn against_c(report: &Report<'_>) -> Option<String> {
    let lookups = &report.codegen?.lookups;
    let above: Vec<String> = lookups
        .iter()
        .filter(|counted| counted.instructions > counted.c_instructions || counted.loads > counted.c_loads)
        .map(|counted| {
            let more = counted.instructions.saturating_sub(counted.c_instructions);
            format!("`{}` ({more} more)", counted.probe)
        })
        .collect();
    let below = lookups.iter().filter(|counted| counted.instructions < counted.c_instructions).count();
    let rest = if above.is_empty() {
        "none needs more".to_owned()
    } else {
        format!("more need {}", above.join(", "))
    };
    let all = lookups.len();
    Some(format!("Of {all} lookups, {below} need fewer instructions than the same in C at -O2, and {rest}."))
}

pub(super) fn unchecked(report: &Report<'_>) -> Option<String> {
    let machine = machine(report)?;
    let time = |model| report.results.time("unchecked", model, Pattern::Random.name(), machine);
    let [classic, extreme, vmemmap] = [time(MODELS[0])?, time(MODELS[1])?, time(MODELS[2])?].map(ns);
    let alone = ns(report.results.time("loop alone", "nothing", Pattern::Random.name(), machine)?);
    Some(format!(
        "At random frames of {machine}, an unchecked lookup takes {classic} on classic-sparse, {extreme} on \
         sparse-extreme and {vmemmap} on vmemmap, each with {alone} for the loop."
    ))
}

pub(super) fn time_against_c(report: &Report<'_>) -> Option<String> {
    let machine = machine(report)?;
    let of = |bench: &str| {
        of_each(|model| {
            let twin = format!("{model} in C");
            let name = comparison((bench, model), (bench, &twin), Pattern::Random.name(), machine);
            report.results.ratio(&name)
        })
    };
    let (unchecked, early, later) = (of("unchecked")?, of("checked")?, of(CHECKED_LATER)?);
    Some(format!(
        "Where C takes 1, an unchecked lookup takes {unchecked} (classic-sparse, sparse-extreme, vmemmap; random frames of \
         {machine}), a checked one {early}, and a checked one that has to look at the subsection {later}."
    ))
}

pub(super) fn chosen(report: &Report<'_>) -> Option<String> {
    let (machine, model) = (machine(report)?, MODELS[1]);
    let ratio = |bench: &str| {
        let name = comparison((bench, model), ("checked", model), Pattern::Random.name(), machine);
        report.results.ratio(&name).map(|ratio| format!("{ratio:.2}"))
    };
    Some(format!(
        "Where a checked lookup of {model} takes 1, it takes {} through a reader, {} through `Selected`, {} through `any` and \
         {} through `dyn`.",
        ratio("reader")?,
        ratio("selected")?,
        ratio("any")?,
        ratio("dyn")?
    ))
}

pub(super) fn baselines(report: &Report<'_>) -> Option<String> {
    let machine = machine(report)?;
    let prefix = format!(" / checked {}, {}, {machine}", MODELS[1], Pattern::Random.name());
    let ratios = report.results.ratios.iter().filter_map(|ratio| {
        let name = ratio.what.strip_suffix(&prefix)?.strip_prefix("checked ")?;
        Some(format!("{name} {}", format_ratio(ratio.value)))
    });
    let ratios: Vec<String> = ratios.collect();
    (!ratios.is_empty()).then(|| {
        format!(
            "Where sparse-extreme takes 1, checked lookups at random frames of {machine} take: {}.",
            ratios.join("; ")
        )
    })
}

fn format_ratio(ratio: f64) -> String {
    if ratio >= 10.0 { format!("{ratio:.0}") } else { format!("{ratio:.2}") }
}

pub(super) fn touched(report: &Report<'_>) -> Option<String> {
    let machine = machine(report)?;
    let time = |model, pattern: Pattern| report.results.time("unchecked", model, pattern.name(), machine);
    let (touched, untouched) = (Pattern::RandomTouch, Pattern::Random);
    let flat = ns(time("flat array", touched)?);
    let times = [time(MODELS[0], touched)?, time(MODELS[1], touched)?, time(MODELS[2], touched)?].map(ns);
    let share = |model| Some(time(model, touched)? >= 2.0 * time(model, untouched)?);
    let largest = MODELS.into_iter().all(|model| share(model) == Some(true));
    let why = if largest { ": the descriptor itself is the larger part" } else { "" };
    let [classic, extreme, vmemmap] = times;
    Some(format!(
        "Once the descriptor is read, at random frames of {machine}, it is {classic} on classic-sparse, {extreme} on \
         sparse-extreme, {vmemmap} on vmemmap and {flat} with a flat array{why}."
    ))
}

pub(super) fn pages(report: &Report<'_>) -> Option<String> {
    let machine = machine(report)?;
    if !report.host.has_large_pages() {
        return None;
    }
    let pattern = Pattern::TlbTouch.name();
    let name = comparison(("unchecked", ON_BASE_PAGES), ("unchecked", MODELS[2]), pattern, machine);
    let ratio = report.results.ratio(&name)?;
    Some(format!(
        "Under TLB pressure, on {machine}, unchecked lookups of vmemmap with the descriptor read take {ratio:.2} times as long on \
         4 KiB pages as on 2 MiB pages."
    ))
}

pub(super) fn cold(report: &Report<'_>) -> Option<String> {
    let time = |bench, model| report.results.time(bench, model, Pattern::Cold.name(), COLD);
    let unchecked =
        [time("unchecked", MODELS[0])?, time("unchecked", MODELS[1])?, time("unchecked", MODELS[2])?].map(ns);
    let checked =
        [time("checked", MODELS[0])?, time("checked", MODELS[1])?, time("checked", MODELS[2])?].map(ns);
    Some(format!(
        "With a section table that the last-level cache does not hold, unchecked lookups take {}, checked ones {} \
         (classic-sparse, sparse-extreme, vmemmap).",
        unchecked.join(", "),
        checked.join(", ")
    ))
}

/// What the prototype of bits in the entry says, with its price.
pub(super) fn subsection_bits(report: &Report<'_>) -> Option<String> {
    let machine = machine(report)?;
    let one = (CHECKED_LATER, INLINE);
    let name = comparison(one, (CHECKED_LATER, MODELS[0]), Pattern::Random.name(), machine);
    let ratio = report.results.ratio(&name)?;
    let time = |subject| report.results.time(CHECKED_LATER, subject, Pattern::Random.name(), machine);
    let saved = time(MODELS[0])? - time(INLINE)?;
    let verdict = if saved > 0.0 { format!("{saved:.2} ns less") } else { format!("{:.2} ns more", -saved) };
    Some(format!(
        "Subsection bits in the section's entry instead of behind the usage pointer (a prototype of classic-sparse) would take \
         {} the lookup as it is, {verdict}, at random frames of {machine}, for hot-added sections only.",
        times(ratio)
    ))
}
