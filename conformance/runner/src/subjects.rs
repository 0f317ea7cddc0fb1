//! Makes subjects: every backend with every geometry and variant, on a machine made for it.
//!
//! # Invariants
//!
//! 1. A subject has its own machine and its own model, both fresh.

#![allow(unsafe_code, reason = "an unsafe constructor promises the memory that can be plugged")]

use sparsemem_altmap::MemmapRule;
use sparsemem_any::{AnyModel, Backend, Sections};
use sparsemem_core::{
    Geometry, MemoryModel as _, MemoryRange, Page, PageDescriptor, PhysRange, SectionShape, SectionStamp,
    presets,
};
use sparsemem_fixture::Fixture;
use sparsemem_harness::{HostWorld, Room, window};
use sparsemem_machine::{Addresses, HostRcu, MachineConfig, MachineError as HostError};
use sparsemem_suite::{
    ArrayFacts, ByAddress, Capabilities, MemmapSource, MemoryBack, OddPage, Pair, Reach, Scratch, Shape,
    SmallPage, Spare, Subject, TableKind, WayBack,
};

use crate::variant::Variant;
use sparsemem_machine_files::{GeometryName, MachineFile};

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
        Riscv64 => Riscv64, Ppc64Page64K => Ppc64Page64K
    )
}

/// Whether a variant exists for a geometry. Other descriptors exist only for x86_64, because each needs a whole set
/// of compiled models.
pub(crate) fn exists(geometry: GeometryName, variant: Variant) -> bool {
    variant.is_about_mappings() || variant == Variant::Usual || geometry == GeometryName::X86_64
}

/// Selects the descriptor.
fn by_page(parts: SubjectParts<'_>, use_subject: UseSubject<'_>) -> Result<(), HostError> {
    const S: usize = presets::X86_64::NR_SECTIONS_LEN;
    const R: usize = presets::X86_64::NR_ROOTS_LEN;
    match parts.variant {
        Variant::OddPage => lend_model::<presets::X86_64, OddPage, S, R>(parts, use_subject),
        Variant::SmallPage => lend_model::<presets::X86_64, SmallPage, S, R>(parts, use_subject),
        _ => lend_model::<presets::X86_64, Page, S, R>(parts, use_subject),
    }
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
    let SubjectParts { machine: file, backend, .. } = parts;
    let shape = Shape::of::<G>();
    let room = Room::beside(file.memory.iter().map(|(range, _)| *range), &shape, size_of::<P>() as u64);
    let window_bytes = if backend.has_array() { room.window_bytes } else { 0 };
    let _addresses = Addresses::take(room.limit().get().saturating_add(window_bytes));
    let config = config(parts, window_bytes, room.device);
    let fixture = Fixture::<AnyModel<G, P, HostRcu<Readers>, S, R>>::new(backend, &config)?;
    let Fixture { mut model, machine } = fixture;
    let array = backend.has_array().then(|| window(&machine));
    if let Some(mut writer) = model.write() {
        writer.reserve(room.plugged().whole_frames::<G>());
    }
    // SAFETY: the machine has this memory and never gives it out; its direct map is one mapping of all its memory,
    // aligned as that is.
    let spare = room.device.map(|range| unsafe { Spare::new(range) });
    let memory = file.memory.iter();
    let memory: Vec<_> = memory.map(|(range, node)| MemoryRange::from_bytes::<G>(*range, *node)).collect();
    let mut world = HostWorld::new(machine, spare);
    use_subject(&mut Pair::new(&mut model, &mut world), capabilities(backend, array), &memory);
    Ok(())
}

/// What a backend says of itself.
fn capabilities(backend: Backend, array: Option<ArrayFacts>) -> Capabilities {
    // SAFETY: the backend says that its models read no descriptor on the way back.
    let by_address = backend.finds_by_address().then(|| WayBack::Address(unsafe { ByAddress::promise() }));
    let rule = if array.is_some() { MemmapRule::ArrayLeaves } else { MemmapRule::SectionBlocks };
    let sparse = Capabilities {
        reach: Reach::Everywhere,
        memory_back: MemoryBack::WithItsSection,
        memmaps: MemmapSource::AllocMemmap(rule),
        table: match backend.sections() {
            Sections::Table => TableKind::Flat,
            Sections::Roots => TableKind::Rooted,
            Sections::Records => TableKind::Other,
        },
        way_back: by_address.unwrap_or(WayBack::Stamp),
        array,
    };
    if backend.is_sparse() {
        return sparse;
    }
    Capabilities { way_back: sparse.way_back, ..Capabilities::LEAST }
}

/// The machine of a subject.
fn config(parts: SubjectParts<'_>, window: u64, spare: Option<PhysRange>) -> MachineConfig {
    let SubjectParts { machine, variant, .. } = parts;
    let mut config = MachineConfig::new()
        .depth(variant.depth())
        .largest_leaf(variant.largest_leaf())
        .vmemmap_bytes(window);
    config.memory.clone_from(&machine.memory);
    spare.into_iter().fold(config, MachineConfig::unmanaged)
}

/// Whether a machine takes more than half of the addresses that all machines share.
pub(crate) fn is_alone(machine: &MachineFile) -> bool {
    end_of(machine) > Addresses::LIMIT / 2
}

/// The first address past all memory.
pub(crate) fn end_of(machine: &MachineFile) -> u64 {
    machine.memory.iter().map(|(range, _)| range.end().get()).max().unwrap_or(0)
}
