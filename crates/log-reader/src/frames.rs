//! Ranges that a log counts in frames: `0: 256 -> 884656`, `DMA 0x00000010 -> 0x00001000`.
//!
//! # Invariants
//!
//! 1. Kernels up to 2.6.30 print decimal numbers, later ones hexadecimal numbers with `0x`. All ranges of one boot are
//!    in one notation: one number that can only be hexadecimal makes all of them hexadecimal.
//! 2. A frame has the bytes that other lines of the same boot give evidence of (see [`FrameSize`]), otherwise 4 KiB.
//! 3. Page totals are evidence only if they fit one size of a frame and no other.

use sparsemem_core::{NodeId, PhysRange};

use crate::Reason;
use crate::addresses::{self, decimal, hex};
use crate::error::shortened;

/// Bytes of the smallest frame of any processor, and of the frames of a log that gives no evidence.
pub(crate) const FRAME_BYTES: u64 = 0x1000;

/// Bytes of a frame on Alpha.
pub(crate) const ALPHA_FRAME_BYTES: u64 = 0x2000;

/// Sizes that frames have on processors that Linux runs on.
const FRAME_SIZES: [u64; 4] = [0x1000, 0x2000, 0x4000, 0x1_0000];

/// Places of a decimal number of frames.
const PLACES: usize = 8;

/// The notation of the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Radix {
    /// Decimal numbers, as old kernels print them.
    Decimal,
    /// Numbers with `0x`, or with digits that no decimal number has.
    Hexadecimal,
}

/// A range as printed: its first frame, and the one after its last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FrameRange {
    first: String,
    end: String,
}

impl FrameRange {
    /// Reads `A -> B`.
    pub(crate) fn read(text: &str) -> Result<Self, Reason> {
        let (first, end) = text.split_once("->").ok_or(Reason::NoRange)?;
        let (padded_first, padded_end) = (first.trim_end(), end.strip_prefix(' ').unwrap_or(end));
        let (first, end) = (first.trim(), end.trim());
        hex(first)?;
        hex(end)?;
        // Kernels print both numbers with equally many digits, or pad both to 8 places.
        let is_torn = first.starts_with("0x") && end.len() < first.len()
            || padded_first.len() > PLACES && padded_end.len() < PLACES;
        if is_torn {
            return Err(Reason::Lengths { digits: shortened(end) });
        }
        Ok(Self { first: first.to_owned(), end: end.to_owned() })
    }

    /// True if one of the numbers can only be hexadecimal: it says so, has a letter, or is padded with zeros.
    fn is_hexadecimal(&self) -> bool {
        [&self.first, &self.end]
            .into_iter()
            .any(|number| decimal(number).is_err() || number.len() >= 8 && number.starts_with('0'))
    }

    /// The addresses.
    pub(crate) fn range(&self, radix: Radix, frame_bytes: u64) -> Result<PhysRange, Reason> {
        let read = match radix {
            Radix::Decimal => decimal,
            Radix::Hexadecimal => hex,
        };
        let (start, end) = (read(&self.first)?, read(&self.end)?);
        let count = end.checked_sub(start).ok_or(Reason::Reversed { start, end })?;
        addresses::units(start, count, frame_bytes)
    }
}

/// The notation of all ranges of a boot.
pub(crate) fn radix_of<'r>(mut ranges: impl Iterator<Item = &'r FrameRange>) -> Radix {
    if ranges.any(FrameRange::is_hexadecimal) { Radix::Hexadecimal } else { Radix::Decimal }
}

/// The whole frames of a range.
pub(crate) fn whole(range: PhysRange, frame_bytes: u64) -> PhysRange {
    let (start, end) = (range.start().get().div_ceil(frame_bytes), range.end().get() / frame_bytes);
    addresses::between(start.saturating_mul(frame_bytes), end.saturating_mul(frame_bytes))
}

/// Reads the bytes of a frame out of lines that count something in frames and in bytes.
pub(crate) struct FrameSize;

impl FrameSize {
    /// `Dentry cache hash table entries: 65536 (order: 7, 524288 bytes, ..)`: 2^order frames; `PERCPU: Embedded 33
    /// pages/cpu s97368 r8192 d29608 u524288`: the frames that the three parts fill; `Page orders: linear mapping = 24,
    /// virtual = 16`; `HugeTLB: registered 512 MiB page size`: what a table of larger frames maps.
    pub(crate) fn said(message: &str) -> Option<u64> {
        Self::of_table(message)
            .or_else(|| Self::of_processor(message))
            .or_else(|| Self::of_orders(message))
            .or_else(|| Self::of_huge_pages(message))
            .filter(|size| FRAME_SIZES.contains(size))
    }

    /// The size that the line of a hash table tells, in bytes.
    fn of_table(message: &str) -> Option<u64> {
        let (name, text) = message.split_once("hash table entries:")?;
        if name.starts_with("PID") {
            // Its order is that of its entries in old kernels.
            return None;
        }
        let (_, text) = text.split_once("(order:")?;
        let (order, text) = text.split_once(',')?;
        let order = u32::try_from(decimal(order).ok()?).ok()?;
        let bytes = decimal(text.split_once("bytes")?.0).ok()?;
        bytes.checked_shr(order)
    }

    /// The size that the orders of PowerPC tell, in bytes.
    fn of_orders(message: &str) -> Option<u64> {
        let order = message.strip_prefix("Page orders: ")?.split_once("virtual = ")?.1;
        1u64.checked_shl(u32::try_from(decimal(order.split(',').next()?).ok()?).ok()?)
    }

