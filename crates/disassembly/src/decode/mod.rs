//! Decodes bytes to instructions, with names for the addresses in them, by a decoder for each processor.

mod body;
mod risc;
mod x86_64;

use std::rc::Rc;

use object::Architecture;

use crate::listing::{ListError, Listing};
use crate::places::{Function, Places};

/// A processor whose instructions can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Processor {
    X86_64,
    Aarch64,
    Riscv64,
}

impl Processor {
    /// The processor of a file.
    pub(crate) const fn of(architecture: Architecture) -> Option<Self> {
        match architecture {
            Architecture::X86_64 => Some(Self::X86_64),
            Architecture::Aarch64 => Some(Self::Aarch64),
            Architecture::Riscv64 => Some(Self::Riscv64),
            _ => None,
        }
    }

    /// The listing of a function.
    pub(crate) fn listing(self, function: &Function<'_>, places: &Rc<Places>) -> Result<Listing, ListError> {
        match self {
            Self::X86_64 => x86_64::listing(function, places),
            Self::Aarch64 => risc::listing(&risc::AARCH64, function, places),
            Self::Riscv64 => risc::listing(&risc::RISCV64, function, places),
        }
    }
}
