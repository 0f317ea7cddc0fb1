//! The promises of populate, unmap and walk, over tables in host memory that can fail on command.

mod host;

mod concurrent;
mod faults;
mod input;
mod lost;
mod oracle;
mod populate;
mod ranges;
mod straddle;
mod top;
mod unmap;
mod unwinding;
mod walk;
