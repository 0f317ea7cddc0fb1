//! Makes subjects: every backend with every geometry and variant, on a machine made for it.
//!
//! # Invariants
//!
//! 1. A subject has its own machine and its own model, both fresh.

#![allow(unsafe_code, reason = "an unsafe constructor promises the memory that can be plugged")]

use sparsemem_aarch64_page_table::{Aarch64, End, Regime};
use sparsemem_altmap::MemmapRule;
use sparsemem_any::{AnyModel, Backend, Sections};
use sparsemem_by_frame::ByFrame;
use sparsemem_core::{
    Geometry, MemoryModel, MemoryRange, Page, PageDescriptor, PhysAddr, SectionShape, SectionStamp,
    ZeroIsNew, presets,
};
use sparsemem_fixture::{ArrayOver, Fixture};
use sparsemem_harness::{HostWorld, Room, window};
use sparsemem_machine::{Addresses, HostRcu, Machine, MachineConfig, MachineError as HostError, Processor};
use sparsemem_page_table::EntryFormat;
use sparsemem_riscv64_page_table::Riscv64;
use sparsemem_section::{ExactRule, FlatPlanes, InRoots, RootedTable, Validity};
use sparsemem_suite::{
    ArrayFacts, BringUp, ByAddress, Capabilities, Compounds, Deferring, MemmapSource, MemoryBack, OddPage,
    Reach, Scratch, Shape, SmallPage, Spare, Subject, TableKind, Usages, WayBack,
};
use sparsemem_x86_64_page_table::X86_64;

use crate::variant::{Tables, Variant};
use sparsemem_machine_files::{GeometryName, MachineFile, TooLarge};

/// The domain of the readers of all subjects.
pub(crate) enum Readers {}

/// A function over a subject, what it says of itself, and the machine's memory.
pub type UseSubject<'p> = &'p mut dyn FnMut(&mut dyn Subject, Capabilities, &[MemoryRange]);

/// The parts that a subject is made from.
#[derive(Clone, Copy)]
struct SubjectParts<'m> {
    machine: &'m MachineFile,
    backend: Backend,
    variant: Variant,
}

/// Makes a fresh model of a backend on a machine and lends it to `use_subject` without booting it: for tools and
/// tests that boot and inspect it themselves.
///
/// # Errors
///
/// The error of the host if it cannot make the machine.
pub fn lend(machine: &MachineFile, backend: Backend, use_subject: UseSubject<'_>) -> Result<(), HostError> {
    with_subject(machine, backend, Variant::Usual, use_subject)
}

/// The same for a model of the backend that is exact by frame; on machines with the geometry of x86_64.
///
/// # Errors
///
/// The error of the host if it cannot make the machine.
pub fn lend_by_frame(
    machine: &MachineFile,
    backend: Backend,
    use_subject: UseSubject<'_>,
) -> Result<(), HostError> {
    with_subject(machine, backend, Variant::ByFrame, use_subject)
}

/// Makes a fresh subject and lends it.
///
/// # Errors
///
/// The error of the host if it cannot make the machine.
pub(crate) fn with_subject(
    machine: &MachineFile,
    backend: Backend,
    variant: Variant,
    use_subject: UseSubject<'_>,
) -> Result<(), HostError> {
    let parts = SubjectParts { machine, backend, variant };
    macro_rules! by_geometry {
        ($($variant:ident => $preset:ident),+) => {
            match machine.geometry {
                GeometryName::X86_64 => by_page(parts, use_subject),
                $(GeometryName::$variant => {
                    use presets::$preset as G;
                    lend_model::<G, Page, { G::NR_SECTIONS_LEN }, { G::NR_ROOTS_LEN }>(parts, use_subject)
                })+
            }
        };
    }
    by_geometry!(
        X86_64La57 => X86_64La57, Arm64Page4K => Arm64Page4K, Arm64Page16K => Arm64Page16K,
        Arm64Page64K => Arm64Page64K, Riscv64 => Riscv64, Ppc64Page64K => Ppc64Page64K
    )
}

/// True if a variant exists for a geometry. Other descriptors and other page tables exist only for the geometry of
/// x86_64, because each needs a whole set of compiled models.
pub(crate) fn exists(geometry: GeometryName, variant: Variant) -> bool {
    match variant {
        Variant::Usual | Variant::SmallLeaves | Variant::HugeLeaves | Variant::FiveLevels => true,
        Variant::OddPage | Variant::SmallPage | Variant::Tables(_) | Variant::Exact | Variant::ByFrame => {
            geometry == GeometryName::X86_64
        }
    }
}

