//! The configuration of PCI devices, through the two ports that every PC has for it.
//!
//! Source: PCI Local Bus Specification 3.0, 3.2.2.3.2 "Software Generation of Configuration Transactions".
//!
//! # Invariants
//!
//! 1. Choosing a register and accessing it are two accesses, and no other code uses the ports between them: only the
//!    first processor looks for devices, and no handler does.

use virtio_drivers::transport::pci::bus::{ConfigurationAccess, DeviceFunction};
use x86_64::instructions::port::Port;

/// The reason why the kernel cannot use PCI devices on this board; `None` because it can: firmware has given them
/// addresses.
pub(crate) const CANNOT: Option<&str> = None;

/// The port that chooses a register.
const CHOICE: u16 = 0xcf8;
/// The port of the chosen register.
const REGISTER: u16 = 0xcfc;
/// The choice counts.
const ENABLED: u32 = 1 << 31;

/// The configuration of all devices.
#[derive(Debug)]
pub(crate) struct Configuration(());

impl Configuration {
    /// The configuration of all devices.
    ///
    /// # Safety
    ///
    /// The machine is a PC, and no other code uses the ports as long as this exists.
    pub(crate) const unsafe fn new() -> Self {
        Self(())
    }
}

/// Chooses a register of a function.
fn choose(function: DeviceFunction, offset: u8) -> Port<u32> {
    let DeviceFunction { bus, device, function } = function;
    let place = u32::from(bus) << 16 | u32::from(device) << 11 | u32::from(function) << 8;
    // SAFETY: this chooses a register, and changes none; no other code uses the ports (`Configuration::new`).
    unsafe { Port::new(CHOICE).write(ENABLED | place | u32::from(offset & !3)) };
    Port::new(REGISTER)
}

impl ConfigurationAccess for Configuration {
    fn read_word(&self, function: DeviceFunction, offset: u8) -> u32 {
        // SAFETY: reading a register of the configuration changes nothing.
        unsafe { choose(function, offset).read() }
    }

    fn write_word(&mut self, function: DeviceFunction, offset: u8, value: u32) {
        // SAFETY: the one who has the configuration decides what devices do.
        unsafe { choose(function, offset).write(value) }
    }

    unsafe fn unsafe_clone(&self) -> Self {
        Self(())
    }
}
