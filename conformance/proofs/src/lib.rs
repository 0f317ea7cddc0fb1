//! The functions of every entry format at every level, and the walker's index arithmetic at every depth, where `prove.py`
//! finds them in the compiler's output.
//!
//! Each is the product's own function with a format and a level, or a depth, put in: what the compiler makes of it is
//! what the script reads. Numbers stand for the types, because the script knows numbers.
#![no_std]
#![forbid(unsafe_code)]

use sparsemem_aarch64_page_table::Regime;
use sparsemem_core::Origin;

/// An arm64 regime with pages of 2^`PAGE` bytes and addresses of `BITS`, as a kernel has it.
#[derive(Clone, Copy, Debug)]
pub struct Arm<const PAGE: u32, const BITS: u32>;

impl<const PAGE: u32, const BITS: u32> Regime for Arm<PAGE, BITS> {
    const PAGE_SHIFT: u32 = PAGE;
    const ADDRESS_BITS: u32 = BITS;
}

/// The origin with a code; the script passes 0, 1 and 2.
const fn origin(code: u8) -> Origin {
    match Origin::from_code(code) {
        Some(origin) => origin,
        None => Origin::Boot,
    }
}

/// Functions of numbers that stay functions of their own in the compiler's output.
macro_rules! functions {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> u64 $body:block)*) => {
        $(
            /// As in [`EntryFormat`](sparsemem_page_table::EntryFormat), over numbers.
            #[must_use]
            #[inline(never)]
            pub fn $name($($argument: $type),*) -> u64 $body
        )*
    };
}

/// The functions of a format at a level.
macro_rules! level {
    ($format:ty, $module:ident = $level:ident) => {
        /// At one level.
        pub mod $module {
            use sparsemem_core::PhysAddr;
            use sparsemem_page_table::{EntryFormat, Level, Target};

            use crate::origin;

            type Format = $format;
            const LEVEL: Level = Level::$level;

            functions! {
                fn shift() -> u64 { u64::from(Format::shift(LEVEL)) }
                fn index_bits() -> u64 { u64::from(Format::index_bits(LEVEL)) }
                fn base_shift() -> u64 { u64::from(Format::BASE_SHIFT) }
                fn fresh() -> u64 { Format::FRESH }
                fn empty() -> u64 { Format::empty(LEVEL) }
                fn has_leaves() -> u64 { u64::from(Format::has_leaves(LEVEL)) }
                fn holds(at: u64) -> u64 { u64::from(Format::holds(PhysAddr::new(at))) }
                fn table(at: u64, code: u8) -> u64 { Format::table(PhysAddr::new(at), LEVEL, origin(code)) }
                fn leaf(at: u64, code: u8) -> u64 { Format::leaf(PhysAddr::new(at), LEVEL, origin(code)) }
                fn shared(at: u64) -> u64 { Format::shared(PhysAddr::new(at)) }
                fn kind(raw: u64) -> u64 {
                    match Format::target(raw, LEVEL) {
                        Target::Empty => 0,
                        Target::Table { .. } => 1,
                        Target::Leaf { .. } => 2,
                        Target::Shared { .. } => 3,
                    }
                }
                fn address(raw: u64) -> u64 {
                    match Format::target(raw, LEVEL) {
                        Target::Empty => 0,
                        Target::Table { at, .. } | Target::Leaf { at, .. } | Target::Shared { at } => at.get(),
                    }
                }
                fn origin_of(raw: u64) -> u64 {
                    match Format::target(raw, LEVEL) {
                        Target::Empty | Target::Shared { .. } => 0,
                        Target::Table { origin, .. } | Target::Leaf { origin, .. } => u64::from(origin.code()),
                    }
                }
            }
        }
    };
}

