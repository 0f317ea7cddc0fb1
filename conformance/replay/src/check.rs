//! Checks the JSON of a recording and converts it into a [`Script`]. Errors name the place in the JSON.

use sparsemem_altmap::AltmapSpec;
use sparsemem_core::{
    ByteLen, LeafSize, NodeId, Page, PageCount, Pfn, PfnRange, PhysAddr, PhysRange, SectionFlags,
    SectionShape, SubsectionBits,
};
use sparsemem_hotplug::{BlockSize, frames_of_bytes};

use super::error::Wrong;
use super::kernel::Geo;
use super::kernel::{Kernel, Levels};
use super::raw::{RawAltmap, RawOp, RawRecording, RawSection, RawStep};
use super::script::{Op, Script, SectionRow, Step, TagRun};
use super::{PREFIX, RULES, lines, resources, spans, words};

/// Checks a recording.
pub(super) fn check(raw: &RawRecording) -> Result<Script, Wrong> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if raw.case.is_empty() || !raw.case.chars().all(is_plain) {
        return Err(Wrong::new("case", format!("`{}` is not a name of a scenario", raw.case)));
    }
    if format!("{PREFIX}{}", raw.case) == RULES {
        return Err(Wrong::new("case", format!("`{RULES}` is the scenario about all recordings")));
    }
    let kernel = Kernel::parse(&raw.kernel).map_err(|what| Wrong::new("kernel", what))?;
    let memory = memory(&raw.memblock_memory, kernel.levels)?;
    let steps = steps(&raw.steps, &kernel)?;
    check_boot(&steps)?;
    Ok(Script {
        case: raw.case.clone(),
        about: raw.what.clone(),
        later: later(&steps, &memory),
        memory,
        memory_block: memory_block(raw.memory_block)?,
        kernel,
        steps,
        tags: raw.bootmem_tags.as_deref().map(tags).transpose()?,
    })
}

/// Bytes of a memory block; a section if the recording does not state them.
fn memory_block(raw: Option<u64>) -> Result<ByteLen, Wrong> {
    let bytes = ByteLen::new(raw.unwrap_or(Geo::SECTION_SIZE));
    match BlockSize::<Geo>::new(bytes) {
        Ok(size) => Ok(size.bytes()),
        Err(error) => Err(Wrong::new("memory_block", error.to_string())),
    }
}

