//! What the report says of everything that changes a model, and of what it takes.

use super::super::Report;
use super::super::tables::{machine_of, ns, size};
use super::of_each;
use crate::lookups::MODELS;
use crate::slow::{bring_up, footprint, initialise, readers};

pub(super) fn holes(report: &Report<'_>) -> Option<String> {
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

pub(super) fn walks(report: &Report<'_>) -> Option<String> {
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

pub(super) fn growth(report: &Report<'_>) -> Option<String> {
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

pub(super) fn descriptors(report: &Report<'_>) -> Option<String> {
    let machine = machine_of(report, initialise::BENCH)?;
    let ratio =
        |way: &str, reference: &str| report.results.ratio(&initialise::ratio_name(way, reference, machine));
    let of = |how: &str, reference: &str| of_each(|model| ratio(&format!("{model}{how}"), reference));
    let fresh = of(initialise::FRESH, initialise::MEMSET)?;
    let (to_zero, shared) = (of(initialise::FRESH, initialise::ZEROED)?, of("", initialise::MEMSET)?);
    let [fresh_on_two, memset_on_two] =
        [initialise::FRESH, initialise::MEMSET].map(|name| format!("{name}{}", initialise::TWO));
    let together = of(&fresh_on_two, &memset_on_two)?;
    let same = of(initialise::FRESH, initialise::SAME)?;
    let blank = ratio(&format!("{}{}", initialise::BLANK, initialise::FRESH), initialise::ZEROED)?;
    let plain = ratio(initialise::MEMSET, initialise::ZEROED)?;
    Some(format!(
        "Where memset takes 1, initialising fresh descriptors takes {fresh} (classic-sparse, sparse-extreme, vmemmap), on \
         two threads {together}, and descriptors that others may use take {shared}. Where memset to zero takes 1, memset to \
         another byte takes {plain:.2} on this machine, fresh descriptors take {to_zero}, and descriptors of zeros take \
         {blank:.2}. Where a loop that stores the same bytes takes 1, fresh descriptors take {same}."
    ))
}

pub(super) fn disturbed(report: &Report<'_>) -> Option<String> {
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

pub(super) fn bytes(report: &Report<'_>) -> Option<String> {
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
