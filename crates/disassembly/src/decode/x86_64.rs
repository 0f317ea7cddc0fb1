//! The instructions of x86_64.

use std::ops::Range;
use std::rc::Rc;

use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Formatter, InstructionInfoFactory, IntelFormatter, OpAccess,
    OpKind, Register, SymbolResolver, SymbolResult,
};

use crate::listing::{Instruction, ListError, Listing};
use crate::places::{Function, Places};

/// The listing of a function.
pub(super) fn listing(function: &Function<'_>, places: &Rc<Places>) -> Result<Listing, ListError> {
    let decoder = Decoder::with_ip(64, function.code, function.start, DecoderOptions::NONE);
    let mut instructions: Vec<_> = decoder.into_iter().collect();
    if let Some(bad) = instructions.iter().find(|instruction| instruction.code() == Code::INVALID) {
        return Err(ListError::NotCode { symbol: function.symbol.to_owned(), address: bad.ip() });
    }
    instructions.retain(|instruction| !is_padding(instruction));
    let own = function.own();
    let names = Names { own: own.clone(), symbol: function.symbol.to_owned(), places: Rc::clone(places) };
    let (mut formatter, mut infos) = (formatter(names), InstructionInfoFactory::new());
    let body = instructions.iter().map(|instruction| Instruction {
        text: text(&mut formatter, instruction),
        loads: loads(&mut infos, instruction),
        leaves: leaves(instruction, &own),
    });
    Ok(Listing { symbol: function.symbol.to_owned(), body: body.collect() })
}

/// True for what compilers put between functions, and before the targets of jumps, to align what follows.
fn is_padding(instruction: &iced_x86::Instruction) -> bool {
    instruction.mnemonic() == iced_x86::Mnemonic::Nop || instruction.code() == Code::Int3
}

/// True if control may go to another function and not come back by itself, or only later.
fn leaves(instruction: &iced_x86::Instruction, own: &Range<u64>) -> bool {
    match instruction.flow_control() {
        FlowControl::Call | FlowControl::IndirectCall | FlowControl::IndirectBranch => true,
        FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch => {
            !own.contains(&instruction.near_branch_target())
        }
        _ => false,
    }
}

/// Memory operands that are read, without the stack's.
fn loads(infos: &mut InstructionInfoFactory, instruction: &iced_x86::Instruction) -> usize {
    let reads = |access| {
        matches!(access, OpAccess::Read | OpAccess::CondRead | OpAccess::ReadWrite | OpAccess::ReadCondWrite)
    };
    let used = infos.info(instruction).used_memory();
    used.iter().filter(|memory| reads(memory.access()) && memory.base() != Register::RSP).count()
}

fn text(formatter: &mut IntelFormatter, instruction: &iced_x86::Instruction) -> String {
    let mut text = String::new();
    formatter.format(instruction, &mut text);
    text
}

fn formatter(names: Names) -> IntelFormatter {
    let mut formatter = IntelFormatter::with_options(Some(Box::new(names)), None);
    let options = formatter.options_mut();
    options.set_space_after_operand_separator(true);
    options.set_hex_prefix("0x");
    options.set_hex_suffix("");
    options.set_uppercase_hex(false);
    options.set_show_branch_size(false);
    formatter
}

/// Names addresses by the symbols of a file.
struct Names {
    /// The function that is listed: the linker may have given its bytes several names.
    own: Range<u64>,
    symbol: String,
    places: Rc<Places>,
}

impl SymbolResolver for Names {
    fn symbol(
        &mut self,
        instruction: &iced_x86::Instruction,
        _operand: u32,
        instruction_operand: Option<u32>,
        address: u64,
        _address_size: u32,
    ) -> Option<SymbolResult<'_>> {
        if self.own.contains(&address) {
            return Some(SymbolResult::with_str(self.own.start, &self.symbol));
        }
        let (start, name) = self.places.of(address)?;
        let kind = instruction_operand.and_then(|operand| instruction.try_op_kind(operand).ok());
        let is_number = !matches!(kind, Some(OpKind::Memory | OpKind::NearBranch64));
        // A number is an address only if it is exactly that of something: masks look like addresses in the middle.
        (!is_number || start == address).then(|| SymbolResult::with_str(start, name))
    }
}
