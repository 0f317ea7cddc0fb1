//! The probes themselves.

use core::ptr::NonNull;

use sparsemem_core::{MemoryModel, Page, Pfn};

#[cfg(target_arch = "x86_64")]
use crate::models::BYFRAME;
use crate::models::{CLASSIC, COMPRESSED, EXTREME, FLAT, PLACED, PLANES, VMEMMAP, WIDE};

/// The address of a function.
type Address = *const ();

/// Declares the probes of a model: functions that keep their names and are never inlined.
macro_rules! probes {
    ($all:ident, $model:expr; $unchecked:ident, $checked:ident, $reader:ident, $online:ident, $valid:ident, $pfn_of:ident) => {
        /// # Safety
        ///
        /// As [`MemoryModel::lookup_unchecked`].
        #[unsafe(no_mangle)]
        #[inline(never)]
        unsafe extern "C" fn $unchecked(pfn: Pfn) -> NonNull<Page> {
            // SAFETY: the caller's promise is the same.
            unsafe { $model.lookup_unchecked(pfn) }
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $checked(pfn: Pfn) -> Option<NonNull<Page>> {
            $model.lookup(pfn)
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $reader(pfn: Pfn) -> Option<NonNull<Page>> {
            $model.read().page(pfn).map(NonNull::from)
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $online(pfn: Pfn) -> Option<NonNull<Page>> {
            $model.lookup_online_with(pfn, &())
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $valid(pfn: Pfn) -> bool {
            $model.is_valid(pfn)
        }

        /// # Safety
        ///
        /// As [`MemoryModel::pfn_of`].
        #[unsafe(no_mangle)]
        #[inline(never)]
        unsafe extern "C" fn $pfn_of(page: NonNull<Page>) -> Pfn {
            // SAFETY: the caller's promise is the same.
            unsafe { $model.pfn_of(page) }
        }

        const $all: [(&str, Address); 6] = [
            (stringify!($unchecked), $unchecked as Address),
            (stringify!($checked), $checked as Address),
            (stringify!($reader), $reader as Address),
            (stringify!($online), $online as Address),
            (stringify!($valid), $valid as Address),
            (stringify!($pfn_of), $pfn_of as Address),
        ];
    };
}

probes!(OF_CLASSIC, CLASSIC; classic_unchecked, classic_checked, classic_reader, classic_online, classic_valid, classic_pfn_of);
probes!(OF_EXTREME, EXTREME; extreme_unchecked, extreme_checked, extreme_reader, extreme_online, extreme_valid, extreme_pfn_of);
#[cfg(target_arch = "x86_64")]
probes!(OF_BYFRAME, BYFRAME; byframe_unchecked, byframe_checked, byframe_reader, byframe_online, byframe_valid, byframe_pfn_of);
probes!(OF_VMEMMAP, VMEMMAP; vmemmap_unchecked, vmemmap_checked, vmemmap_reader, vmemmap_online, vmemmap_valid, vmemmap_pfn_of);
probes!(OF_PLACED, PLACED; placed_unchecked, placed_checked, placed_reader, placed_online, placed_valid, placed_pfn_of);
probes!(OF_PLANES, PLANES; planes_unchecked, planes_checked, planes_reader, planes_online, planes_valid, planes_pfn_of);
probes!(OF_WIDE, WIDE; wide_unchecked, wide_checked, wide_reader, wide_online, wide_valid, wide_pfn_of);
probes!(OF_FLAT, FLAT; flat_unchecked, flat_checked, flat_reader, flat_online, flat_valid, flat_pfn_of);
probes!(OF_COMPRESSED, COMPRESSED; compressed_unchecked, compressed_checked, compressed_reader, compressed_online, compressed_valid, compressed_pfn_of);

/// Names the twins of C; only their addresses are taken.
macro_rules! twins {
    ($all:ident; $($twin:ident),+ $(,)?) => {
        unsafe extern "C" {
            $(fn $twin();)+
        }

        const $all: &[(&str, Address)] = &[$((stringify!($twin), $twin as Address)),+];
    };
}

twins!(
    OF_C;
    c_classic_unchecked,
    c_classic_checked,
    c_classic_online,
    c_classic_valid,
    c_classic_pfn_of,
    c_extreme_unchecked,
    c_extreme_checked,
    c_extreme_online,
    c_extreme_valid,
    c_extreme_pfn_of,
    c_vmemmap_unchecked,
    c_vmemmap_checked,
    c_vmemmap_online,
    c_vmemmap_valid,
    c_vmemmap_pfn_of,
    c_placed_unchecked,
    c_placed_checked,
    c_placed_online,
    c_placed_valid,
    c_placed_pfn_of,
    c_flat_unchecked,
    c_flat_checked,
    c_flat_online,
    c_flat_valid,
    c_flat_pfn_of,
    c_compressed_unchecked,
    c_compressed_checked,
    c_compressed_online,
    c_compressed_valid,
    c_compressed_pfn_of,
);

#[cfg(target_arch = "x86_64")]
twins!(
    C_BYFRAME;
    c_byframe_unchecked,
    c_byframe_checked,
    c_byframe_online,
    c_byframe_valid,
    c_byframe_pfn_of,
);

/// The probes and twins of the model by frame, which are counted on x86_64 only.
#[cfg(target_arch = "x86_64")]
const BY_FRAME: [&[(&str, Address)]; 2] = [&OF_BYFRAME, C_BYFRAME];
#[cfg(not(target_arch = "x86_64"))]
const BY_FRAME: [&[(&str, Address)]; 0] = [];

/// Every probe and every twin, by name.
pub(crate) fn all() -> impl Iterator<Item = (&'static str, Address)> {
    let rust = [OF_CLASSIC, OF_EXTREME, OF_VMEMMAP, OF_PLACED, OF_PLANES, OF_WIDE, OF_FLAT, OF_COMPRESSED];
    let more = BY_FRAME.into_iter().flatten().chain(OF_C).copied();
    rust.into_iter().flatten().chain(more)
}
