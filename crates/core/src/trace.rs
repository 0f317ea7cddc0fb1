//! Events of slow operations, for kernels that record them.
//!
//! With the feature `tracing` the `tracing` crate gets them; without it they are type-checked and compile to nothing.
//! Lookups have none.

#[cfg(feature = "tracing")]
#[doc(hidden)]
pub use tracing;

/// Reports an event of a slow operation: `trace_event!(WARN, "section {nr} is lost")`.
#[cfg(feature = "tracing")]
#[macro_export]
macro_rules! trace_event {
    ($level:ident, $($message:tt)+) => {
        $crate::trace::tracing::event!($crate::trace::tracing::Level::$level, $($message)+)
    };
}

/// Reports nothing: the feature `tracing` is off.
#[cfg(not(feature = "tracing"))]
#[macro_export]
macro_rules! trace_event {
    ($level:ident, $($message:tt)+) => {
        if false {
            let _ = ::core::format_args!($($message)+);
        }
    };
}
