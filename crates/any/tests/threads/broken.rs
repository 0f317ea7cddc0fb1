//! Writers who break the order, in processes of their own: each has to be found out.

use std::process::{Command, Output};
use std::sync::mpsc;
use std::thread;

use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    Block, GracePeriod, MemoryModel, MetadataMemory, PhysMap, Reclaim, SectionFlags, SectionShape,
};
use sparsemem_fixture::{Backend, Fixture, Pc, PcModel, frames};
use sparsemem_machine::{HostRcu, Machine};

use crate::MOMENT;
use crate::frames::{install, is_marked};

/// Tells a process which backend, and which writer.
const WHAT: &str = "SPARSEMEM_THREADS_WRITER";

/// A domain that breaks its promise: it does not wait.
struct Impatient;

// SAFETY: none; this is the broken variant.
unsafe impl Reclaim for Impatient {
    type Guard = ();

    fn enter() {}
}

// SAFETY: none; this is the broken variant.
unsafe impl GracePeriod for Impatient {
    fn synchronize() {}
}

/// The order of CVE-2023-52489: the usage goes back while its section can still be found.
fn free_usage(machine: &mut Machine) {
    // No other block is so small.
    let (range, origin) = machine.outstanding().find(|(range, _)| range.count().get() < 4096).unwrap();
    let bytes = usize::try_from(range.count().get()).unwrap();
    let layout = std::alloc::Layout::from_size_align(bytes, align_of::<u64>()).unwrap();
    let start = machine.phys_to_virt(range.start());
    // SAFETY: none; the model still has the block.
    let block = unsafe { Block::from_parts(start, range.start(), layout, origin) };
    machine.free(block).map_err(|refused| refused.error).unwrap();
}

/// A reader finds a page, looks again after the writer had time to do harm, and looks the frame up once more.
fn harm<R: GracePeriod>(backend: Backend, writer: impl FnOnce(&PcModel<R>, &mut Machine) + Send) {
    let Fixture { model, machine } = &mut Pc::<R>::usual(backend);
    let model = &*model;
    let pfn = frames(0, 0, 64).start();
    install(model, machine, frames(0, 0, 64));
    let (done, waits) = mpsc::channel();
    thread::scope(|scope| {
        let reader = model.read();
        let page = reader.page(pfn).unwrap();
        scope.spawn(move || {
            writer(model, machine);
            // What went back may be in use again.
            machine.trim();
            let _ = done.send(());
        });
        let _ = waits.recv_timeout(4 * MOMENT);
        let found = reader.page(pfn);
        assert!(is_marked(page, pfn), "the page is somebody else's");
        let state = model.section(pfn.section::<X86_64>());
        let is_present = state.flags.contains(SectionFlags::PRESENT);
        assert_eq!(found.is_some(), is_present, "a frame was lost");
        // Of a section that is there as a whole, only this reads the usage.
        let subsections = if is_present { X86_64::SUBSECTIONS_PER_SECTION } else { 0 };
        assert_eq!(state.subsections.count(), subsections, "the usage is somebody else's");
    });
}

fn retire<R: GracePeriod>(model: &PcModel<R>, machine: &mut Machine) {
    let _ = model.write().unwrap().retire(machine, frames(0, 0, 64)).unwrap();
}

/// Does nothing unless it is told to by the environment.
#[test]
fn writer() {
    struct Tag;
    type Patient = HostRcu<Tag>;
    let Ok(what) = std::env::var(WHAT) else { return };
    let (backend, writer) = what.split_once(' ').unwrap();
    let backend = backend.parse().unwrap();
    match writer {
        "patient" => harm::<Patient>(backend, retire),
        "impatient" => harm::<Impatient>(backend, retire),
        "early" => harm::<Patient>(backend, |_, machine| free_usage(machine)),
        other => panic!("no such writer: {other:?}"),
    }
}

/// Runs [`writer`] in a process of its own.
fn process(backend: Backend, writer: &str) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "broken::writer", "--nocapture"])
        .env(WHAT, format!("{backend} {writer}"))
        .output()
        .unwrap()
}

/// True if a process ended badly; with address sanitizer, only if the sanitizer ended it.
fn is_caught(backend: Backend, writer: &str) -> bool {
    let output = process(backend, writer);
    let text = String::from_utf8_lossy(&output.stderr);
    let by_sanitizer = !cfg!(sparsemem_asan) || text.contains("AddressSanitizer");
    !output.status.success() && by_sanitizer
}

#[test]
fn a_writer_who_waits_does_no_harm() {
    for backend in Backend::ALL {
        let output = process(backend, "patient");
        assert!(output.status.success(), "{backend}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_domain_that_does_not_wait_is_caught() {
    Backend::ALL.iter().for_each(|backend| assert!(is_caught(*backend, "impatient"), "{backend}"));
}

#[test]
fn the_order_of_cve_2023_52489_is_caught() {
    // The others have no usage that could go back alone.
    let sparse = Backend::ALL.iter().filter(|backend| backend.is_sparse());
    sparse.for_each(|backend| assert!(is_caught(*backend, "early"), "{backend}"));
}
