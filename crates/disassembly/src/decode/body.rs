//! Counts and names what a decoder wrote: the text of each instruction is a mnemonic and operands.
//!
//! # Invariants
//!
//! 1. An upper part is forgotten when its register gets something else, so that a name in a listing is that of the address
//!    that the processor uses. (A register that got its part on another way than the one before is not seen; names only
//!    make listings readable, and counts do not depend on them.)

use std::collections::BTreeMap;
use std::ops::Range;

use super::risc::{Flow, Syntax};
use crate::listing::Instruction;
use crate::places::{Function, Places};

/// The instructions of a function, as far as they were read.
pub(super) struct Body<'b> {
    syntax: &'b Syntax,
    function: &'b Function<'b>,
    places: &'b Places,
    /// Registers that have the upper part of an address: the part, and the instruction that made it.
    uppers: BTreeMap<String, (u64, usize)>,
    instructions: Vec<Instruction>,
}

impl<'b> Body<'b> {
    pub(super) const fn new(syntax: &'b Syntax, function: &'b Function<'b>, places: &'b Places) -> Self {
        Self { syntax, function, places, uppers: BTreeMap::new(), instructions: Vec::new() }
    }

    pub(super) fn finish(self) -> Vec<Instruction> {
        self.instructions
    }

    /// The next instruction.
    pub(super) fn add(&mut self, at: u64, mnemonic: &str, operands: &str) {
        // What compilers put between functions, and before the targets of jumps, to align what follows.
        if matches!(mnemonic, "nop" | "c.nop") {
            return;
        }
        let is_load = (self.syntax.is_load)(mnemonic) && !operands.contains(self.syntax.on_stack);
        let (operands, leaves) = match (self.syntax.flow)(mnemonic, operands) {
            Flow::To => self.branch(at, operands),
            Flow::Anywhere => (operands.to_owned(), true),
            Flow::On => (self.with_address(at, mnemonic, operands), false),
        };
        let text = format!("{mnemonic} {operands}").trim_end().to_owned();
        self.instructions.push(Instruction { text, loads: usize::from(is_load), leaves });
    }

    /// The operands of a branch, with the name of its target, and whether that is outside the function.
    fn branch(&self, at: u64, operands: &str) -> (String, bool) {
        let Some((place, number)) = last_number(operands) else { return (operands.to_owned(), true) };
        let target = (self.syntax.target)(number, at);
        let name = self.name(target).unwrap_or_else(|| format!("{target:#x}"));
        (replaced(operands, place, &name), !self.function.own().contains(&target))
    }

    /// The operands of another instruction, with the name of an address that they complete.
    fn with_address(&mut self, at: u64, mnemonic: &str, operands: &str) -> String {
        let first = registers(operands).next().unwrap_or_default();
        if mnemonic == self.syntax.upper {
            let part = last_number(operands).map_or(at, |(_, number)| (self.syntax.upper_part)(number, at));
            self.uppers.insert(first.to_owned(), (part, self.instructions.len()));
            return operands.to_owned();
        }
        let completed = self.completed(operands);
        if !mnemonic.trim_start_matches("c.").starts_with('s') {
            self.uppers.remove(first);
        }
        let Some((name, maker)) = completed else { return operands.to_owned() };
        if let Some(maker) = self.instructions.get_mut(maker)
            && let Some((place, _)) = last_number(&maker.text)
        {
            maker.text = replaced(&maker.text, place, &name);
        }
        match last_number(operands) {
            Some((place, _)) => replaced(operands, place, &name),
            None => operands.replace(']', &format!(", {name}]")),
        }
    }

    /// The name of the address that operands complete, and the instruction that made its upper part.
    fn completed(&self, operands: &str) -> Option<(String, usize)> {
        let number = last_number(operands);
        if number.is_none() && !operands.contains('[') {
            return None;
        }
        let (part, maker) = *self.uppers.get(registers(operands).last()?)?;
        let address = part.wrapping_add(number.map_or(0, |(_, number)| number));
        Some((self.name(address)?, maker))
    }

    /// An address by the name of the place that has it, the function itself first: the linker may have given its bytes
    /// several names.
    fn name(&self, address: u64) -> Option<String> {
        let own = self.function.own();
        let own = own.contains(&address).then_some((own.start, self.function.symbol));
        let (start, name) = own.or_else(|| self.places.of(address))?;
        Some(if start == address { name.to_owned() } else { format!("{name}+{:#x}", address - start) })
    }
}

/// The words of operands: registers, numbers with their signs, and what shifts and widens.
fn words(operands: &str) -> impl Iterator<Item = (Range<usize>, &str)> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let starts = move |&(at, c): &(usize, char)| {
        is_word(c) && !operands.get(..at).is_some_and(|before| before.ends_with(is_word))
    };
    operands.char_indices().filter(starts).map(move |(at, _)| {
        let rest = operands.get(at..).unwrap_or_default();
        let word = rest.split(|c| !is_word(c)).next().unwrap_or_default();
        (at..at + word.len(), word)
    })
}

