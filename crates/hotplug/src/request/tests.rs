//! Requests that are possible, and one of each kind that is refused.

use super::*;
use sparsemem_core::presets::{Tiny, X86_64};
use std::vec::Vec;

const NODE: NodeId = NodeId::new(0);

fn frames(start: u64, end: u64) -> PfnRange {
    PfnRange::new(Pfn::new(start), Pfn::new(end)).unwrap()
}

fn request(start: u64, end: u64, kind: MemoryKind) -> Result<Request<Tiny>, RequestError> {
    Request::new(frames(start, end), NODE, kind, &Limits::new(BlockSize::SECTION))
}

fn sections(parts: impl Iterator<Item = Part>) -> Vec<(u64, PfnRange)> {
    parts.map(|part| (part.section.get(), part.frames)).collect()
}

#[test]
fn a_device_splits_at_section_borders() {
    let request = request(6, 26, MemoryKind::Device).unwrap();
    let all = [(0, frames(6, 8)), (1, frames(8, 16)), (2, frames(16, 24)), (3, frames(24, 26))];
    assert_eq!(sections(request.parts()), all);
    // The sections at both borders are shared (H-62).
    assert_eq!(sections(request.shared_borders()), [all[0], all[3]]);
    assert_eq!(request.bytes().start().get(), 6 << 12);
}

#[test]
fn borders_of_sections_are_not_shared() {
    let shared = |start, end| sections(request(start, end, MemoryKind::Device).unwrap().shared_borders());
    assert_eq!(shared(8, 24), []);
    assert_eq!(shared(8, 26), [(3, frames(24, 26))]);
    assert_eq!(shared(10, 24), [(1, frames(10, 16))]);
    assert_eq!(shared(10, 12), [(1, frames(10, 12))], "one section is named once");
}

#[test]
fn ram_comes_in_blocks() {
    let limits = Limits::new(BlockSize::<Tiny>::new(ByteLen::new(1 << 16)).unwrap());
    let ram = |start, end| Request::new(frames(start, end), NODE, MemoryKind::Ram, &limits);
    assert_eq!(ram(16, 48).unwrap().blocks(limits.block), BlockSpan::new(BlockNr::new(1), 2));
    let (rule, granule) = (Granule::Block, PageCount::new(16));
    let range = frames(8, 32);
    assert_eq!(ram(8, 32).unwrap_err(), RequestError::Unaligned { frames: range, rule, granule });
    assert!(Request::new(frames(8, 10), NODE, MemoryKind::RamPart, &limits).is_ok());
}

#[test]
fn impossible_ranges_are_named_with_the_rule() {
    let empty = frames(8, 8);
    assert_eq!(request(8, 8, MemoryKind::Ram).unwrap_err(), RequestError::Empty { frames: empty });
    assert!(matches!(request(8, 11, MemoryKind::Device), Err(RequestError::Unaligned { .. })));
    assert!(matches!(request(9, 10, MemoryKind::Device), Err(RequestError::Unaligned { .. })));
    // The length is a multiple of a subsection, but the borders are not.
    assert!(matches!(request(9, 11, MemoryKind::Device), Err(RequestError::Unaligned { .. })));
    assert!(matches!(request(12, 20, MemoryKind::Ram), Err(RequestError::Unaligned { .. })));
    let (range, last) = (frames(56, 66), Pfn::new(63));
    assert_eq!(
        request(56, 66, MemoryKind::Device).unwrap_err(),
        RequestError::BeyondMaximum { frames: range, last }
    );
    let top = (u64::MAX - 7) & !7;
    assert!(matches!(
        request(top, u64::MAX - 1, MemoryKind::Device),
        Err(RequestError::BeyondMaximum { .. })
    ));
    assert!(request(56, 64, MemoryKind::Ram).is_ok());
}

#[test]
fn the_machine_may_address_less_than_the_geometry() {
    let addressable = frames(8, 32);
    let limits = Limits::<Tiny>::new(BlockSize::SECTION).addressable(addressable);
    let request = |start, end| Request::new(frames(start, end), NODE, MemoryKind::Ram, &limits);
    assert!(request(8, 32).is_ok());
    let below = frames(0, 16);
    assert_eq!(request(0, 16).unwrap_err(), RequestError::NotAddressable { frames: below, addressable });
    assert!(request(24, 40).is_err());
}

#[test]
fn bytes_become_frames_or_an_error() {
    let frames = |start, len| frames_of_bytes::<X86_64>(PhysAddr::new(start), ByteLen::new(len));
    assert_eq!(frames(1 << 32, 1 << 27).unwrap().count().get(), 0x8000);
    // Single frames are whole frames, and so is an empty range.
    assert_eq!(frames(0x1000, 0x1000), Ok(self::frames(1, 2)));
    assert_eq!(frames(0x3000, 0x4000), Ok(self::frames(3, 7)));
    assert_eq!(frames(0x5000, 0), Ok(self::frames(5, 5)));
    // The start and the end may lie inside a frame at the same offset.
    assert!(matches!(frames(0x1800, 0x1000), Err(RequestError::PartialFrame { .. })));
    assert!(matches!(frames(u64::MAX - 0xfff, 0x2000), Err(RequestError::Wraps { .. })));
    assert!(matches!(frames(0x1001, 0x1000), Err(RequestError::PartialFrame { .. })));
    assert!(matches!(frames(0x1000, 0x1001), Err(RequestError::PartialFrame { .. })));
}
