//! Boards on which this kernel does not use PCI devices: there is no firmware that gives them addresses.

use virtio_drivers::transport::pci::bus::{ConfigurationAccess, DeviceFunction};

/// The reason why the kernel cannot use PCI devices on this board.
pub(crate) const CANNOT: Option<&str> =
    Some("this kernel uses PCI devices on PCs only, where firmware gives them addresses");

/// The configuration of no device.
#[derive(Debug)]
pub(crate) struct Configuration(());

impl Configuration {
    /// The configuration of no device.
    ///
    /// # Safety
    ///
    /// None: the signature is that of boards with PCI devices.
    pub(crate) const unsafe fn new() -> Self {
        Self(())
    }
}

impl ConfigurationAccess for Configuration {
    fn read_word(&self, _: DeviceFunction, _: u8) -> u32 {
        // Where no device answers, all bits are set.
        u32::MAX
    }

    fn write_word(&mut self, _: DeviceFunction, _: u8, _: u32) {}

    unsafe fn unsafe_clone(&self) -> Self {
        Self(())
    }
}
