//! A device over the queues and transports of the crate `virtio-drivers`.

use sparsemem_core::trace_event;
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::{InterruptStatus, Transport};
use virtio_drivers::{Error, Hal};

use crate::{Answer, Config, Device, Fault, Features, Request};

/// The only queue.
const GUEST_REQUEST: u16 = 0;
/// A request and a response, and nothing beside them: requests follow each other.
const QUEUE_SIZE: usize = 2;

bitflags::bitflags! {
    /// The features that this driver accepts, as the transport negotiates them.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Negotiable: u64 {
        const ACPI_PXM = Features::ACPI_PXM.bits();
        const UNPLUGGED_INACCESSIBLE = Features::UNPLUGGED_INACCESSIBLE.bits();
        /// The device obeys the standard, and not what was there before it (`VIRTIO_F_VERSION_1`).
        const VERSION_1 = 1 << 32;
    }
}

/// A memory device on a transport.
///
/// A request waits for its answer without sleeping. The device notifies the driver of a new requested size by an
/// interrupt: the kernel calls [`ack_interrupt`](Self::ack_interrupt) in its handler, and
/// [`resize`](crate::VirtioMem::resize) somewhere where it may take memory and wait.
pub struct VirtioDevice<H: Hal, T: Transport> {
    transport: T,
    queue: VirtQueue<H, QUEUE_SIZE>,
    features: Features,
}

impl<H: Hal, T: Transport> VirtioDevice<H, T> {
    /// Resets the device, which leaves its blocks as they are, and negotiates its features.
    ///
    /// # Errors
    ///
    /// [`Error`] if the queue cannot be set up.
    pub fn new(mut transport: T) -> Result<Self, Error> {
        let negotiated: Negotiable = transport.begin_init(Negotiable::all());
        let queue = VirtQueue::new(&mut transport, GUEST_REQUEST, false, false)?;
        transport.finish_init();
        Ok(Self { transport, queue, features: Features::from_bits_truncate(negotiated.bits()) })
    }

    /// The features that driver and device agreed on.
    #[must_use]
    pub const fn features(&self) -> Features {
        self.features
    }

    /// Acknowledges an interrupt. If it is about the configuration, the requested size may have changed.
    pub fn ack_interrupt(&mut self) -> InterruptStatus {
        self.transport.ack_interrupt()
    }

    /// The bytes of the configuration space, all at one moment.
    fn config_bytes(&self) -> Result<[u8; Config::LEN], Error> {
        self.transport.read_consistent(|| {
            let mut bytes = [0; Config::LEN];
            // Transports promise no access of more than four bytes.
            for (offset, word) in (0..).step_by(4).zip(bytes.chunks_exact_mut(4)) {
                let value: [u8; 4] = self.transport.read_config_space::<u32>(offset)?.to_le_bytes();
                word.copy_from_slice(&value);
            }
            Ok(bytes)
        })
    }
}

impl<H: Hal, T: Transport> Device for VirtioDevice<H, T> {
    fn config(&mut self) -> Result<Config, Fault> {
        Ok(Config::decode(&self.config_bytes()?, self.features)?)
    }

    fn request(&mut self, request: Request) -> Result<Answer, Fault> {
        let mut response = [0; Answer::LEN];
        let Self { queue, transport, .. } = self;
        queue.add_notify_wait_pop(&[&request.encode()], &mut [&mut response], transport)?;
        trace_event!(TRACE, "{request}: {response:?}");
        Ok(Answer::decode(request, &response)?)
    }
}

impl<H: Hal, T: Transport> Drop for VirtioDevice<H, T> {
    fn drop(&mut self) {
        // The device must not use the queue's memory any more.
        self.transport.queue_unset(GUEST_REQUEST);
    }
}

impl<H: Hal, T: Transport> core::fmt::Debug for VirtioDevice<H, T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("VirtioDevice").field("features", &self.features).finish_non_exhaustive()
    }
}
