//! The instructions of aarch64 and riscv64, compressed ones included.
//!
//! Both make an address of two parts: one instruction puts the upper part into a register (`adrp`, `auipc`), and a later one
//! adds the lower part. A listing names the place in both.

use capstone::arch::{arm64, riscv};
use capstone::{Capstone, CsResult, prelude::*};

use super::body::Body;
use crate::listing::{ListError, Listing};
use crate::places::{Function, Places};

/// A processor's instructions, as the decoder writes them.
pub(super) struct Syntax {
    decoder: fn() -> CsResult<Capstone>,
    /// True if an instruction with this mnemonic reads memory; a pair of words is one load.
    pub(super) is_load: fn(&str) -> bool,
    /// The beginning of an operand in the stack.
    pub(super) on_stack: &'static str,
    /// The effect of an instruction on the flow of control.
    pub(super) flow: fn(&str, &str) -> Flow,
    /// The mnemonic that puts the upper part of an address into a register.
    pub(super) upper: &'static str,
    /// Its number and its own address give the upper part.
    pub(super) upper_part: fn(u64, u64) -> u64,
    /// The address that a branch at an address names by its number.
    pub(super) target: fn(u64, u64) -> u64,
}

/// The effect of an instruction on the flow of control.
#[derive(PartialEq, Eq)]
pub(super) enum Flow {
    /// It goes on, or returns.
    On,
    /// It goes to the address that its last number names, or on.
    To,
    /// It goes to what a register holds.
    Anywhere,
}

/// Arm ARM DDI 0487, C6.2: loads begin with `ld`, and so do the atomic operations that return what was there, except two.
pub(super) const AARCH64: Syntax = Syntax {
    decoder: || Capstone::new().arm64().mode(arm64::ArchMode::Arm).build(),
    is_load: |mnemonic| ["ld", "cas", "swp"].iter().any(|first| mnemonic.starts_with(first)),
    on_stack: "[sp",
    flow: |mnemonic, _| match mnemonic {
        "b" | "bl" | "cbz" | "cbnz" | "tbz" | "tbnz" => Flow::To,
        "br" | "blr" => Flow::Anywhere,
        _ if mnemonic.starts_with("b.") => Flow::To,
        _ => Flow::On,
    },
    upper: "adrp",
    // The decoder has added the address of the instruction.
    upper_part: |number, _| number,
    target: |number, _| number,
};

/// Unprivileged architecture 20191213, chapters 2, 8 and 16; compressed instructions have `c.` before the same names.
pub(super) const RISCV64: Syntax = Syntax {
    decoder: || {
        let decoder = Capstone::new().riscv().mode(riscv::ArchMode::RiscV64);
        decoder.extra_mode([riscv::ArchExtraMode::RiscVC].into_iter()).build()
    },
    is_load: |mnemonic| {
        let plain = plain(mnemonic);
        let loads = ["lb", "lbu", "lh", "lhu", "lw", "lwu", "ld", "flw", "fld", "lwsp", "ldsp", "fldsp"];
        loads.contains(&plain) || plain.starts_with("lr.") || plain.starts_with("amo")
    },
    on_stack: "(sp)",
    flow: |mnemonic, operands| match plain(mnemonic) {
        "jr" if operands == "ra" => Flow::On,
        "jr" | "jalr" => Flow::Anywhere,
        "j" | "jal" => Flow::To,
        other if ["beq", "bne", "blt", "ble", "bge", "bgt"].iter().any(|name| other.starts_with(name)) => {
            Flow::To
        }
        _ => Flow::On,
    },
    upper: "auipc",
    // Twenty bits, which are the upper ones of a signed word.
    upper_part: |number, at| at.wrapping_add_signed((number << 44).cast_signed() >> 32),
    target: |number, at| at.wrapping_add(number),
};

/// The name without the prefix of compressed instructions.
fn plain(mnemonic: &str) -> &str {
    mnemonic.strip_prefix("c.").unwrap_or(mnemonic)
}

/// The listing of a function.
pub(super) fn listing(
    syntax: &Syntax,
    function: &Function<'_>,
    places: &Places,
) -> Result<Listing, ListError> {
    let not_code = |address| ListError::NotCode { symbol: function.symbol.to_owned(), address };
    let decoder = (syntax.decoder)().map_err(|_| not_code(function.start))?;
    let decoded = decoder.disasm_all(function.code, function.start).map_err(|_| not_code(function.start))?;
    let end = decoded.last().map_or(function.start, |last| last.address() + last.len() as u64);
    if end != function.own().end {
        return Err(not_code(end));
    }
    let mut body = Body::new(syntax, function, places);
    for one in decoded.iter() {
        body.add(one.address(), one.mnemonic().unwrap_or_default(), one.op_str().unwrap_or_default());
    }
    Ok(Listing { symbol: function.symbol.to_owned(), body: body.finish() })
}
