//! The sentences of the report, made of its numbers.

use super::Report;
use super::tables::{machine_of, ns, size};
use crate::frames::Pattern;
use crate::lookups::{COLD, MODELS, ON_BASE_PAGES, comparison};
use crate::slow::{bring_up, footprint, initialise, readers};
use crate::subjects::{CHECKED_LATER, INLINE};

/// A sentence, if there are numbers for it.
type Finding = fn(&Report<'_>) -> Option<String>;

/// Everything that can be said.
#[must_use]
pub fn findings(report: &Report<'_>) -> Vec<String> {
    let all: [Finding; 16] = [
        loads,
        against_c,
        unchecked,
        time_against_c,
        chosen,
        baselines,
        touched,
        pages,
        cold,
        holes,
        walks,
        growth,
        descriptors,
        disturbed,
        subsection_bits,
        bytes,
    ];
    all.iter().filter_map(|finding| finding(report)).collect()
}

/// The machine that lookups are quoted from.
fn machine<'r>(report: &Report<'r>) -> Option<&'r str> {
    report.machines.first().map(String::as_str)
}

/// `1.25 times as long as`, `0.80 times as long as`.
fn times(ratio: f64) -> String {
    format!("{ratio:.2} times as long as")
}

fn loads(report: &Report<'_>) -> Option<String> {
    let codegen = report.codegen?;
    let of = |probe: &str| {
        let counted = codegen.lookups.iter().find(|counted| counted.probe == format!("{probe}_unchecked"))?;
        Some(format!("{} instructions and {} loads on", counted.instructions, counted.loads))
    };
    let (classic, extreme, vmemmap) = (of("classic")?, of("extreme")?, of("vmemmap")?);
    Some(format!(
        "The unchecked lookup is {classic} classic-sparse, {extreme} sparse-extreme, {vmemmap} vmemmap."
    ))
}

