//! Checks the JSON of a recording and converts it into a [`Script`]. Errors name the place in the JSON.

use sparsemem_altmap::AltmapSpec;
use sparsemem_core::{
    ByteLen, LeafSize, NodeId, PageCount, Pfn, PfnRange, PhysAddr, PhysRange, SectionFlags, SectionShape,
    SubsectionBits,
};
use sparsemem_hotplug::frames_of_bytes;

use super::error::Wrong;
use super::raw::{RawAltmap, RawOp, RawRecording, RawSection, RawStep};
use super::script::{Geo, Op, Script, SectionRow, Step, TagRun};
use super::{lines, spans, words};

/// The first physical address beyond the geometry.
const END: u64 = Geo::MAX_PFN * Geo::PAGE_SIZE;

/// Checks a recording.
pub(super) fn check(raw: &RawRecording) -> Result<Script, Wrong> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if raw.case.is_empty() || !raw.case.chars().all(is_plain) {
        return Err(Wrong::new("case", format!("`{}` is not a name of a scenario", raw.case)));
    }
    let memory = memory(&raw.memblock_memory)?;
    let steps = steps(&raw.steps)?;
    check_boot(&steps)?;
    Ok(Script {
        case: raw.case.clone(),
        about: raw.what.clone(),
        later: later(&steps, &memory),
        memory,
        sections_per_root: sections_per_root(&raw.kernel),
        has_array: has_array(&steps)?,
        steps,
        tags: raw.bootmem_tags.as_deref().map(tags).transpose()?,
    })
}

/// The memory of boot.
fn memory(rows: &[(u32, u64, u64)]) -> Result<Vec<(PhysRange, NodeId)>, Wrong> {
    let row = |(node, start, end): &(u32, u64, u64)| {
        let range = PhysRange::new(PhysAddr::new(*start), PhysAddr::new(*end)).ok();
        let range = range.filter(|range| !range.is_empty() && range.end().get() <= END);
        let wrong = || format!("{start:#x} to {end:#x} is not a range below {END:#x}");
        Ok((range.ok_or_else(wrong)?, NodeId::new(*node)))
    };
    let memory = each("memblock_memory", rows, row)?;
    match spans::overlap(rows.iter().map(|(_, start, end)| (*start, *end))) {
        Some(((start, end), (next, _))) => {
            let what = format!("{start:#x} to {end:#x} overlaps the range that begins at {next:#x}");
            Err(Wrong::new("memblock_memory", what))
        }
        None => Ok(memory),
    }
}

/// Memory that is absent at boot and that some operation adds.
fn later(steps: &[Step], memory: &[(PhysRange, NodeId)]) -> Vec<PhysRange> {
    let added = steps.iter().flat_map(|step| &step.ops).filter_map(|op| match op {
        Op::AddMemory { frames, .. } | Op::AddDevice { frames, .. } => Some(*frames),
        _ => None,
    });
    let there = memory.iter().map(|(range, _)| (range.start().get(), range.end().get()));
    let rest = spans::without(added.map(words::bytes), there).into_iter();
    rest.filter_map(|(start, end)| PhysRange::new(PhysAddr::new(start), PhysAddr::new(end)).ok()).collect()
}

/// The number of sections per root of the recorded kernel, if the kernel's description states the size of an entry.
fn sections_per_root(kernel: &str) -> Option<u64> {
    let (before, _) = kernel.split_once("-byte mem_section")?;
    let bytes: u64 = before.rsplit(' ').next()?.parse().ok()?;
    Geo::PAGE_SIZE.checked_div(bytes)
}

/// Whether the recorded kernel had a virtual memmap.
fn has_array(steps: &[Step]) -> Result<bool, Wrong> {
    let mut rows = steps.iter().flat_map(|step| &step.sections).map(|row| row.subsections.is_some());
    let first = rows.next().unwrap_or(false);
    if rows.all(|has| has == first) {
        return Ok(first);
    }
    Err(Wrong::new("steps", "some section rows have a subsection map and some have none"))
}

/// Checks that the recording has exactly one boot, as its first operation.
fn check_boot(steps: &[Step]) -> Result<(), Wrong> {
    let ops: Vec<Op> = steps.iter().flat_map(|step| step.ops.iter().copied()).collect();
    let first = steps.first().and_then(|step| step.ops.first());
    if first != Some(&Op::Boot) || ops.iter().filter(|op| **op == Op::Boot).count() != 1 {
        return Err(Wrong::new(
            "steps",
            "a recording needs exactly one boot, as the first operation of the first step",
        ));
    }
    Ok(())
}

/// All steps, each with the altmaps that are in use after it.
fn steps(raw: &[RawStep]) -> Result<Vec<Step>, Wrong> {
    let mut altmaps = Vec::new();
    let step = |(index, raw): (usize, &RawStep)| {
        let ops: Vec<Op> = each(&format!("steps[{index}].ops"), &raw.ops, op)?;
        ops.iter().for_each(|op| follow(&mut altmaps, *op));
        check_step(raw, &format!("steps[{index}]"), ops, altmaps.clone())
    };
    raw.iter().enumerate().map(step).collect()
}

/// Updates the list of altmaps in use.
fn follow(altmaps: &mut Vec<AltmapSpec>, op: Op) {
    match op {
        Op::AddDevice { altmap: Some(altmap), .. } => altmaps.push(altmap),
        Op::RemoveDevice(frames) => altmaps.retain(|altmap| altmap.base() != frames.start()),
        _ => {}
    }
}

