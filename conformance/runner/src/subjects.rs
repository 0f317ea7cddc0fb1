//! Makes subjects: every backend with every geometry and variant, on a machine made for it.
//!
//! # Invariants
//!
//! 1. A subject has its own machine and its own model, both fresh.

#![allow(unsafe_code, reason = "an unsafe constructor promises the memory that can be plugged")]

use sparsemem_any::{AnyModel, Backend};
use sparsemem_core::{
    Geometry, MemoryRange, Page, PageDescriptor, PhysAddr, PhysRange, SectionShape, SectionStamp, VirtAddr,
    presets,
};
use sparsemem_fixture::Fixture;
use sparsemem_machine::{Addresses, HostRcu, MachineConfig, MachineError as HostError};
use sparsemem_suite::{
    ArrayFacts, Build, OddPage, Pair, Scratch, Shape, SmallPage, Spare, Subject, TableKind,
};

use crate::host_world::HostWorld;
use crate::variant::Variant;
use sparsemem_machine_files::{GeometryName, MachineFile};

/// The domain of the readers of all subjects.
pub(crate) enum Readers {}

/// A function over a subject, its build, and the machine's memory.
pub type UseSubject<'p> = &'p mut dyn FnMut(&mut dyn Subject, Build, &[MemoryRange]);

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
    let window = if backend.has_array() { window_bytes(&shape, size_of::<P>() as u64, file) } else { 0 };
    let spare = spare_range(&shape, file);
    let end = spare.map_or(end_of(file), |range| range.end().get());
    let _addresses = Addresses::take(end.saturating_add(window));
    let config = config(parts, window, spare);
    let fixture = Fixture::<AnyModel<G, P, HostRcu<Readers>, S, R>>::new(backend, &config)?;
    let Fixture { mut model, machine } = fixture;
    let array = backend.has_array().then(|| ArrayFacts {
        start: VirtAddr::new(machine.window_ptr().addr().get() as u64),
        len_bytes: machine.window().count().get(),
    });
    let table = if backend.has_roots() { TableKind::Rooted } else { TableKind::Flat };
    // SAFETY: the machine has this memory and never gives it out; its direct map is one mapping of all its memory,
    // aligned as that is.
    let spare = spare.map(|range| unsafe { Spare::new(range) });
    let memory = file.memory.iter();
    let memory: Vec<_> = memory.map(|(range, node)| MemoryRange::from_bytes::<G>(*range, *node)).collect();
    let mut world = HostWorld::new(machine, spare);
    use_subject(&mut Pair::new(&mut model, &mut world), Build { table, array }, &memory);
    Ok(())
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
fn end_of(machine: &MachineFile) -> u64 {
    machine.memory.iter().map(|(range, _)| range.end().get()).max().unwrap_or(0)
}

/// The number of sections between the end of memory and the device that can be plugged: room to plug RAM into.
const GAP_SECTIONS: u64 = 8;
/// The number of sections of the device.
const DEVICE_SECTIONS: u64 = 4;

/// The range of the device that can be plugged: some sections past the end of memory, if the geometry has addresses
/// there.
fn spare_range(shape: &Shape, machine: &MachineFile) -> Option<PhysRange> {
    let section = shape.section_bytes();
    let start = end_of(machine).checked_next_multiple_of(section)?.checked_add(GAP_SECTIONS * section)?;
    let end = start.checked_add(DEVICE_SECTIONS * section).filter(|end| end >> shape.physical_bits == 0)?;
    PhysRange::new(PhysAddr::new(start), PhysAddr::new(end)).ok()
}

/// The least size of a window in bytes, so that walks over long distances are possible.
const LEAST_WINDOW: u64 = 1 << 40;
/// The number of sections past the end of memory that have a place in the window.
const SPARE_SECTIONS: u64 = 64;

/// Bytes for a virtual array: enough for the geometry's maximum, or fewer if a process does not have that many
/// addresses.
fn window_bytes(shape: &Shape, descriptor_bytes: u64, machine: &MachineFile) -> u64 {
    let whole = shape.frames().saturating_mul(descriptor_bytes);
    let spare = SPARE_SECTIONS * shape.section_frames();
    let frames = (end_of(machine) >> shape.page_bits).next_multiple_of(shape.section_frames()) + spare;
    whole.min((frames * descriptor_bytes).max(LEAST_WINDOW))
}
