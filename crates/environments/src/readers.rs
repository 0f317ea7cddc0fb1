//! A domain of readers that one word counts, for kernels without RCU.

/// Declares a domain whose readers are counted in one word: a [`GracePeriod`](sparsemem_core::GracePeriod) waits until none
/// is left.
///
/// Readers on several processors share the word, so lookups cost an atomic addition each way. A kernel with RCU, or with
/// epochs, implements the two traits over them instead.
///
/// ```
/// use sparsemem_core::{GracePeriod, Reclaim};
///
/// sparsemem_environments::counted_readers! {
///     /// The readers of this kernel's model.
///     pub struct Readers;
/// }
///
/// let reader = Readers::enter();
/// drop(reader);
/// Readers::synchronize(); // nobody is inside, so it returns
/// ```
#[macro_export]
macro_rules! counted_readers {
    ($(#[$doc:meta])* $vis:vis struct $name:ident;) => {
        $(#[$doc])*
        $vis struct $name;

        const _: () = {
            use ::core::sync::atomic::{AtomicU64, Ordering, fence};

            /// The guards that exist.
            static INSIDE: AtomicU64 = AtomicU64::new(0);

            /// A reader is inside.
            #[allow(unreachable_pub, reason = "as visible as the domain, which may be public")]
            pub struct Guard(());

            impl Drop for Guard {
                fn drop(&mut self) {
                    // Release: pairs with the Acquire in `synchronize`: what the reader did happens before that returns.
                    INSIDE.fetch_sub(1, Ordering::Release);
                }
            }

            // SAFETY: `synchronize` returns only after it saw no guard at all.
            unsafe impl $crate::Reclaim for $name {
                type Guard = Guard;

                #[inline]
                fn enter() -> Guard {
                    // Relaxed: the fence orders it.
                    INSIDE.fetch_add(1, Ordering::Relaxed);
                    // SeqCst: pairs with the fence in `synchronize`: either that sees this guard, or this reader sees what was
                    // unpublished before.
                    fence(Ordering::SeqCst);
                    Guard(())
                }
            }

            // SAFETY: a guard that existed at the call is counted until it is dropped; the fences order a later one after
            // the call.
            unsafe impl $crate::GracePeriod for $name {
                fn synchronize() {
                    // SeqCst: pairs with the fence in `enter`.
                    fence(Ordering::SeqCst);
                    // Acquire: pairs with the Release of the last guard.
                    while INSIDE.load(Ordering::Acquire) != 0 {
                        ::core::hint::spin_loop();
                    }
                }
            }
        };
    };
}

#[cfg(test)]
mod tests {
    use sparsemem_core::{GracePeriod, Reclaim};
    use std::sync::atomic::{AtomicBool, Ordering};

    counted_readers! {
        struct Readers;
    }

    #[test]
    fn a_grace_period_outlasts_every_reader() {
        static LEFT: AtomicBool = AtomicBool::new(false);
        let (outer, inner) = (Readers::enter(), Readers::enter());
        drop(outer);
        std::thread::scope(|threads| {
            let waiting = threads.spawn(|| {
                Readers::synchronize();
                // SeqCst: pairs with the store below; the grace period orders them in any case.
                LEFT.load(Ordering::SeqCst)
            });
            std::thread::sleep(std::time::Duration::from_millis(20));
            assert!(!waiting.is_finished(), "a reader is inside");
            // SeqCst: as above.
            LEFT.store(true, Ordering::SeqCst);
            drop(inner);
            assert!(waiting.join().unwrap());
        });
    }
}
