//! Events of slow operations, for kernels that listen.
//!
//! With the feature `tracing` they go to the `tracing` crate; without it they are checked and compile to nothing.
//! Lookups have none.

#[cfg(feature = "tracing")]
#[doc(hidden)]
pub use tracing;

/// Tells of a slow operation: `trace_event!(WARN, "section {nr} is lost")`.
#[cfg(feature = "tracing")]
#[macro_export]
macro_rules! trace_event {
    ($level:ident, $($message:tt)+) => {
        $crate::trace::tracing::event!($crate::trace::tracing::Level::$level, $($message)+)
    };
}

/// Tells nobody: the feature `tracing` is off.
#[cfg(not(feature = "tracing"))]
#[macro_export]
macro_rules! trace_event {
    ($level:ident, $($message:tt)+) => {
        if false {
            let _ = ::core::format_args!($($message)+);
        }
    };
}