/// Selects the descriptor.
fn by_page(parts: SubjectParts<'_>, use_subject: UseSubject<'_>) -> Result<(), HostError> {
    const S: usize = presets::X86_64::NR_SECTIONS_LEN;
    const R: usize = presets::X86_64::NR_ROOTS_LEN;
    match parts.variant {
        Variant::Tables(tables) => by_tables(parts, tables, use_subject),
        Variant::Exact => {
            type Planes = FlatPlanes<presets::X86_64, S, ExactRule>;
            lend_array::<presets::X86_64, X86_64, Planes, R>(parts, use_subject)
        }
        Variant::ByFrame => lend_wrapped::<presets::X86_64, Page, S, R, _>(parts, use_subject, ByFrame::new),
        Variant::OddPage => lend_model::<presets::X86_64, OddPage, S, R>(parts, use_subject),
        Variant::SmallPage => lend_model::<presets::X86_64, SmallPage, S, R>(parts, use_subject),
        _ => lend_model::<presets::X86_64, Page, S, R>(parts, use_subject),
    }
}

/// Selects the entry format, with the geometry whose pages it has. Where they have 4 KiB, that is the one of x86_64, so that
/// only the tables differ from the usual build.
fn by_tables(parts: SubjectParts<'_>, tables: Tables, use_subject: UseSubject<'_>) -> Result<(), HostError> {
    use presets::{Arm64Page16K as Page16K, Arm64Page64K as Page64K, X86_64 as Page4K};
    const R: usize = Page4K::NR_ROOTS_LEN;
    const R16: usize = Page16K::NR_ROOTS_LEN;
    const R64: usize = Page64K::NR_ROOTS_LEN;
    match tables {
        Tables::Arm4K => lend_array::<Page4K, Aarch64<Low<12>>, InRoots, R>(parts, use_subject),
        Tables::Arm16K => lend_array::<Page16K, Aarch64<Low<14>>, InRoots, R16>(parts, use_subject),
        Tables::Arm64K => lend_array::<Page64K, Aarch64<Low<16>>, InRoots, R64>(parts, use_subject),
        Tables::Sv39 | Tables::Sv48 | Tables::Sv57 => {
            lend_array::<Page4K, Riscv64, InRoots, R>(parts, use_subject)
        }
    }
}

/// The addresses of a process on arm64, with pages of 2^`PAGE` bytes.
#[derive(Clone, Copy)]
struct Low<const PAGE: u32>;

impl<const PAGE: u32> Regime for Low<PAGE> {
    const PAGE_SHIFT: u32 = PAGE;
    const END: End = End::Low;
}

/// An array over a table with validity `V`.
type Array<G, F, V, const R: usize> = ArrayOver<RootedTable<G, Page, R, V>, HostRcu<Readers>, F>;

/// Makes a fresh virtual array on page tables of a format and with a validity, and lends it.
fn lend_array<G, F, V, const R: usize>(
    parts: SubjectParts<'_>,
    use_subject: UseSubject<'_>,
) -> Result<(), HostError>
where
    G: Geometry,
    F: EntryFormat,
    V: Validity<G> + ZeroIsNew,
{
    let room = room::<G, Page>(parts);
    let _addresses = Addresses::take(room.addresses());
    let Fixture { mut model, machine } = Fixture::<Box<Array<G, F, V, R>>>::array(&config(parts, room))?;
    lend_made::<G, _>(parts, &mut *model, machine, room, use_subject);
    Ok(())
}

/// Makes a fresh model on a fresh machine, and lends it.
fn lend_model<G, P, const S: usize, const R: usize>(
    parts: SubjectParts<'_>,
    use_subject: UseSubject<'_>,
) -> Result<(), HostError>
where
    G: Geometry,
    P: PageDescriptor + SectionStamp + Scratch,
{
    lend_wrapped::<G, P, S, R, _>(parts, use_subject, |model| model)
}

/// Makes a fresh model on a fresh machine, wraps it, and lends it.
fn lend_wrapped<G, P, const S: usize, const R: usize, M>(
    parts: SubjectParts<'_>,
    use_subject: UseSubject<'_>,
    wrap: impl FnOnce(AnyModel<G, P, HostRcu<Readers>, S, R>) -> M,
) -> Result<(), HostError>
where
    G: Geometry,
    P: PageDescriptor + SectionStamp + Scratch,
    M: MemoryModel,
    for<'a> Deferring<'a, M, HostWorld>: Subject,
{
    let room = room::<G, P>(parts);
    let _addresses = Addresses::take(room.addresses());
    let fixture =
        Fixture::<AnyModel<G, P, HostRcu<Readers>, S, R>>::new(parts.backend, &config(parts, room))?;
    let mut model = wrap(fixture.model);
    lend_made::<G, _>(parts, &mut model, fixture.machine, room, use_subject);
    Ok(())
}