fn against_c(report: &Report<'_>) -> Option<String> {
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

fn unchecked(report: &Report<'_>) -> Option<String> {
    let machine = machine(report)?;
    let time = |model| report.results.time("unchecked", model, Pattern::Random.name(), machine);
    let [classic, extreme, vmemmap] = [time(MODELS[0])?, time(MODELS[1])?, time(MODELS[2])?].map(ns);
    let alone = ns(report.results.time("loop alone", "nothing", Pattern::Random.name(), machine)?);
    Some(format!(
        "At random frames of {machine}, an unchecked lookup takes {classic} on classic-sparse, {extreme} on \
         sparse-extreme and {vmemmap} on vmemmap, each with {alone} for the loop."
    ))
}

/// A ratio of each model, in the order of [`MODELS`].
fn of_each(ratio: impl Fn(&str) -> Option<f64>) -> Option<String> {
    let ratios = [ratio(MODELS[0])?, ratio(MODELS[1])?, ratio(MODELS[2])?];
    Some(ratios.map(|ratio| format!("{ratio:.2}")).join(", "))
}

fn time_against_c(report: &Report<'_>) -> Option<String> {
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

fn chosen(report: &Report<'_>) -> Option<String> {
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

fn baselines(report: &Report<'_>) -> Option<String> {
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

fn touched(report: &Report<'_>) -> Option<String> {
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

fn pages(report: &Report<'_>) -> Option<String> {
    let machine = machine(report)?;
    if !report.host.has_large_pages() {
        return None;
    }
    let pattern = Pattern::TlbTouch.name();
    let name = comparison(("unchecked", ON_BASE_PAGES), ("unchecked", MODELS[2]), pattern, machine);
    let ratio = times(report.results.ratio(&name)?);
    Some(format!("Under TLB pressure, vmemmap on 4 KiB pages takes {ratio} vmemmap on 2 MiB pages."))
}

fn cold(report: &Report<'_>) -> Option<String> {
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

fn holes(report: &Report<'_>) -> Option<String> {
    let (near, far) = (bring_up::HOLLOW.first()?.0, bring_up::HOLLOW.last()?.0);
    let of = |model: &str| {
        let time = |machine| report.results.time(bring_up::WITH_HOLE, model, "", machine);
        Some(format!("{} and {}", ns(time(near)?), ns(time(far)?)))
    };
    let (classic, extreme, vmemmap) = (of(MODELS[0])?, of(MODELS[1])?, of(MODELS[2])?);
    Some(format!(
        "Bringing up 2 GiB in {near} and in {far} of address space takes {classic} on classic-sparse, {extreme} on \
         sparse-extreme, {vmemmap} on vmemmap."
    ))
}

fn walks(report: &Report<'_>) -> Option<String> {
    let (near, far) = (bring_up::HOLLOW.first()?.0, bring_up::HOLLOW.last()?.0);
    let of = |model: &str| {
        let time = |machine| report.results.time(bring_up::WALK, model, "", machine);
        Some(format!("{} and {}", ns(time(near)?), ns(time(far)?)))
    };
    let (classic, extreme, vmemmap) = (of(MODELS[0])?, of(MODELS[1])?, of(MODELS[2])?);
    Some(format!(
        "A walk over their sections takes {classic} on classic-sparse, {extreme} on sparse-extreme, {vmemmap} on vmemmap."
    ))
}

fn growth(report: &Report<'_>) -> Option<String> {
    let measured = |name: &str| {
        MODELS.iter().all(|model| report.results.time(bring_up::PER_SECTION, model, "", name).is_some())
    };
    let names: Vec<&str> =
        bring_up::FULL.iter().map(|(name, _)| *name).filter(|name| measured(name)).collect();
    let (first, last) = (*names.first()?, *names.last()?);
    let of = |model: &str| {
        let time = |machine| report.results.time(bring_up::PER_SECTION, model, "", machine);
        Some(format!("{} and {}", ns(time(first)?), ns(time(last)?)))
    };
    let (classic, extreme, vmemmap) = (of(MODELS[0])?, of(MODELS[1])?, of(MODELS[2])?);
    Some(format!(
        "Bringing a section up takes, on machines of {first} and of {last}: {classic} on classic-sparse, {extreme} on \
         sparse-extreme, {vmemmap} on vmemmap."
    ))
}

fn descriptors(report: &Report<'_>) -> Option<String> {
    let machine = machine_of(report, initialise::BENCH)?;
    let ratio = |model: &str, how: &str, reference: &str| {
        let name = format!("initialise {model}{how} / {reference}, {machine}");
        report.results.ratio(&name).map(|ratio| format!("{ratio:.2}"))
    };
    let of = |how, reference| {
        let all = [
            ratio(MODELS[0], how, reference)?,
            ratio(MODELS[1], how, reference)?,
            ratio(MODELS[2], how, reference)?,
        ];
        Some(all.join(", "))
    };
    let (fresh, shared) = (of(initialise::FRESH, initialise::STREAMED)?, of("", initialise::STREAMED)?);
    let memset = of(initialise::FRESH, initialise::MEMSET)?;
    Some(format!(
        "Initialising fresh descriptors takes {fresh} times what zeroing the same memory around the caches takes, and \
         {memset} times what the C library's memset takes; descriptors that others may use take {shared} times the former \
         (classic-sparse, sparse-extreme, vmemmap)."
    ))
}

fn disturbed(report: &Report<'_>) -> Option<String> {
    let machine = machine_of(report, readers::WRITER)?;
    let ratio = |model: &str| {
        let name = format!("reader {model} {} / {}, {machine}", readers::DISTURBED, readers::ALONE);
        report.results.ratio(&name).map(|ratio| format!("{ratio:.2}"))
    };
    let ratios = [ratio(MODELS[0])?, ratio(MODELS[1])?, ratio(MODELS[2])?].join(", ");
    Some(format!(
        "While another thread adds and removes a section without pause, a reader takes {ratios} times as long for a \
         lookup (classic-sparse, sparse-extreme, vmemmap)."
    ))
}

/// What the prototype of bits in the entry says, with its price.
fn subsection_bits(report: &Report<'_>) -> Option<String> {
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

fn bytes(report: &Report<'_>) -> Option<String> {
    let (near, far) = (bring_up::HOLLOW.first()?.0, bring_up::HOLLOW.last()?.0);
    let of = |subject: &str| {
        let count = |machine: &str| {
            let machine = footprint::hollow_name(machine);
            report
                .results
                .find(footprint::TOTAL, subject, "", &machine)
                .and_then(|measured| measured.bytes)
                .map(size)
        };
        Some(format!("{} and {}", count(near)?, count(far)?))
    };
    let (classic, extreme, vmemmap) = (of(MODELS[0])?, of(MODELS[1])?, of(MODELS[2])?);
    let flat = of(footprint::FLAT)?;
    Some(format!(
        "The metadata of 2 GiB in {near} and in {far} of address space takes {classic} on classic-sparse, {extreme} on \
         sparse-extreme, {vmemmap} on vmemmap; a flat array would take {flat}."
    ))
}

#[cfg(test)]
mod tests {
    use super::findings;
    use crate::frames::Pattern;
    use crate::host::Host;
    use crate::lookups::MODELS;
    use crate::measure::Samples;
    use crate::report::Report;
    use crate::result::{Measured, Results};

    fn host() -> Host {
        let [processor, last_level_cache, kernel] = ["a processor", "1K", "Linux 0"].map(str::to_owned);
        Host { processor, processors: 1, last_level_cache, kernel, large_pages: "madvise".to_owned() }
    }

    fn said(results: &Results) -> Vec<String> {
        let machines = ["laptop".to_owned()];
        let report = Report {
            results,
            codegen: None,
            host: &host(),
            command: "cargo xtask bench",
            quick: true,
            machines: &machines,
        };
        findings(&report)
    }

    fn time(bench: &str, subject: &str, pattern: Pattern, ns: f64) -> Measured {
        Measured::time(bench, subject, pattern.name(), "laptop", &Samples(vec![ns]))
    }

    #[test]
    fn without_numbers_nothing_is_said() {
        assert_eq!(said(&Results::default()), [""; 0]);
    }

    #[test]
    fn sentences_have_the_numbers_of_the_results() {
        let mut results = Results::default();
        results.results.push(time("loop alone", "nothing", Pattern::Random, 0.25));
        for (model, ns) in MODELS.into_iter().zip([1.5, 2.5, 0.5]) {
            results.results.push(time("unchecked", model, Pattern::Random, ns));
        }
        let sentences = said(&results);
        assert_eq!(sentences.len(), 1, "{sentences:?}");
        for number in [
            "1.50 ns on classic-sparse",
            "2.50 ns on sparse-extreme",
            "0.50 ns on vmemmap",
            "0.25 ns for the loop",
        ] {
            assert!(sentences[0].contains(number), "{number}: {sentences:?}");
        }
    }

    #[test]
    fn the_descriptor_is_the_larger_part_only_where_it_is() {
        let with = |touched: f64| {
            let mut results = Results::default();
            for subject in MODELS.into_iter().chain(["flat array"]) {
                results.results.push(time("unchecked", subject, Pattern::Random, 1.0));
                results.results.push(time("unchecked", subject, Pattern::RandomTouch, touched));
            }
            said(&results).iter().any(|sentence| sentence.contains("larger part"))
        };
        assert!(with(2.0) && !with(1.9));
    }
}
