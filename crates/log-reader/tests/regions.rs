//! The answers about ranges are those of their pages, on any map.

use proptest::prelude::*;
use sparsemem_core::{PhysAddr, PhysRange, RegionKind, Regions, WhatIs};
use sparsemem_log_reader::{Layout, Mode, RangeKind, parse};

/// Names of types, and what they are to a kernel.
const TYPES: [(&str, WhatIs); 6] = [
    ("usable", WhatIs::Ram),
    ("reserved", WhatIs::Reserved),
    ("ACPI NVS", WhatIs::Reserved),
    ("type 9", WhatIs::Reserved),
    ("persistent (type 12)", WhatIs::Device),
    ("soft reserved", WhatIs::Device),
];

const PAGE: u64 = 0x1000;
/// Pages above 1 MiB, where no PC has rules of its own.
const BASE: u64 = 0x100;

fn pages(start: u64, end: u64) -> PhysRange {
    PhysRange::new(PhysAddr::new(start * PAGE), PhysAddr::new(end * PAGE)).unwrap()
}

/// The kind of a page, by the ranges of the kernel's view alone.
fn page(layout: &Layout, nr: u64) -> WhatIs {
    let view = layout.kernel_view();
    let here = view.ranges().iter().find(|entry| entry.range.contains(PhysAddr::new(nr * PAGE)));
    match here.map(|entry| entry.kind) {
        None | Some(RangeKind::HotplugWindow) => WhatIs::Hole,
        Some(RangeKind::Ram) => WhatIs::Ram,
        Some(RangeKind::Device | RangeKind::Persistent | RangeKind::SoftReserved) => WhatIs::Device,
        Some(_) => WhatIs::Reserved,
    }
}

proptest! {
    #[test]
    fn a_range_is_what_all_of_its_pages_are(
        entries in prop::collection::vec((0u64..40, 1u64..16, 0..TYPES.len()), 1..10),
        asked in prop::collection::vec((0u64..60, 0u64..60), 1..20),
    ) {
        let line = |&(start, length, kind): &(u64, u64, usize)| {
            let (start, end) = ((BASE + start) * PAGE, (BASE + start + length) * PAGE);
            format!("BIOS-e820: [mem {start:#018x}-{:#018x}] {}\n", end - 1, TYPES[kind].0)
        };
        let text: String = entries.iter().map(line).collect();
        let layout = parse(&text, Mode::Strict).unwrap().layout;
        let map = layout.regions();
        let regions = Regions::new(&map).unwrap();
        for (one, other) in asked {
            let (start, end) = (BASE + one.min(other), BASE + one.max(other));
            let mut answers = (start..end).map(|nr| page(&layout, nr));
            let first = answers.next().unwrap_or(WhatIs::Hole);
            let expected = if answers.all(|answer| answer == first) { first } else { WhatIs::Mixed };
            prop_assert_eq!(regions.what_is(pages(start, end)), expected, "{}{}..{}", text, start, end);
        }
    }
}

#[test]
fn every_type_is_one_thing_to_a_kernel() {
    for (name, expected) in TYPES {
        let text = format!("BIOS-e820: [mem 0x0000000000100000-0x00000000001fffff] {name}\n");
        let map = parse(&text, Mode::Strict).unwrap().layout.regions();
        assert_eq!(Regions::new(&map).unwrap().what_is(pages(0x100, 0x200)), expected, "{name}");
    }
    let kinds = RangeKind::PRECEDENCE.into_iter().filter_map(RangeKind::region);
    assert_eq!(kinds.filter(|kind| *kind == RegionKind::Ram).count(), 1);
}