/// One step.
fn check_step(raw: &RawStep, place: &str, ops: Vec<Op>, altmaps: Vec<AltmapSpec>) -> Result<Step, Wrong> {
    let sections: Vec<SectionRow> = each(&format!("{place}.sections"), &raw.sections, section)?;
    let twice = sections.iter().zip(sections.iter().skip(1)).find(|(one, next)| one.nr >= next.nr);
    if let Some((_, row)) = twice {
        return Err(Wrong::new(
            format!("{place}.sections"),
            format!("section {} is not after the previous one; sort the rows", row.nr),
        ));
    }
    let iomem = |lines: &Vec<String>| each(&format!("{place}.iomem"), lines, |line| lines::iomem(line));
    Ok(Step {
        ops,
        sections,
        roots: raw.roots.clone(),
        mapped: each(&format!("{place}.vmemmap"), &raw.vmemmap, mapped)?,
        backing: each(&format!("{place}.vmemmap_backing"), &raw.vmemmap_backing, backing)?,
        altmaps,
        resources: raw
            .iomem
            .as_ref()
            .map(iomem)
            .transpose()?
            .map(|rows| rows.into_iter().flatten().collect()),
    })
}

/// Checks every item of a list, and adds the item's place to errors.
fn each<R, T>(place: &str, list: &[R], check: impl Fn(&R) -> Result<T, String>) -> Result<Vec<T>, Wrong> {
    let item = |(index, raw)| check(raw).map_err(|what| Wrong::new(format!("{place}[{index}]"), what));
    list.iter().enumerate().map(item).collect()
}

/// An operation.
fn op(raw: &RawOp) -> Result<Op, String> {
    Ok(match *raw {
        RawOp::Boot {} => Op::Boot,
        RawOp::AddMemory { start, size, node } => {
            Op::AddMemory { frames: frames(start, size)?, node: NodeId::new(node) }
        }
        RawOp::RemoveMemory { start, size } => Op::RemoveMemory(frames(start, size)?),
        RawOp::Online { start, size } => Op::Online(frames(start, size)?),
        RawOp::Offline { start, size } => Op::Offline(frames(start, size)?),
        RawOp::RemoveDevice { start, size } => Op::RemoveDevice(frames(start, size)?),
        RawOp::AddDevice { start, size, altmap } => {
            let frames = frames(start, size)?;
            Op::AddDevice { frames, altmap: altmap.map(|raw| spec(raw, frames)).transpose()? }
        }
    })
}

/// The frames of an operation.
fn frames(start: u64, size: u64) -> Result<PfnRange, String> {
    let frames = frames_of_bytes::<Geo>(PhysAddr::new(start), ByteLen::new(size));
    let frames = frames.map_err(|error| error.to_string())?;
    if frames.is_empty() || frames.end().get() > Geo::MAX_PFN {
        return Err(format!("{size:#x} bytes from {start:#x} are not a range below {END:#x}"));
    }
    Ok(frames)
}

/// An altmap that fits its device.
fn spec(raw: RawAltmap, frames: PfnRange) -> Result<AltmapSpec, String> {
    let (reserve, free) = (PageCount::new(raw.reserve), PageCount::new(raw.free));
    let spec = AltmapSpec::new(Pfn::new(raw.base_pfn), reserve, free).map_err(|error| error.to_string())?;
    spec.validate(frames).map_err(|error| error.to_string())?;
    Ok(spec)
}

/// A section row.
fn section(raw: &RawSection) -> Result<SectionRow, String> {
    let RawSection(nr, flags, map, memmap, usage) = raw;
    if *nr >= Geo::NR_SECTIONS {
        return Err(format!("there is no section {nr}"));
    }
    let flags = SectionFlags::from_bits(*flags)
        .ok_or_else(|| format!("{flags} is not a combination of section flags"))?;
    let has_usage = match usage {
        0 => false,
        1 => true,
        other => return Err(format!("{other} is not valid for `has usage`; use 0 or 1")),
    };
    let subsections = map.as_deref().map(subsections).transpose()?;
    Ok(SectionRow { nr: *nr, flags, subsections, memmap: *memmap, has_usage })
}

/// A subsection map.
fn subsections(hex: &str) -> Result<SubsectionBits, String> {
    let is_map = hex.len() == 16 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    let word = u64::from_str_radix(hex, 16).ok().filter(|_| is_map);
    let word = word.ok_or_else(|| format!("`{hex}` is not a subsection map of 16 hexadecimal digits"))?;
    Ok(SubsectionBits::from_words([word]))
}

/// A mapped run.
fn mapped(raw: &(u64, u64, u64)) -> Result<(u64, u64, u64), String> {
    let (start, end, size) = *raw;
    let sizes = [LeafSize::Size4KiB, LeafSize::Size2MiB, LeafSize::Size1GiB].map(LeafSize::bytes);
    if !sizes.contains(&size) || start >= end || start % size != 0 || end % size != 0 {
        return Err(format!("{start:#x} to {end:#x} is not a run of mappings of {size:#x} bytes"));
    }
    Ok(*raw)
}

/// A piece of the physical memory that holds the array.
fn backing(raw: &(u64, u64, u64)) -> Result<(u64, u64, u64), String> {
    let (start, end, phys) = *raw;
    let fits = end.checked_sub(start).filter(|len| *len > 0).and_then(|len| phys.checked_add(len));
    fits.map(|_| *raw).ok_or_else(|| format!("{start:#x} to {end:#x} at {phys:#x} is not a piece of memory"))
}

/// The tags.
fn tags(raw: &[String]) -> Result<Vec<TagRun>, Wrong> {
    each("bootmem_tags", raw, |line| lines::tag(line))
}
