//! Numbers of processors: those of this kernel, and those of the hardware.

/// The largest number of processors that this kernel uses.
pub(crate) const MOST: usize = 4;

/// A processor, as this kernel counts them: the one that booted is the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Processor(usize);

impl Processor {
    /// The processor that booted.
    pub(crate) const FIRST: Self = Self(0);

    /// The processor with this number; numbers of processors that this kernel does not use are the last one's.
    #[inline]
    pub(crate) const fn new(nr: usize) -> Self {
        if nr < MOST { Self(nr) } else { Self(MOST - 1) }
    }

    /// Its place in tables with an entry for each of [`MOST`] processors.
    #[inline]
    pub(crate) const fn index(self) -> usize {
        self.0
    }

    /// Its bit in sets of processors.
    #[inline]
    pub(crate) const fn bit(self) -> u64 {
        1 << self.0
    }
}

/// The number that the hardware has for a processor: of its interrupt controller on x86_64, `MPIDR_EL1` on aarch64, the
/// hart on riscv64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HardwareId(u64);

impl HardwareId {
    /// The processor with this number.
    pub(crate) const fn new(id: u64) -> Self {
        Self(id)
    }

    /// The number.
    pub(crate) const fn get(self) -> u64 {
        self.0
    }
}

/// The reason why a processor cannot be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(dead_code, reason = "firmware starts processors on some boards only")]
pub(crate) enum StartError {
    /// It does not arrive.
    #[error(
        "processor {} was started, and does not arrive; the hardware's number for it is {:#x}",
        processor.index(),
        hardware.get()
    )]
    Silent {
        /// The processor.
        processor: Processor,
        /// The hardware's number for it.
        hardware: HardwareId,
    },
    /// Firmware does not start it.
    #[error(
        "firmware does not start processor {}: it answers {answer}; the hardware's number for it is {:#x}",
        processor.index(),
        hardware.get()
    )]
    Refused {
        /// The processor.
        processor: Processor,
        /// The hardware's number for it.
        hardware: HardwareId,
        /// Firmware's number of the reason.
        answer: i64,
    },
    /// Firmware's description does not say how processors are started.
    #[error("processor {} cannot be started: firmware does not describe a {what} that this kernel knows", processor.index())]
    NoMethod {
        /// The processor.
        processor: Processor,
        /// The part of the description.
        what: &'static str,
    },
    /// There is no memory for its stack.
    #[error("the page allocator has no stack for processor {}", processor.index())]
    NoStack {
        /// The processor.
        processor: Processor,
    },
}