/// The walker's arithmetic at a depth.
macro_rules! depth {
    ($format:ty, $module:ident = $depth:ident) => {
        /// At one depth.
        pub mod $module {
            use sparsemem_core::{PagingDepth, VirtAddr};
            use sparsemem_page_table::{EntryFormat, Level, Root};

            type Format = $format;

            fn root() -> Root {
                Format::root(PagingDepth::$depth)
            }

            functions! {
                fn root_level() -> u64 { u64::from(root().level().number()) }
                fn root_bits() -> u64 { u64::from(root().bits()) }
                fn canonical(at: u64) -> u64 { u64::from(root().is_canonical(VirtAddr::new(at))) }
                fn index_1(at: u64) -> u64 { root().index_of::<Format>(VirtAddr::new(at), Level::PTE) as u64 }
                fn index_2(at: u64) -> u64 { root().index_of::<Format>(VirtAddr::new(at), Level::PMD) as u64 }
                fn index_3(at: u64) -> u64 { root().index_of::<Format>(VirtAddr::new(at), Level::PUD) as u64 }
                fn index_4(at: u64) -> u64 { root().index_of::<Format>(VirtAddr::new(at), Level::P4D) as u64 }
                fn index_5(at: u64) -> u64 { root().index_of::<Format>(VirtAddr::new(at), Level::PGD) as u64 }
            }
        }
    };
}

/// A format: its levels, and the depths that it has.
macro_rules! format {
    ($name:ident: $format:ty; $($depth:ident = $variant:ident),*) => {
        /// One format.
        pub mod $name {
            level!($format, level_1 = PTE);
            level!($format, level_2 = PMD);
            level!($format, level_3 = PUD);
            level!($format, level_4 = P4D);
            level!($format, level_5 = PGD);
            $(depth!($format, $depth = $variant);)*

            /// The barrier after new mappings: that it assembles for the processor is all that is asked of it.
            #[inline(never)]
            pub fn published() {
                <$format as sparsemem_page_table::EntryFormat>::published();
            }
        }
    };
}

format!(x86_64: sparsemem_x86_64_page_table::X86_64; depth_4 = Four, depth_5 = Five);
format!(riscv64: sparsemem_riscv64_page_table::Riscv64; depth_3 = Three, depth_4 = Four, depth_5 = Five);
format!(aarch64_4k_48: sparsemem_aarch64_page_table::Aarch64<crate::Arm<12, 48>>; depth_3 = Three, depth_4 = Four);
format!(aarch64_4k_52: sparsemem_aarch64_page_table::Aarch64<crate::Arm<12, 52>>; depth_4 = Four, depth_5 = Five);
format!(aarch64_16k_48: sparsemem_aarch64_page_table::Aarch64<crate::Arm<14, 48>>; depth_2 = Two, depth_3 = Three, depth_4 = Four);
format!(aarch64_16k_52: sparsemem_aarch64_page_table::Aarch64<crate::Arm<14, 52>>; depth_3 = Three, depth_4 = Four);
format!(aarch64_64k_48: sparsemem_aarch64_page_table::Aarch64<crate::Arm<16, 48>>; depth_2 = Two, depth_3 = Three);
format!(aarch64_64k_52: sparsemem_aarch64_page_table::Aarch64<crate::Arm<16, 52>>; depth_2 = Two, depth_3 = Three);

/// The flushes of the target's processor, that they assemble.
#[cfg(target_arch = "aarch64")]
#[inline(never)]
pub fn forget(range: sparsemem_core::VirtRange) {
    sparsemem_aarch64_page_table::Aarch64::<Arm<12, 48>>::forget(range);
}

/// The flushes of the target's processor, that they assemble.
#[cfg(target_arch = "riscv64")]
#[inline(never)]
pub fn forget(_: sparsemem_core::VirtRange) {
    sparsemem_riscv64_page_table::forget();
}

/// The flushes of the target's processor, that they assemble.
#[cfg(target_arch = "x86_64")]
#[inline(never)]
pub fn forget(range: sparsemem_core::VirtRange) {
    sparsemem_x86_64_page_table::X86_64::forget(range);
}
