//! Says before anything runs whether a machine fits the host: a simulated machine takes an address of the process for each
//! of its own, and more for a virtual array.

use sparsemem_core::{Page, PhysAddr};
use sparsemem_harness::Room;
use sparsemem_machine::Addresses;
use sparsemem_machine_files::MachineFile;
use sparsemem_suite::Shape;

use crate::subjects::end_of;

/// A machine that does not fit the host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{machine}: this machine needs {} GiB of addresses on the host, because its memory ends at {end:#x}, and a process has \
     {} GiB here; memory that ends at {most:#x} ({} GiB) would fit: leave out what lies above",
    gibibytes(*.needed), .available >> 30, .most >> 30
)]
pub struct TooLarge {
    /// The machine.
    pub machine: String,
    /// The first address past its memory.
    pub end: u64,
    /// Bytes of addresses that it needs.
    pub needed: u64,
    /// Bytes of addresses that the host has for a machine.
    pub available: u64,
    /// The highest end of memory that would fit.
    pub most: u64,
}

/// Bytes as whole GiB, no fewer.
const fn gibibytes(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 30)
}

/// Checks that a machine fits this host.
///
/// # Errors
///
/// [`TooLarge`], with the size that would fit.
pub(crate) fn check(machine: &MachineFile) -> Result<(), TooLarge> {
    check_against(machine, Addresses::available())
}

/// Checks that a machine fits a host with so many addresses.
fn check_against(machine: &MachineFile, available: u64) -> Result<(), TooLarge> {
    let (shape, end) = (machine.geometry.shape(), end_of(machine));
    let needed = needed(&shape, end);
    if needed <= available {
        return Ok(());
    }
    let most = most(&shape, available);
    Err(TooLarge { machine: machine.name.clone(), end, needed, available, most })
}

/// Alignment and guards of the two reservations.
const BORDERS: u64 = 4 << 30;

/// Bytes of addresses for memory that ends there.
fn needed(shape: &Shape, end: u64) -> u64 {
    Room::past(PhysAddr::new(end), shape, size_of::<Page>() as u64).addresses().saturating_add(BORDERS)
}

/// The highest end of memory, in whole sections, that so many addresses are enough for.
fn most(shape: &Shape, available: u64) -> u64 {
    let (mut fits, mut too_many) = (0, available / shape.section_bytes() + 1);
    while fits + 1 < too_many {
        let middle = fits + (too_many - fits) / 2;
        if needed(shape, middle * shape.section_bytes()) <= available {
            fits = middle;
        } else {
            too_many = middle
        }
    }
    fits * shape.section_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn machine() -> MachineFile {
        MachineFile::open(Path::new("x86-kvm-bochs-512m.dmesg"), None).unwrap()
    }

    #[test]
    fn the_size_that_would_fit_fits_and_a_section_more_does_not() {
        let shape = machine().geometry.shape();
        for available in [2 << 40, 16 << 40, 127 << 40] {
            let most = most(&shape, available);
            assert!(needed(&shape, most) <= available, "{available:#x}");
            assert!(needed(&shape, most + shape.section_bytes()) > available, "{available:#x}");
        }
    }

    #[test]
    fn a_machine_that_is_too_large_is_told_the_size_that_fits() {
        assert_eq!(check(&machine()), Ok(()));
        let error = check_against(&machine(), 1 << 30).unwrap_err();
        assert_eq!((error.end, error.available, error.most), (end_of(&machine()), 1 << 30, 0));
        assert!(error.to_string().contains("needs 1030 GiB of addresses"), "{error}");
        let error = check_against(&machine(), 1 << 40).unwrap_err();
        assert!(error.to_string().ends_with("(0 GiB) would fit: leave out what lies above"), "{error}");
    }
}
