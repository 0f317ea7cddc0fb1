//! The instructions of a function, what is counted of them, and why a function has no listing.

use std::fmt;

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// The text of it, with symbols instead of addresses; in Intel's syntax on x86_64.
    pub text: String,
    /// Reads of memory, without those of the stack.
    pub loads: usize,
    /// True if it calls, or jumps to, another function.
    pub leaves: bool,
}

/// A function, disassembled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    pub(crate) symbol: String,
    pub(crate) body: Vec<Instruction>,
}

impl Listing {
    /// The function.
    #[must_use]
    pub fn symbol(&self) -> &str {
        &self.symbol
    }

    /// The number of instructions, on all ways through the function together; the return counts.
    #[must_use]
    pub fn instructions(&self) -> usize {
        self.body.len()
    }

    /// The number of loads, on all ways through the function together. The stack is not counted: it is in the cache.
    #[must_use]
    pub fn loads(&self) -> usize {
        self.body.iter().map(|instruction| instruction.loads).sum()
    }

    /// The number of calls of other functions, and of jumps to them. A budget for a function that has some says little.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.body.iter().filter(|instruction| instruction.leaves).count()
    }

    /// Its instructions, in the order of their addresses.
    #[must_use]
    pub fn body(&self) -> &[Instruction] {
        &self.body
    }
}

/// An instruction per line, indented, below the name of the function.
impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}:", self.symbol)?;
        self.body.iter().try_for_each(|instruction| writeln!(f, "    {}", instruction.text))
    }
}

/// The reason why there is no listing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// The file cannot be read.
    #[error("not an ELF file that can be read: {why}")]
    NotElf {
        /// The reader's message.
        why: String,
    },
    /// The file is for another processor.
    #[error("the file is for {architecture}; x86_64, aarch64 and riscv64 can be disassembled")]
    OtherProcessor {
        /// Its name.
        architecture: String,
    },
    /// The file has no function of this name.
    #[error("no function `{symbol}` in the symbol table; was it left out or inlined by the linker?")]
    NoFunction {
        /// The name that was asked for.
        symbol: String,
    },
    /// The bytes of the function are not in the file, or not instructions.
    #[error("`{symbol}` cannot be disassembled at {address:#x}")]
    NotCode {
        /// The function.
        symbol: String,
        /// The address at which reading stopped.
        address: u64,
    },
}
