//! Machines of 12 TiB and 64 TiB come up on every backend, and cost the host next to nothing.

use std::path::Path;

use sparsemem_conformance::{Backend, MachineFile, lend};
use sparsemem_machine::resident_bytes;

/// What the process may have resident, at any time.
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

/// Boots a machine and looks at what the process has while the model is up.
fn comes_up(machine: &MachineFile, backend: Backend) {
    let made = lend(machine, backend, &mut |subject, _, memory| {
        let summary = subject.boot(memory, &mut |event| panic!("{}: {event:?}", machine.name)).unwrap();
        assert!(summary.sections > 90_000 && summary.lost == 0, "{summary:?}");
        let resident = resident_bytes();
        assert!(resident < LIMIT_BYTES, "{} on {backend}: {resident} bytes resident", machine.name);
        subject.tear_down().unwrap();
    });
    made.unwrap();
}
