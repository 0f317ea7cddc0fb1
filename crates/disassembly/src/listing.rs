//! The instructions of a function, and what is counted of them.

use std::fmt;

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Intel syntax, with symbols instead of addresses.
    pub text: String,
    /// Reads of memory, without those of the stack.
    pub loads: usize,
    /// Whether it calls, or jumps to another function.
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

    /// How many instructions it has, on all its ways together; the return counts.
    #[must_use]
    pub fn instructions(&self) -> usize {
        self.body.len()
    }

    /// How many loads it has, on all its ways together. The stack is not counted: it is in the cache.
    #[must_use]
    pub fn loads(&self) -> usize {
        self.body.iter().map(|instruction| instruction.loads).sum()
    }

    /// How many calls of, and jumps to, other functions it has. A budget for a function that has some says little.
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
