//! Boots a machine on each backend and returns the state of the models.

use std::collections::BTreeMap;

use sparsemem_any::{AnyModel, Backend};
use sparsemem_core::{
    BootError, BootEvent, DeferredModel, Geometry, MemoryModel, MemoryRange, Page, SectionNr, SectionShape,
    presets,
};
use sparsemem_fixture::Fixture;
use sparsemem_machine::{Addresses, HostRcu, Machine, MachineConfig};
use sparsemem_machine_files::{GeometryName, MachineFile, TooLarge};

use crate::device::{self, Readers};
use crate::inspection::{InspectedBackend, InspectedRange, InspectedSection, Inspection};

/// The reason why a machine cannot be inspected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum InspectError {
    /// The machine does not fit the host.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// The simulated machine cannot be made.
    #[error("{machine}: cannot be simulated: {source}")]
    NoMachine {
        /// The machine.
        machine: String,
        /// The host's error.
        source: sparsemem_machine::MachineError,
    },
    /// A model does not boot.
    #[error("{machine}: {backend} does not boot: {source}")]
    NoBoot {
        /// The machine.
        machine: String,
        /// The backend.
        backend: Backend,
        /// The model's error.
        source: BootError,
    },
}

/// Boots a machine on each of the given backends, on all if none is given, and returns the state of the models; and what a
/// device with pages of `large_pages` bytes takes, if that is given.
///
/// # Errors
///
/// [`InspectError`], with the machine.
pub(crate) fn inspect(
    machine: &MachineFile,
    backends: &[Backend],
    large_pages: Option<u64>,
) -> Result<Inspection, InspectError> {
    let backends = if backends.is_empty() { &Backend::ALL[..] } else { backends };
    let mut inspected = BTreeMap::new();
    for backend in backends {
        inspected.insert(backend.name(), inspect_on(machine, *backend, large_pages)?);
    }
    let shape = machine.geometry.shape();
    Ok(Inspection {
        machine: machine.name.clone(),
        geometry: machine.geometry.name(),
        section_bytes: shape.section_bytes(),
        subsection_bytes: 1 << shape.subsection_bits,
        ram_bytes: machine.memory.iter().map(|(range, _)| range.count().get()).sum(),
        ranges: ranges(machine),
        contradictions: machine.contradictions.iter().map(ToString::to_string).collect(),
        agreements: machine.agreements.iter().map(ToString::to_string).collect(),
        backends: inspected,
    })
}

/// The physical layout.
fn ranges(machine: &MachineFile) -> Vec<InspectedRange> {
    let ranges = machine.layout.ranges().iter().map(|entry| InspectedRange {
        start: entry.range.start().get(),
        end: entry.range.end().get(),
        node: entry.node.map(sparsemem_core::NodeId::get),
        kind: entry.kind.name(),
    });
    ranges.collect()
}

/// Boots one backend, with the machine's geometry.
fn inspect_on(
    machine: &MachineFile,
    backend: Backend,
    large_pages: Option<u64>,
) -> Result<InspectedBackend, InspectError> {
    macro_rules! by_geometry {
        ($($preset:ident),+) => {
            match machine.geometry {
                $(GeometryName::$preset => {
                    use presets::$preset as G;
                    inspect_with::<G, { G::NR_SECTIONS_LEN }, { G::NR_ROOTS_LEN }>(
                        machine, backend, large_pages,
                    )
                })+
            }
        };
    }
    by_geometry!(X86_64, X86_64La57, Arm64Page4K, Arm64Page16K, Arm64Page64K, Riscv64, Ppc64Page64K)
}

/// Alignment and guards of the two reservations of a machine.
const BORDERS: u64 = 4 << 30;

fn inspect_with<G: Geometry, const SECTIONS: usize, const ROOTS: usize>(
    file: &MachineFile,
    backend: Backend,
    large_pages: Option<u64>,
) -> Result<InspectedBackend, InspectError> {
    let booted = boot_with::<G, SECTIONS, ROOTS>(file, backend)?;
    let measure = |page| device::measure::<G, SECTIONS, ROOTS>(backend, page);
    let device = large_pages.map(measure).transpose();
    let device = device.map_err(|source| InspectError::NoMachine { machine: file.name.clone(), source })?;
    Ok(InspectedBackend { device, ..booted })
}

/// Boots one backend.
fn boot_with<G: Geometry, const SECTIONS: usize, const ROOTS: usize>(
    file: &MachineFile,
    backend: Backend,
) -> Result<InspectedBackend, InspectError> {
    let needed = |end: u64| end.saturating_add(window_bytes::<G>(end)).saturating_add(BORDERS);
    file.fits(Addresses::available(), needed)?;
    let window = if backend.has_array() { window_bytes::<G>(file.end()) } else { 0 };
    let _addresses = Addresses::take(file.end().saturating_add(window));
    let mut config = MachineConfig::new().vmemmap_bytes(window);
    config.memory.clone_from(&file.memory);
    let made = Fixture::<AnyModel<G, Page, HostRcu<Readers>, SECTIONS, ROOTS>>::new(backend, &config);
    let name = || file.name.clone();
    let Fixture { mut model, mut machine } =
        made.map_err(|source| InspectError::NoMachine { machine: name(), source })?;
    let inspected = look(&mut model, &mut machine, file);
    inspected.map_err(|source| InspectError::NoBoot { machine: name(), backend, source })
}

