//! Reservations of the device tree, as the kernel reports them.
//!
//! # Invariants
//!
//! 1. A reusable area is lent to the page allocator, so it stays RAM. Every other area is reserved.

use sparsemem_core::PhysRange;

use crate::Reason;
use crate::addresses::{self, decimal, hex};
use crate::line::Line;
use crate::statement::{Answer, Source, Statement};

/// The reservations.
pub(super) const SOURCE: Source = Source { notations: &[], readers: &[reservation] };

/// Reads `OF: reserved mem: 0xA..0xB (64 KiB) nomap non-reusable name`, `Reserved memory: created DMA memory pool at
/// 0xA, size 8 MiB` and `OF: fdt: Ignoring memory range 0xA - 0xB`.
fn reservation(line: &Line<'_>) -> Answer {
    let message = line.message.strip_prefix("OF: ").unwrap_or(line.message);
    let range = if let Some(text) = message.strip_prefix("reserved mem: 0x") {
        if !text.contains(" non-reusable ") {
            return Some(Ok(Statement::Nothing));
        }
        dotted(text)
    } else if let Some(text) = message.strip_prefix("Reserved memory: created DMA memory pool at ") {
        pool(text)
    } else {
        let text = message.strip_prefix("fdt: Ignoring memory ")?;
        ignored(text.strip_prefix("range ").or_else(|| text.strip_prefix("block "))?)
    };
    Some(range.map(Statement::Reserved))
}

/// `A..0xB (64 KiB) ..`
fn dotted(text: &str) -> Result<PhysRange, Reason> {
    let (start, end) = addresses::pair(text.split_whitespace().next().unwrap_or_default(), "..")?;
    addresses::inclusive(start, end)
}

/// `0xA, size 8 MiB`
fn pool(text: &str) -> Result<PhysRange, Reason> {
    let (start, size) = text.split_once(", size ").ok_or(Reason::NoRange)?;
    let mebibytes = decimal(size.trim().strip_suffix("MiB").ok_or(Reason::NoNumber)?)?;
    let start = hex(start)?;
    let bytes = mebibytes.checked_mul(1 << 20).ok_or(Reason::Overflow { start, count: mebibytes })?;
    addresses::units(start, bytes, 1)
}

/// `0xA - 0xB`
fn ignored(text: &str) -> Result<PhysRange, Reason> {
    let (start, end) = addresses::pair(text, "-")?;
    addresses::up_to(start, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<PhysRange> {
        match reservation(&Line::new(text)).expect("a memory line").expect("well-formed") {
            Statement::Reserved(range) => Some(range),
            _ => None,
        }
    }

    #[test]
    fn reusable_areas_stay_ram() {
        let kept =
            "OF: reserved mem: 0x0000000043000000..0x000000004304ffff (320 KiB) nomap non-reusable secmon";
        assert_eq!(read(kept), Some(addresses::between(0x4300_0000, 0x4305_0000)));
        let lent =
            "OF: reserved mem: 0x0000000034000000..0x0000000037ffffff (65536 KiB) map reusable linux,cma";
        assert_eq!(read(lent), None);
    }

    #[test]
    fn other_reservations() {
        let ignored = "OF: fdt: Ignoring memory range 0x40000000 - 0x40200000";
        assert_eq!(read(ignored), Some(addresses::between(0x4000_0000, 0x4020_0000)));
        let pool = "Reserved memory: created DMA memory pool at 0x000000002ff40000, size 2 MiB";
        assert_eq!(read(pool), Some(addresses::between(0x2ff4_0000, 0x3014_0000)));
        assert!(
            reservation(&Line::new("OF: reserved mem: failed to allocate memory for node 'rmtfs'")).is_none()
        );
    }
}