    /// The size that the huge pages of arm64 tell, in bytes: only tables of 64 KiB frames map 512 MiB by one entry, and
    /// only those of 4 KiB frames map 64 KiB by several.
    fn of_huge_pages(message: &str) -> Option<u64> {
        let text = message.strip_prefix("HugeTLB")?.split_once("registered ")?.1;
        match text.split_once(" page size")?.0.replace(".0", "").replace("0 ", " ").as_str() {
            "512 MiB" => Some(0x1_0000),
            "64 KiB" => Some(0x1000),
            _ => None,
        }
    }

    /// The one size, if there is one, in which the RAM of every node has the pages that the log counts.
    pub(crate) fn of_totals(totals: &[(NodeId, u64)], ram: &[(PhysRange, NodeId)]) -> Option<u64> {
        let pages = |node: NodeId, bytes: u64| -> u64 {
            let own = ram.iter().filter(|(_, owner)| *owner == node);
            own.map(|(range, _)| whole(*range, bytes).count().get() / bytes).sum()
        };
        let fits = |bytes: &u64| totals.iter().all(|&(node, said)| pages(node, *bytes) == said);
        let mut sizes = FRAME_SIZES.into_iter().filter(fits);
        let size = sizes.next().filter(|_| !totals.is_empty())?;
        sizes.next().is_none().then_some(size)
    }

    /// The size that the variables of one processor tell, in bytes.
    fn of_processor(message: &str) -> Option<u64> {
        let text = message.split_once("Embedded ")?.1;
        let (pages, parts) = text.split_once(" pages/cpu ")?;
        let part =
            |sign: char| parts.split_whitespace().find_map(|word| decimal(word.strip_prefix(sign)?).ok());
        let bytes = part('s')?.checked_add(part('r')?)?.checked_add(part('d')?)?;
        let pages = decimal(pages).ok().filter(|pages| *pages > 0)?;
        bytes.is_multiple_of(pages).then(|| bytes / pages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[&str]) -> Vec<(u64, u64)> {
        let ranges: Vec<_> = texts.iter().map(|text| FrameRange::read(text).unwrap()).collect();
        let radix = radix_of(ranges.iter());
        let ranges = ranges.iter().map(|range| range.range(radix, FRAME_BYTES).unwrap());
        ranges.map(|range| (range.start().get() >> 12, range.end().get() >> 12)).collect()
    }

    #[test]
    fn one_hexadecimal_number_makes_all_of_them_hexadecimal() {
        assert_eq!(read(&["        0 ->      159", " 256 -> 884656 "]), [(0, 159), (256, 884_656)]);
        assert_eq!(read(&["0x00000010 -> 0x0000009f"]), [(0x10, 0x9f)]);
        assert_eq!(read(&["10 -> 20", "100 -> 1ff"]), [(0x10, 0x20), (0x100, 0x1ff)]);
        assert_eq!(read(&["00000010 -> 00000020"]), [(0x10, 0x20)]);
    }

    #[test]
    fn broken_ranges_say_why() {
        assert_eq!(FrameRange::read("10 20"), Err(Reason::NoRange));
        assert!(FrameRange::read("x -> 20").is_err());
        for torn in ["0x00000010 -> 0x000000", "      256 ->   8846"] {
            assert!(matches!(FrameRange::read(torn), Err(Reason::Lengths { .. })), "{torn}");
        }
        let reversed = FrameRange::read("20 -> 10").unwrap().range(Radix::Decimal, FRAME_BYTES);
        assert_eq!(reversed, Err(Reason::Reversed { start: 20, end: 10 }));
    }

    #[test]
    fn sizes_of_frames_come_from_what_is_counted_twice() {
        let said = FrameSize::said;
        assert_eq!(said("Dentry cache hash table entries: 65536 (order: 7, 524288 bytes)"), Some(0x1000));
        assert_eq!(
            said("TCP established hash table entries: 524288 (order: 6, 4194304 bytes, linear)"),
            Some(0x1_0000)
        );
        assert_eq!(said("PID hash table entries: 2048 (order: 11, 8192 bytes)"), None);
        assert_eq!(said("percpu: Embedded 33 pages/cpu s97368 r8192 d29608 u524288"), Some(0x1000));
        assert_eq!(said("PERCPU: Embedded 2 pages/cpu s58880 r0 d72192 u131072"), Some(0x1_0000));
        assert_eq!(said("Embedded 0 pages/cpu s1 r0 d1"), None);
        let orders = "Page orders: linear mapping = 24, virtual = 16, io = 16, vmemmap = 24";
        assert_eq!(said(orders), Some(0x1_0000));
        assert_eq!(said("HugeTLB registered 512 MiB page size, pre-allocated 0 pages"), Some(0x1_0000));
        assert_eq!(said("HugeTLB: registered 64.0 KiB page size, pre-allocated 0 pages"), Some(0x1000));
        assert_eq!(said("HugeTLB: registered 2.00 MiB page size, pre-allocated 0 pages"), None);
    }

    #[test]
    fn totals_are_evidence_if_they_fit_one_size() {
        let node = NodeId::new(0);
        let ram = [(addresses::between(0x8000_0000, 0x8_0000_8000), node)];
        let pages = |bytes: u64| whole(ram[0].0, bytes).count().get() / bytes;
        assert_eq!(FrameSize::of_totals(&[(node, pages(0x1_0000))], &ram), Some(0x1_0000));
        assert_eq!(FrameSize::of_totals(&[(node, pages(0x4000))], &ram), Some(0x4000));
        assert_eq!(FrameSize::of_totals(&[(node, 5)], &ram), None);
        assert_eq!(FrameSize::of_totals(&[], &ram), None);
    }
}