/// A fresh model of a backend, the only one on a machine.
pub(crate) fn fresh<G: Geometry, const S: usize, const R: usize>(
    backend: Backend,
    machine: &Machine,
) -> Box<AnyModel<G, Page, HostRcu<Readers>, S, R>> {
    let model = Box::new(AnyModel::new(backend));
    if let Some(base) = model.array_base() {
        let bytes = machine.window().count().get();
        // SAFETY: the window is the machine's, begins and ends on 1 GiB borders, and is all that its page tables lead to; the
        // model was just made, and is the only one on the machine.
        unsafe { base.reserve(machine.window_ptr(), bytes) };
    }
    model
}

/// Lends a model that was made with its machine.
fn lend_made<G, M>(
    parts: SubjectParts<'_>,
    model: &mut M,
    machine: Machine,
    room: Room,
    use_subject: UseSubject<'_>,
) where
    G: Geometry,
    M: MemoryModel,
    for<'a> Deferring<'a, M, HostWorld>: Subject,
{
    let SubjectParts { machine: file, backend, .. } = parts;
    let array = backend.has_array().then(|| window(&machine));
    if let Some(mut writer) = model.write() {
        writer.reserve(room.plugged().whole_frames::<G>());
    }
    // SAFETY: the machine has this memory and never gives it out; its direct map is one mapping of all its memory,
    // aligned as that is.
    let spare = room.device.map(|range| unsafe { Spare::new(range) });
    let memory = file.memory.iter();
    let memory: Vec<_> = memory.map(|(range, node)| MemoryRange::from_bytes::<G>(*range, *node)).collect();
    let mut can = capabilities(backend, array, machine.processor());
    if parts.variant == Variant::ByFrame {
        // The map of holes is no part of a table, and goes with the last section.
        (can.table, can.memory_back) = (TableKind::Other, MemoryBack::WithTheLast);
    }
    let mut world = HostWorld::new(machine, spare);
    use_subject(&mut Deferring::new(model, &mut world), can, &memory);
}

/// The room beside the memory of a subject; without a window for models that map nothing.
fn room<G: Geometry, P>(parts: SubjectParts<'_>) -> Room {
    let ranges = parts.machine.memory.iter().map(|(range, _)| *range);
    let room = Room::beside(ranges, &Shape::of::<G>(), size_of::<P>() as u64);
    let most = if parts.backend.has_array() { parts.variant.most_window_bytes() } else { 0 };
    Room { window_bytes: room.window_bytes.min(most), ..room }
}

/// The capabilities that a backend claims, with page tables of a processor.
pub(crate) fn capabilities(
    backend: Backend,
    array: Option<ArrayFacts>,
    processor: Processor,
) -> Capabilities {
    // SAFETY: the backend says that its models read no descriptor on the way back.
    let by_address = backend.finds_by_address().then(|| WayBack::Address(unsafe { ByAddress::promise() }));
    let rule = if array.is_some() { MemmapRule::ArrayLeaves } else { MemmapRule::SectionBlocks };
    let sparse = Capabilities {
        reach: Reach::Everywhere,
        bring_up: BringUp::Later,
        memory_back: MemoryBack::WithItsSection,
        memmaps: MemmapSource::AllocMemmap(rule),
        table: match backend.sections() {
            Sections::Table => TableKind::Flat,
            Sections::Roots => TableKind::Rooted,
            Sections::Records => TableKind::Other,
        },
        way_back: by_address.unwrap_or(WayBack::Stamp),
        array,
        compounds: match (array, processor) {
            (None, _) => Compounds::Refused,
            (Some(_), Processor::Aarch64 { .. }) => Compounds::FoldedWhenAdded,
            (Some(_), _) => Compounds::Folded,
        },
        usages: Usages::PerSection,
    };
    if backend.is_sparse() {
        return sparse;
    }
    Capabilities { way_back: sparse.way_back, ..Capabilities::LEAST }
}

/// The machine of a subject.
fn config(parts: SubjectParts<'_>, room: Room) -> MachineConfig {
    let SubjectParts { machine, variant, .. } = parts;
    let mut config = MachineConfig::new()
        .processor(variant.processor())
        .depth(variant.depth())
        .largest_leaf(variant.largest_leaf())
        .vmemmap_bytes(room.window_bytes);
    config.memory.clone_from(&machine.memory);
    room.device.into_iter().fold(config, MachineConfig::unmanaged)
}

/// Alignment and guards of the two reservations of a machine.
const BORDERS: u64 = 4 << 30;

/// Checks that a machine fits this host, with the array and the device that scenarios need.
///
/// # Errors
///
/// [`TooLarge`], with the size that would fit.
pub(crate) fn fits(machine: &MachineFile) -> Result<(), TooLarge> {
    let shape = machine.geometry.shape();
    let room = |end| Room::past(PhysAddr::new(end), &shape, size_of::<Page>() as u64);
    machine.fits(Addresses::available(), |end| room(end).addresses().saturating_add(BORDERS))
}