/// The words that are registers.
fn registers(operands: &str) -> impl Iterator<Item = &str> {
    words(operands).map(|(_, word)| word).filter(|word| word.starts_with(|c: char| c.is_ascii_alphabetic()))
}

/// The last number of operands and its place; negative ones wrap.
fn last_number(operands: &str) -> Option<(Range<usize>, u64)> {
    let numbers = words(operands).filter_map(|(place, word)| {
        let plain = word.trim_start_matches('-');
        let number = match plain.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => plain.parse(),
        };
        let number = number.ok()?;
        Some((place, if word.starts_with('-') { number.wrapping_neg() } else { number }))
    });
    numbers.last()
}

fn replaced(text: &str, place: Range<usize>, name: &str) -> String {
    let mut text = text.to_owned();
    // The decoder of arm64 marks numbers.
    let start =
        place.start - usize::from(text.get(..place.start).is_some_and(|before| before.ends_with('#')));
    text.replace_range(start..place.end, name);
    text
}

#[cfg(test)]
mod tests {
    use super::super::risc::{AARCH64, RISCV64, listing};
    use crate::listing::{ListError, Listing};
    use crate::places::{Function, Places};

    const START: u64 = 0xffff_8000_8000_1000;

    fn places() -> Places {
        let mut places = Places::default();
        places.insert(START, 64, "probe");
        places.insert(START + 0x100, 4, "other");
        places.insert(START + 0x2010, 64, "TABLE");
        places
    }

    fn arm(words: &[u32]) -> Result<Listing, ListError> {
        let code: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        listing(&AARCH64, &Function { symbol: "probe", start: START, code: &code }, &places())
    }

    fn riscv(code: &[u8]) -> Result<Listing, ListError> {
        listing(&RISCV64, &Function { symbol: "probe", start: START, code }, &places())
    }

    fn texts(listing: &Listing) -> Vec<&str> {
        listing.body().iter().map(|instruction| instruction.text.as_str()).collect()
    }

    #[test]
    fn aarch64_names_both_parts_of_an_address() {
        // adrp x8, 2 pages on; ldr x8, [x8, #0x18]; ldar x9, [x8]; ldr x0, [sp, #8]; nop; cbz x0, to the return; b other; ret
        let code = [
            0xd000_0008,
            0xf940_0d08,
            0xc8df_fd09,
            0xf940_07e0,
            0xd503_201f,
            0xb400_0040,
            0x1400_003a,
            0xd65f_03c0,
        ];
        let listing = arm(&code).unwrap();
        let expected = [
            "adrp x8, TABLE+0x8",
            "ldr x8, [x8, TABLE+0x8]",
            "ldar x9, [x8]",
            "ldr x0, [sp, #8]",
            "cbz x0, probe+0x1c",
            "b other",
            "ret",
        ];
        assert_eq!(texts(&listing), expected);
        assert_eq!((listing.instructions(), listing.loads(), listing.calls()), (7, 2, 1));
    }

    #[test]
    fn riscv64_is_read_with_compressed_instructions() {
        // auipc a1, 2; addi a1, a1, 16; c.ld a0, 0(a1); c.ldsp a2, 8(sp); c.beqz a0, 4; c.jr ra; jal other; c.jr a0
        let code = [
            0x97, 0x25, 0, 0, 0x93, 0x85, 0x05, 0x01, 0x88, 0x61, 0x22, 0x66, 0x11, 0xc1, 0x82, 0x80, 0xef,
            0, 0, 0x0f, 0x02, 0x85,
        ];
        let listing = riscv(&code).unwrap();
        let expected = [
            "auipc a1, TABLE",
            "addi a1, a1, TABLE",
            "c.ld a0, 0(a1)",
            "c.ldsp a2, 8(sp)",
            "c.beqz a0, probe+0x10",
            "c.jr ra",
            "jal other",
            "c.jr a0",
        ];
        assert_eq!(texts(&listing), expected);
        assert_eq!((listing.instructions(), listing.loads(), listing.calls()), (8, 1, 2));
    }

    #[test]
    fn a_number_is_no_address_without_its_upper_part() {
        // ldr x8, [x9, #0x10]; then adrp x9, which is overwritten before it is used.
        let listing = arm(&[0xf940_0928, 0xd000_0009, 0xaa00_03e9, 0xf940_0928, 0xd65f_03c0]).unwrap();
        assert!(texts(&listing).iter().all(|text| !text.contains("TABLE")), "{listing}");
    }

    #[test]
    fn what_is_no_instruction_is_named_by_its_address() {
        let wrong = arm(&[0xd65f_03c0, 0xffff_ffff]).unwrap_err();
        assert_eq!(wrong, ListError::NotCode { symbol: "probe".to_owned(), address: START + 4 });
        // Half an instruction.
        assert!(matches!(riscv(&[0x97, 0x25]), Err(ListError::NotCode { .. })));
    }
}
