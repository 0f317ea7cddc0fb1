//! Writers who break the order, in processes of their own: each has to be found out.

use std::process::{Command, Output};
use std::sync::mpsc;
use std::thread;

use sparsemem_core::{Block, GracePeriod, MetadataMemory, PhysMap, Reclaim, SectionFlags};
use sparsemem_machine::{HostRcu, Machine};

use crate::MOMENT;
use crate::bench::{Model, install, is_marked};
use crate::common::{Bench, classic, extreme, frames, virtual_array};

/// Tells a process which model, and which writer.
const WHAT: &str = "SPARSEMEM_THREADS_WRITER";
const MODELS: [&str; 3] = ["classic-sparse", "sparse-extreme", "vmemmap"];

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
fn harm<M: Model>(mut bench: Bench<M>, writer: impl FnOnce(&M, &mut Machine) + Send) {
    let Bench { model, machine } = &mut bench;
    let model = &**model;
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
        let flags = model.section(pfn.section::<M::Geometry>()).flags;
        assert_eq!(found.is_some(), flags.contains(SectionFlags::PRESENT), "a frame was lost");
    });
}

fn retire<M: Model>(model: &M, machine: &mut Machine) {
    let _ = model.write().unwrap().retire(machine, frames(0, 0, 64)).unwrap();
}

/// Does nothing unless it is told to by the environment.
#[test]
fn writer() {
    struct Tag;
    type Patient = HostRcu<Tag>;
    let Ok(what) = std::env::var(WHAT) else { return };
    match what.split_once(' ').unwrap() {
        ("classic-sparse", "patient") => harm(classic::<Patient>(), retire),
        ("sparse-extreme", "patient") => harm(extreme::<Patient>(), retire),
        ("vmemmap", "patient") => harm(virtual_array::<Patient>(), retire),
        ("classic-sparse", "impatient") => harm(classic::<Impatient>(), retire),
        ("sparse-extreme", "impatient") => harm(extreme::<Impatient>(), retire),
        ("vmemmap", "impatient") => harm(virtual_array::<Impatient>(), retire),
        ("classic-sparse", "early") => harm(classic::<Patient>(), |_, machine| free_usage(machine)),
        ("sparse-extreme", "early") => harm(extreme::<Patient>(), |_, machine| free_usage(machine)),
        ("vmemmap", "early") => harm(virtual_array::<Patient>(), |_, machine| free_usage(machine)),
        other => panic!("no such writer: {other:?}"),
    }
}

/// Runs [`writer`] in a process of its own.
fn process(model: &str, writer: &str) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "broken::writer", "--nocapture"])
        .env(WHAT, format!("{model} {writer}"))
        .output()
        .unwrap()
}

/// Whether a process ended badly, and with address sanitizer, whether that was what ended it.
fn is_caught(model: &str, writer: &str) -> bool {
    let output = process(model, writer);
    let text = String::from_utf8_lossy(&output.stderr);
    let by_sanitizer = !cfg!(sparsemem_asan) || text.contains("AddressSanitizer");
    !output.status.success() && by_sanitizer
}

#[test]
fn a_writer_who_waits_does_no_harm() {
    for model in MODELS {
        let output = process(model, "patient");
        assert!(output.status.success(), "{model}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_domain_that_does_not_wait_is_caught() {
    MODELS.iter().for_each(|model| assert!(is_caught(model, "impatient"), "{model}"));
}

#[test]
fn the_order_of_cve_2023_52489_is_caught() {
    MODELS.iter().for_each(|model| assert!(is_caught(model, "early"), "{model}"));
}