/// The memory of boot.
fn memory(rows: &[(u32, u64, u64)], levels: Levels) -> Result<Vec<(PhysRange, NodeId)>, Wrong> {
    let limit = levels.frames() * Geo::PAGE_SIZE;
    let row = |(node, start, end): &(u32, u64, u64)| {
        let range = PhysRange::new(PhysAddr::new(*start), PhysAddr::new(*end)).ok();
        let range = range.filter(|range| !range.is_empty() && range.end().get() <= limit);
        let wrong = || format!("{start:#x} to {end:#x} is not a range below {limit:#x}");
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
    let added = steps.iter().flat_map(|step| &step.ops).filter_map(|op| op.added());
    let there = memory.iter().map(|(range, _)| (range.start().get(), range.end().get()));
    let rest = spans::without(added.map(words::bytes), there).into_iter();
    rest.filter_map(|(start, end)| PhysRange::new(PhysAddr::new(start), PhysAddr::new(end)).ok()).collect()
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
fn steps(raw: &[RawStep], kernel: &Kernel) -> Result<Vec<Step>, Wrong> {
    let mut altmaps = Vec::new();
    let step = |(index, raw): (usize, &RawStep)| {
        let ops: Vec<Op> = each(&format!("steps[{index}].ops"), &raw.ops, |raw| op(raw, kernel))?;
        ops.iter().for_each(|op| follow(&mut altmaps, *op));
        check_step(raw, &format!("steps[{index}]"), kernel, ops, altmaps.clone())
    };
    raw.iter().enumerate().map(step).collect()
}

/// Updates the list of altmaps in use.
fn follow(altmaps: &mut Vec<AltmapSpec>, op: Op) {
    altmaps.extend(op.altmap());
    if let Some(frames) = op.removed() {
        altmaps.retain(|altmap| !frames.contains(altmap.base()));
    }
}

/// One step.
fn check_step(
    raw: &RawStep,
    place: &str,
    kernel: &Kernel,
    ops: Vec<Op>,
    altmaps: Vec<AltmapSpec>,
) -> Result<Step, Wrong> {
    let rows = format!("{place}.sections");
    let sections: Vec<SectionRow> = each(&rows, &raw.sections, |raw| section(raw, kernel))?;
    let twice = sections.iter().zip(sections.iter().skip(1)).find(|(one, next)| one.nr >= next.nr);
    if let Some((_, row)) = twice {
        let what = format!("section {} is not after the previous one; sort the rows", row.nr);
        return Err(Wrong::new(rows, what));
    }
    if raw.roots.is_some() && kernel.sections_per_root.is_none() {
        let what = "`kernel` does not say how many bytes a mem_section has, so roots cannot be compared";
        return Err(Wrong::new(format!("{place}.roots"), what));
    }
    let has_mappings = !raw.vmemmap.is_empty() || !raw.vmemmap_backing.is_empty();
    if has_mappings && !kernel.has_array {
        return Err(Wrong::new(format!("{place}.vmemmap"), "`kernel` says that there is no virtual memmap"));
    }
    let lines = |lines: &Vec<String>| each(&format!("{place}.iomem"), lines, |line| lines::iomem(line));
    let lines = raw.iomem.as_ref().map(lines).transpose()?;
    Ok(Step {
        resources: lines.map(|lines| resources::rows(&lines, &sections)),
        ops,
        sections,
        roots: raw.roots.clone(),
        mapped: each(&format!("{place}.vmemmap"), &raw.vmemmap, mapped)?,
        backing: each(&format!("{place}.vmemmap_backing"), &raw.vmemmap_backing, backing)?,
        altmaps,
    })
}

/// Checks every item of a list, and adds the item's place to errors.
fn each<R, T>(place: &str, list: &[R], check: impl Fn(&R) -> Result<T, String>) -> Result<Vec<T>, Wrong> {
    let item = |(index, raw)| check(raw).map_err(|what| Wrong::new(format!("{place}[{index}]"), what));
    list.iter().enumerate().map(item).collect()
}

/// An operation.
fn op(raw: &RawOp, kernel: &Kernel) -> Result<Op, String> {
    let frames = |start, size| frames(start, size, kernel.levels);
    Ok(match *raw {
        RawOp::Boot {} => Op::Boot,
        RawOp::AddMemory { start, size, node, altmap } => {
            let frames = frames(start, size)?;
            let altmap = altmap.map(|raw| host(raw, frames)).transpose()?;
            Op::AddMemory { frames, node: NodeId::new(node), altmap }
        }
        RawOp::RemoveMemory { start, size } => Op::RemoveMemory(frames(start, size)?),
        RawOp::Online { start, size } => Op::Online(frames(start, size)?),
        RawOp::Offline { start, size } => Op::Offline(frames(start, size)?),
        RawOp::RemoveDevice { start, size } => Op::RemoveDevice(frames(start, size)?),
        RawOp::AddDevice { start, size, altmap, compound } => {
            let frames = frames(start, size)?;
            let altmap = altmap.map(|raw| spec(raw, frames)).transpose()?;
            Op::AddDevice { frames, altmap, compound: compound.map(large_page).transpose()?.flatten() }
        }
    })
}

/// Frames of a device's pages; none for pages of one frame, which are not folded.
fn large_page(frames: u64) -> Result<Option<PageCount>, String> {
    if !frames.is_power_of_two() {
        return Err(format!("a page of {frames} frames is not a power of two of frames"));
    }
    Ok(Some(PageCount::new(frames)).filter(|frames| frames.get() > 1))
}

/// The frames of an operation.
fn frames(start: u64, size: u64, levels: Levels) -> Result<PfnRange, String> {
    let frames = frames_of_bytes::<Geo>(PhysAddr::new(start), ByteLen::new(size));
    let frames = frames.map_err(|error| error.to_string())?;
    if frames.is_empty() || frames.end().get() > levels.frames() {
        let limit = levels.frames() * Geo::PAGE_SIZE;
        return Err(format!("{size:#x} bytes from {start:#x} are not a range below {limit:#x}"));
    }
    Ok(frames)
}

/// An altmap that fits its memory.
fn spec(raw: RawAltmap, frames: PfnRange) -> Result<AltmapSpec, String> {
    let (reserve, free) = (PageCount::new(raw.reserve), PageCount::new(raw.free));
    let spec = AltmapSpec::new(Pfn::new(raw.base_pfn), reserve, free).map_err(|error| error.to_string())?;
    spec.validate(frames).map_err(|error| error.to_string())?;
    Ok(spec)
}

/// The altmap of a memory block that hosts its own descriptors: the frames that the descriptors need. Linux 6.1 offers
/// the whole block for them and takes the first frames, the others are RAM like any other.
fn host(raw: RawAltmap, frames: PfnRange) -> Result<AltmapSpec, String> {
    let offered = spec(raw, frames)?;
    let needed = AltmapSpec::self_hosted::<Geo, Page>(frames).map_err(|error| error.to_string())?;
    if raw.reserve != 0 || offered.free() < needed.free() {
        let RawAltmap { reserve, free, .. } = raw;
        return Err(format!("{free} frames after {reserve} cannot hold the {} of {frames}", needed.free()));
    }
    Ok(needed)
}

/// A section row.
fn section(raw: &RawSection, kernel: &Kernel) -> Result<SectionRow, String> {
    let RawSection(nr, flags, map, memmap, usage) = raw;
    if *nr >= kernel.levels.sections() {
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
    match (subsections, kernel.has_array) {
        (None, true) => return Err("a kernel with a virtual memmap has subsection maps".to_owned()),
        (Some(_), false) => return Err("a kernel without a virtual memmap has no subsection maps".to_owned()),
        _ => {}
    }
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
