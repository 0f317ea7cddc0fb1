//! Machines of 12 TiB and 64 TiB come up on every backend, and cost the host next to nothing.

use std::path::Path;

use sparsemem_any::Backend;
use sparsemem_conformance::lend;
use sparsemem_machine_files::MachineFile;

/// Bytes that the process may have resident, at any time.
const LIMIT_BYTES: u64 = 2 << 30;

#[test]
fn terabytes_come_up_in_less_than_two_gibibytes() {
    for name in ["synthetic-12t.dmesg", "synthetic-64t.dmesg"] {
        let machine = MachineFile::open(Path::new(name), None).unwrap();
        for backend in Backend::ALL {
            comes_up(&machine, backend);
        }
    }
}

/// The most that the process ever had resident. Units: bytes.
fn peak_resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Boots a machine, takes it down, and looks at what the process needed for it.
fn comes_up(machine: &MachineFile, backend: Backend) {
    let made = lend(machine, backend, &mut |subject, _, memory| {
        let summary = subject.boot(memory, &mut |event| panic!("{}: {event:?}", machine.name)).unwrap();
        assert!(summary.sections > 90_000 && summary.lost == 0, "{summary:?}");
        subject.tear_down().unwrap();
        let peak = peak_resident_bytes();
        assert!(peak < LIMIT_BYTES, "{} on {backend}: {peak} bytes were resident", machine.name);
    });
    made.unwrap();
}