/// Boots a model, observes it, and takes it down.
fn look<M: DeferredModel<Machine>>(
    model: &mut M,
    machine: &mut Machine,
    file: &MachineFile,
) -> Result<InspectedBackend, BootError> {
    let memory = file.memory.iter();
    let memory = memory.map(|(range, node)| MemoryRange::from_bytes::<M::Geometry>(*range, *node));
    let deferred_bytes = deferred_bytes(model, machine, memory.clone());
    let mut events = Vec::new();
    let Some(mut writer) = model.write() else { unreachable!("nobody else has this model") };
    writer.boot(machine, memory, &mut |event| events.push(event_text(event)))?;
    drop(writer);
    let footprint = model.footprint();
    let inspected = InspectedBackend {
        sections: model.present_sections().map(|nr| section(model, nr)).collect(),
        events,
        table_bytes: footprint.table_bytes,
        plane_bytes: footprint.plane_bytes,
        usage_bytes: footprint.usage_bytes,
        memmap_bytes: footprint.memmap_bytes,
        page_table_bytes: footprint.page_table_bytes,
        deferred_bytes,
        device: None,
    };
    tear_down(model, machine);
    Ok(inspected)
}

/// All metadata of a model that has only marked its sections, in bytes, if it can. The model is down before and afterwards.
fn deferred_bytes<M: DeferredModel<Machine>>(
    model: &mut M,
    machine: &mut Machine,
    memory: impl Iterator<Item = MemoryRange> + Clone,
) -> Option<u64> {
    model.write()?.boot_deferred(machine, memory, &mut |_| {}).ok()?;
    let bytes = model.footprint().total_bytes();
    tear_down(model, machine);
    Some(bytes)
}

fn tear_down<M: DeferredModel<Machine>>(model: &mut M, machine: &mut Machine) {
    if let Err(error) = model.tear_down(machine) {
        unreachable!("the simulated machine takes back what it gave: {error}");
    }
}

/// A present section.
fn section<M: MemoryModel>(model: &M, nr: SectionNr) -> InspectedSection {
    let state = model.section(nr);
    let words = M::Geometry::SUBSECTIONS_PER_SECTION.div_ceil(64) as usize;
    let digits = state.subsections.words().iter().take(words).rev();
    InspectedSection {
        nr: nr.get(),
        flags: state.flags.bits(),
        subsections: digits.map(|word| format!("{word:016x}")).collect(),
    }
}

/// Bytes for a virtual array with a descriptor for each frame of every section that memory touches.
fn window_bytes<G: Geometry>(end: u64) -> u64 {
    let sections = (end >> G::SECTION_SIZE_BITS) + 1;
    sections.min(G::NR_SECTIONS) * G::PAGES_PER_SECTION * size_of::<Page>() as u64
}

/// An event in words.
fn event_text(event: BootEvent) -> String {
    match event {
        BootEvent::BeyondMaximum { frames, last } => {
            format!("frames {frames} are beyond the last possible frame {last}")
        }
        BootEvent::SharedSection { section, first, also } => {
            format!("section {section} has memory of nodes {first} and {also}; it belongs to node {first}")
        }
        BootEvent::SectionLost { section, why } => format!("section {section} is lost: {why}"),
        BootEvent::BlocksLost { section, lost } => format!("section {section} did not come up{lost}"),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::inspect;
    use sparsemem_any::Backend;
    use sparsemem_machine_files::MachineFile;
    use std::path::Path;

    #[test]
    fn an_inspection_is_printed_as_documented() {
        let machine = MachineFile::open(Path::new("x86-kvm-bochs-512m.dmesg"), None).unwrap();
        let flat =
            Backend::ALL.into_iter().find(|backend| !backend.has_roots() && !backend.has_array()).unwrap();
        let printed = serde_json::to_value(inspect(&machine, &[flat], None).unwrap()).unwrap();
        assert_eq!(
            printed["ranges"][0],
            serde_json::json!({
                "start": 0, "end": 0x9_fc00, "node": 0, "kind": "ram",
            })
        );
        let backend = &printed["backends"][flat.name()];
        assert_eq!(backend["sections"].as_array().unwrap().len(), 4);
        assert_eq!(
            backend["sections"][0],
            serde_json::json!({
                "nr": 0, "flags": 0xf, "subsections": "ffffffffffffffff",
            })
        );
        let bytes = |name: &str| backend[name].as_u64().unwrap();
        // 16 bytes for each of 2^19 sections, and the summary bits of walks.
        assert_eq!(bytes("table_bytes"), (8 << 20) + (512 + 8) * 8);
        assert_eq!(bytes("memmap_bytes"), 4 * (2 << 20));
        assert_eq!(bytes("page_table_bytes"), 0);
        assert!(bytes("usage_bytes") > 0);
        assert_eq!(bytes("deferred_bytes"), bytes("table_bytes") + bytes("usage_bytes"));
        assert_eq!(printed["backends"].as_object().unwrap().len(), 1);
    }
}
