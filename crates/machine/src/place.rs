//! Makes values that are too large for a stack.

use sparsemem_core::ZeroIsNew;

/// Makes a fresh `T` on the heap, without placing it on the stack and without accessing its memory.
///
/// Only the parts that are used later take memory, so a test can make a model with a table of gigabytes.
///
/// # Cost
///
/// The allocator gets fresh zeroed pages from the host. A type that is aligned to more than 16 bytes is zeroed by
/// writing, which accesses all of it. Large types should therefore only point to data with such an alignment.
///
/// # Panics
///
/// Does not return if the host refuses the addresses: the process ends as it does for any failed heap allocation
/// ([`std::alloc::handle_alloc_error`]).
#[must_use]
pub fn place<T: ZeroIsNew>() -> Box<T> {
    // SAFETY: `ZeroIsNew` promises that zero bytes are a valid value.
    unsafe { Box::<T>::new_zeroed().assume_init() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resident_bytes;

    struct Large([u64; 1 << 30]);

    // SAFETY: zeros are valid integers.
    unsafe impl ZeroIsNew for Large {}

    #[test]
    fn eight_gibibytes_cost_what_is_used_of_them() {
        let before = resident_bytes();
        let mut large = place::<Large>();
        large.0[12_345_678] = 7;
        assert_eq!((large.0[0], large.0[12_345_678], large.0[(1 << 30) - 1]), (0, 7, 0));
        assert!(resident_bytes() < before + (64 << 20));
    }
}
