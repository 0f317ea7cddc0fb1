//! Queries to the host about the running process.

use std::ffi::c_void;

use rustix::io::Errno;
use rustix::mm::Advice;

use crate::config::FRAME;
use crate::host::host_len;

/// The effect of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The load gives a value.
    Readable,
    /// The load ends the process by a signal.
    Faults,
}

/// Asks the host whether the byte at `at` can be read, without reading it.
///
/// Nothing is dereferenced, so any address may be passed. The answer is valid only at this moment, because other
/// threads may map or unmap there.
///
/// # Panics
///
/// Panics if the host cannot answer: Linux before 5.14 has no call for it.
#[must_use]
pub fn probe(at: *const u8) -> Access {
    match enter_as_a_load(at) {
        Ok(()) => Access::Readable,
        // Either the address cannot be read, or the call does not exist; a readable address distinguishes the two.
        Err(Errno::INVAL) if enter_as_a_load(at_hand()).is_err() => panic_unsupported(),
        Err(_) => Access::Faults,
    }
}

/// An address that can be read.
const fn at_hand() -> *const u8 {
    static BYTE: u8 = 0;
    &raw const BYTE
}

/// Makes the host enter the frame of `at` in its tables, as a load from there would.
fn enter_as_a_load(at: *const u8) -> rustix::io::Result<()> {
    let mask = host_len(FRAME) - 1;
    let frame = at.map_addr(|address| address & !mask).cast_mut().cast::<c_void>();
    loop {
        // SAFETY: this advice changes no mapping and no byte; addresses where a load would fault are refused.
        match unsafe { rustix::mm::madvise(frame, host_len(FRAME), Advice::LinuxPopulateRead) } {
            Err(Errno::INTR | Errno::AGAIN) => {}
            answer => return answer,
        }
    }
}

#[expect(clippy::panic, reason = "a wrong answer would make tests pass that should not")]
fn panic_unsupported() -> ! {
    panic!("the host does not support MADV_POPULATE_READ");
}

/// Bytes of the host's memory that this process has accessed and that is resident, including shared memory.
///
/// Zero if the host does not report it. The host counts in batches: expect an error of a few hundred KiB.
#[must_use]
pub fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).and_then(|field| field.parse::<u64>().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stack_is_readable_and_the_first_page_is_not() {
        let local = 5u8;
        assert_eq!(probe(&raw const local), Access::Readable);
        assert_eq!(probe(std::ptr::null()), Access::Faults);
        assert_eq!(probe(std::ptr::without_provenance(0xffff_8000_0000_0000)), Access::Faults);
    }

    #[test]
    fn a_process_has_memory() {
        assert!(resident_bytes() > 64 << 10);
    }
}
