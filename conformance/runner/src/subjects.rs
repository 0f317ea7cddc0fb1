//! Subjects: every backend with every geometry and variant, on a machine made for it.
//!
//! # Invariants
//!
//! 1. A subject has a machine and a model of its own, both fresh.

#![allow(unsafe_code, reason = "memory that can be plugged is promised to be there")]

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

/// What is done with a subject, its build, and the machine's memory.
pub type Play<'p> = &'p mut dyn FnMut(&mut dyn Subject, Build, &[MemoryRange]);

/// Where a subject comes from.
#[derive(Clone, Copy)]
struct Setting<'m> {
    machine: &'m MachineFile,
    backend: Backend,
    variant: Variant,
}

/// Boots nothing, but makes a fresh model of a backend on a machine, and lends it to `play`: for tools and tests that
/// look for themselves.
///
/// # Errors
///
/// The host's refusal to make the machine.
pub fn lend(machine: &MachineFile, backend: Backend, play: Play<'_>) -> Result<(), HostError> {
    with_subject(machine, backend, Variant::Usual, play)
}

/// Makes a fresh subject and lends it.
///
/// # Errors
///
/// The host's refusal to make the machine.
pub(crate) fn with_subject(
    machine: &MachineFile,
    backend: Backend,
    variant: Variant,
    play: Play<'_>,
) -> Result<(), HostError> {
    let setting = Setting { machine, backend, variant };
    macro_rules! by_geometry {
        ($($variant:ident => $preset:ident),+) => {
            match machine.geometry {
                GeometryName::X86_64 => by_page(setting, play),
                $(GeometryName::$variant => {
                    use presets::$preset as G;
                    lend_model::<G, Page, { G::NR_SECTIONS_LEN }, { G::NR_ROOTS_LEN }>(setting, play)
                })+
            }
        };
    }
    by_geometry!(
        X86_64La57 => X86_64La57, Arm64Page4K => Arm64Page4K, Arm64Page16K => Arm64Page16K,
        Riscv64 => Riscv64, Ppc64Page64K => Ppc64Page64K
    )
}

/// Whether there is a subject of a variant. Other descriptors are there for x86_64 alone: each is a whole set of models
/// to compile.
pub(crate) fn exists(geometry: GeometryName, variant: Variant) -> bool {
    variant.is_about_mappings() || variant == Variant::Usual || geometry == GeometryName::X86_64
}

/// Chooses the descriptor.
fn by_page(setting: Setting<'_>, play: Play<'_>) -> Result<(), HostError> {
    const S: usize = presets::X86_64::NR_SECTIONS_LEN;
    const R: usize = presets::X86_64::NR_ROOTS_LEN;
    match setting.variant {
        Variant::OddPage => lend_model::<presets::X86_64, OddPage, S, R>(setting, play),
        Variant::SmallPage => lend_model::<presets::X86_64, SmallPage, S, R>(setting, play),
        _ => lend_model::<presets::X86_64, Page, S, R>(setting, play),
    }
}

/// Makes a fresh model on a fresh machine, and lends it.
fn lend_model<G, P, const S: usize, const R: usize>(
    setting: Setting<'_>,
    play: Play<'_>,
) -> Result<(), HostError>
where
    G: Geometry,
    P: PageDescriptor + SectionStamp + Scratch,
{
    let Setting { machine: file, backend, .. } = setting;
    let shape = Shape::of::<G>();
    let window = if backend.has_array() { window_bytes(&shape, size_of::<P>() as u64, file) } else { 0 };
    let spare = spare_range(&shape, file);
    let end = spare.map_or(end_of(file), |range| range.end().get());
    let _addresses = Addresses::take(end.saturating_add(window));
    let config = config(setting, window, spare);
    let fixture = Fixture::<AnyModel<G, P, HostRcu<Readers>, S, R>>::new(backend, &config)?;
    let Fixture { mut model, machine } = fixture;
    let array = backend.has_array().then(|| ArrayFacts {
        start: VirtAddr::new(machine.window_ptr().addr().get() as u64),
        len_bytes: machine.window().count().get(),
    });
    let table = if backend.has_roots() { TableKind::Rooted } else { TableKind::Flat };
    // SAFETY: the machine has this memory and never gives it out; its direct map is one mapping of all its memory, aligned
    // as that is.
    let spare = spare.map(|range| unsafe { Spare::new(range) });
    let memory = file.memory.iter();
    let memory: Vec<_> = memory.map(|(range, node)| MemoryRange::from_bytes::<G>(*range, *node)).collect();
    let mut world = HostWorld::new(machine, spare);
    play(&mut Pair::new(&mut model, &mut world), Build { table, array }, &memory);
    Ok(())
}

/// The machine of a subject.
fn config(setting: Setting<'_>, window: u64, spare: Option<PhysRange>) -> MachineConfig {
    let Setting { machine, variant, .. } = setting;
    let mut config = MachineConfig::new()
        .depth(variant.depth())
        .largest_leaf(variant.largest_leaf())
        .vmemmap_bytes(window);
    config.memory.clone_from(&machine.memory);
    spare.into_iter().fold(config, MachineConfig::unmanaged)
}

/// Whether a machine takes more than half of the addresses that there are for all machines.
pub(crate) fn is_alone(machine: &MachineFile) -> bool {
    end_of(machine) > Addresses::LIMIT / 2
}

/// The first address behind all memory.
fn end_of(machine: &MachineFile) -> u64 {
    machine.memory.iter().map(|(range, _)| range.end().get()).max().unwrap_or(0)
}

/// Sections between the end of memory and the device that can be plugged: room to plug RAM into.
const GAP_SECTIONS: u64 = 8;
/// Sections of the device.
const DEVICE_SECTIONS: u64 = 4;

/// Where a device can be plugged: some sections behind the end of memory, if the geometry has addresses there.
fn spare_range(shape: &Shape, machine: &MachineFile) -> Option<PhysRange> {
    let section = shape.section_bytes();
    let start = end_of(machine).checked_next_multiple_of(section)?.checked_add(GAP_SECTIONS * section)?;
    let end = start.checked_add(DEVICE_SECTIONS * section).filter(|end| end >> shape.physical_bits == 0)?;
    PhysRange::new(PhysAddr::new(start), PhysAddr::new(end)).ok()
}

/// The least size of a window that can be had, so that walks over long distances are possible.
const LEAST_WINDOW: u64 = 1 << 40;
/// Sections behind the end of memory that have a place in the window.
const SPARE_SECTIONS: u64 = 64;

/// Bytes for a virtual array: of the geometry's maximum, or less where a process has not as many addresses.
fn window_bytes(shape: &Shape, descriptor_bytes: u64, machine: &MachineFile) -> u64 {
    let whole = shape.frames().saturating_mul(descriptor_bytes);
    let spare = SPARE_SECTIONS * shape.section_frames();
    let frames = (end_of(machine) >> shape.page_bits).next_multiple_of(shape.section_frames()) + spare;
    whole.min((frames * descriptor_bytes).max(LEAST_WINDOW))
}
