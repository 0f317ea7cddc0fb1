//! Compares the model with ostd's own metadata, frame by frame.

use core::any::Any;
use core::fmt;

use ostd::mm::Frame;
use ostd::mm::frame::meta::{AnyFrameMeta, GetFrameError, ReservedMemoryMeta};
use sparsemem::{Geometry, Pfn, SectionShape, presets::X86_64};

use crate::allocator::was_given;
use crate::slots::{Record, frame_of_descriptor, record};

/// The statement of ostd's metadata about a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InOstd {
    /// It has none: the frame is beyond the last one of RAM.
    Beyond,
    /// No RAM, or reserved.
    Reserved,
    /// RAM that nobody uses.
    Unused,
    /// RAM that somebody uses.
    Used,
    /// RAM with one owner: a part of the heap that somebody uses, or the first frame of a block that the allocator has.
    Owned,
}

fn in_ostd(pfn: Pfn) -> InOstd {
    let Some(paddr) = pfn.phys::<X86_64>().and_then(|at| usize::try_from(at.get()).ok()) else {
        return InOstd::Beyond;
    };
    match Frame::<dyn AnyFrameMeta>::from_in_use(paddr) {
        Ok(frame) if (frame.dyn_meta() as &dyn Any).is::<ReservedMemoryMeta>() => InOstd::Reserved,
        Ok(_) | Err(GetFrameError::InUse | GetFrameError::Busy) => InOstd::Used,
        Err(GetFrameError::Unique) => InOstd::Owned,
        Err(GetFrameError::Unused) => InOstd::Unused,
        Err(GetFrameError::OutOfBound | GetFrameError::NotAligned) => InOstd::Beyond,
    }
}

/// True if nobody uses a frame, by ostd's metadata.
pub(crate) fn is_unused(pfn: Pfn) -> bool {
    in_ostd(pfn) == InOstd::Unused
}

/// The frames that are compared: all that ostd knows, and a GiB beyond them.
fn frames() -> impl Iterator<Item = Pfn> {
    let regions = &ostd::boot::boot_info().memory_regions;
    let known = regions.iter().filter(|region| region.typ().is_physical());
    let end = known.map(|region| region.end() as u64).max().unwrap_or(0) + (1 << 30);
    (0..(end >> X86_64::PAGE_SHIFT).min(X86_64::MAX_PFN)).map(Pfn::new)
}

/// Books the frames that were in use before the model came up.
pub(crate) fn adopt() {
    let is_used = |pfn: &Pfn| match in_ostd(*pfn) {
        InOstd::Used => true,
        InOstd::Owned => was_given(*pfn),
        InOstd::Beyond | InOstd::Reserved | InOstd::Unused => false,
    };
    frames().filter(is_used).filter_map(record).for_each(Record::adopt);
}

/// Books a frame that nobody uses, which the next comparison has to find.
pub(crate) fn lie() {
    frames().find(|pfn| is_unused(*pfn)).and_then(record).into_iter().for_each(Record::adopt);
}

/// A frame of which both say something else.
#[derive(Debug)]
pub(crate) struct Disagreement {
    /// The frame.
    pfn: Pfn,
    /// The difference.
    wrong: Wrong,
    /// The statement of ostd.
    ostd: InOstd,
    /// The statement of the model: if it has a record, and if that is in use.
    model: Option<bool>,
}

impl Disagreement {
    /// A difference, with what both say now.
    pub(crate) fn new(pfn: Pfn, wrong: Wrong) -> Self {
        Self { pfn, wrong, ostd: in_ostd(pfn), model: record(pfn).map(Record::is_in_use) }
    }
}

impl core::error::Error for Disagreement {}

/// A difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// One of both says that it is RAM, the other one that it is not.
    Ram,
    /// One of both says that it is in use, the other one that it is not.
    Use,
    /// Its descriptor leads back to another frame.
    Back,
    /// The allocator gave or took a frame back that the model or ostd did not expect.
    NotBooked,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pfn, wrong, ostd, model } = self;
        write!(f, "frame {pfn}: {wrong:?}; ostd says {ostd:?}, the model has a record in use: {model:?}")
    }
}

/// The counts of a comparison.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    /// Frames.
    pub(crate) frames: u64,
    /// Those that are RAM.
    pub(crate) ram: u64,
    /// Those of them that are in use.
    pub(crate) in_use: u64,
    /// Those of them of which ostd says only that they have one owner.
    pub(crate) owned: u64,
}

/// Compares the model with ostd for every frame.
///
/// # Errors
///
/// The first difference.
pub(crate) fn all() -> Result<Compared, Disagreement> {
    let mut compared = Compared::default();
    for pfn in frames() {
        let wrong = |wrong| Disagreement::new(pfn, wrong);
        compared.frames += 1;
        let ostd = in_ostd(pfn);
        let record = match (ostd, record(pfn)) {
            (InOstd::Beyond | InOstd::Reserved, None) => continue,
            (InOstd::Beyond | InOstd::Reserved, Some(_)) | (_, None) => return Err(wrong(Wrong::Ram)),
            (InOstd::Unused, Some(record)) if record.is_in_use() => return Err(wrong(Wrong::Use)),
            (InOstd::Used, Some(record)) if !record.is_in_use() => return Err(wrong(Wrong::Use)),
            (_, Some(record)) => record,
        };
        if frame_of_descriptor(pfn) != Some(pfn) {
            return Err(wrong(Wrong::Back));
        }
        compared.ram += 1;
        compared.in_use += u64::from(record.is_in_use());
        compared.owned += u64::from(ostd == InOstd::Owned);
    }
    Ok(compared)
}
