//! Says before anything runs whether a machine fits the host: a simulated machine takes an address of the process for each
//! of its own, and more for a virtual array.

use crate::MachineFile;

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

impl MachineFile {
    /// The first address past all memory.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.memory.iter().map(|(range, _)| range.end().get()).max().unwrap_or(0)
    }

    /// Checks that the machine fits a host with so many addresses; `needed` says how many memory takes that ends at an
    /// address.
    ///
    /// # Errors
    ///
    /// [`TooLarge`], with the size that would fit.
    pub fn fits(&self, available: u64, needed: impl Fn(u64) -> u64) -> Result<(), TooLarge> {
        let end = self.end();
        if needed(end) <= available {
            return Ok(());
        }
        let most = most(self.geometry.shape().section_bytes(), available, &needed);
        Err(TooLarge { machine: self.name.clone(), end, needed: needed(end), available, most })
    }
}

/// The highest end of memory, in whole sections, that so many addresses are enough for.
fn most(section: u64, available: u64, needed: &impl Fn(u64) -> u64) -> u64 {
    let (mut fits, mut too_many) = (0, available / section + 1);
    while fits + 1 < too_many {
        let middle = fits + (too_many - fits) / 2;
        if needed(middle * section) <= available {
            fits = middle;
        } else {
            too_many = middle;
        }
    }
    fits * section
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn machine() -> MachineFile {
        MachineFile::open(Path::new("x86-kvm-bochs-512m.dmesg"), None).unwrap()
    }

    /// A window, and an address for each of the machine's.
    fn needed(end: u64) -> u64 {
        end.saturating_add(end / 64).saturating_add(1 << 40)
    }

    #[test]
    fn the_size_that_would_fit_fits_and_a_section_more_does_not() {
        for available in [2 << 40, 16 << 40, 127 << 40] {
            let most = most(1 << 27, available, &needed);
            assert!(needed(most) <= available, "{available:#x}");
            assert!(needed(most + (1 << 27)) > available, "{available:#x}");
        }
    }

    #[test]
    fn a_machine_that_is_too_large_is_told_the_size_that_fits() {
        assert_eq!(machine().fits(2 << 40, needed), Ok(()));
        let error = machine().fits(1 << 30, needed).unwrap_err();
        assert_eq!((error.end, error.available, error.most), (machine().end(), 1 << 30, 0));
        assert!(error.to_string().contains("needs 1025 GiB of addresses"), "{error}");
        assert!(error.to_string().ends_with("(0 GiB) would fit: leave out what lies above"), "{error}");
    }
}
