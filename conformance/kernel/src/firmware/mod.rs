//! What firmware and loader say of the machine.

mod bytes;

pub(crate) mod acpi;
pub(crate) mod nfit;
pub(crate) mod srat;
pub(crate) mod start_info;
