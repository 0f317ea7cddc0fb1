//! The atomics that every crate of the workspace uses.
//!
//! This is the only place that names them, so that a model checker can replace the processor: with `--cfg
//! sparsemem_loom` the same code runs on loom's atomics, in every order that the memory model allows. Those have no
//! `const` constructor; [`const_fn!`](crate::const_fn) and [`atomic_array!`](crate::atomic_array) hide that.

#[cfg(not(sparsemem_loom))]
pub use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering};

#[cfg(sparsemem_loom)]
pub use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering};

/// Called in a loop that waits for another processor.
#[inline]
pub fn relax() {
    #[cfg(not(sparsemem_loom))]
    core::hint::spin_loop();
    // A model checker runs another thread instead.
    #[cfg(sparsemem_loom)]
    loom::thread::yield_now();
}

/// A function that is called with every usage that is read. It is for model checkers, under which memory is never
/// really freed.
#[cfg(sparsemem_loom)]
pub static LOOKED_AT: std::sync::OnceLock<fn(usize)> = std::sync::OnceLock::new();

/// Reports that code reads something in shared memory; does nothing without a model checker.
#[inline(always)]
pub fn look_at<T>(it: &T) {
    #[cfg(sparsemem_loom)]
    if let Some(check) = LOOKED_AT.get() {
        check(core::ptr::from_ref(it).addr());
    }
    #[cfg(not(sparsemem_loom))]
    let _ = it;
}

/// A function that is `const`, except on the atomics of a model checker.
#[macro_export]
macro_rules! const_fn {
    ($(#[$attribute:meta])* $vis:vis const $($rest:tt)*) => {
        #[cfg(not(sparsemem_loom))]
        $(#[$attribute])* $vis const $($rest)*

        #[cfg(sparsemem_loom)]
        $(#[$attribute])* $vis $($rest)*
    };
}

/// An array with a fresh atomic, or a fresh value that holds atomics, in each place.
#[macro_export]
macro_rules! atomic_array {
    ($fresh:expr; $len:expr) => {{
        #[cfg(not(sparsemem_loom))]
        let array = [const { $fresh }; $len];
        #[cfg(sparsemem_loom)]
        let array = ::core::array::from_fn::<_, { $len }, _>(|_| $fresh);
        array
    }};
}
