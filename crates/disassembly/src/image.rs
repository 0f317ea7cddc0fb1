//! An ELF file: where its functions are, and which places have names.

use std::collections::BTreeMap;
use std::rc::Rc;

use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};

use crate::decode::Processor;
use crate::listing::{ListError, Listing};
use crate::places::{Function, Places};

/// An ELF file, read once.
pub struct Image<'e> {
    file: object::File<'e>,
    processor: Processor,
    /// Functions by name: address and length in bytes.
    functions: BTreeMap<String, (u64, u64)>,
    places: Rc<Places>,
}

impl<'e> Image<'e> {
    /// Reads the symbol table of an ELF file.
    ///
    /// # Errors
    ///
    /// [`ListError`] if it is no ELF file, or one for another processor than x86_64, aarch64 and riscv64.
    pub fn parse(elf: &'e [u8]) -> Result<Self, ListError> {
        let file = object::File::parse(elf).map_err(|error| ListError::NotElf { why: error.to_string() })?;
        let processor = Processor::of(file.architecture());
        let processor = processor.ok_or_else(|| ListError::OtherProcessor {
            architecture: format!("{:?}", file.architecture()),
        })?;
        let (mut functions, mut places) = (BTreeMap::new(), Places::default());
        for symbol in file.symbols().filter(object::ObjectSymbol::is_definition) {
            let Ok(name) = symbol.name() else { continue };
            if symbol.kind() == SymbolKind::Text {
                functions.insert(name.to_owned(), (symbol.address(), symbol.size()));
            }
            if matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Data) {
                places.insert(symbol.address(), symbol.size(), name);
            }
        }
        Ok(Self { file, processor, functions, places: Rc::new(places) })
    }

    /// The names of all functions, sorted.
    pub fn functions(&self) -> impl Iterator<Item = &str> {
        self.functions.keys().map(String::as_str)
    }

    /// The listing of a function.
    ///
    /// # Errors
    ///
    /// [`ListError`] if there is no such function, or its bytes are not instructions.
    pub fn listing(&self, symbol: &str) -> Result<Listing, ListError> {
        let missing = || ListError::NoFunction { symbol: symbol.to_owned() };
        let (start, size) = *self.functions.get(symbol).ok_or_else(missing)?;
        let code = self.bytes(start, size).filter(|code| !code.is_empty());
        let code = code.ok_or_else(|| ListError::NotCode { symbol: symbol.to_owned(), address: start })?;
        self.processor.listing(&Function { symbol, start, code }, &self.places)
    }

    /// The bytes of the file that are loaded at these addresses.
    fn bytes(&self, start: u64, len_bytes: u64) -> Option<&'e [u8]> {
        self.file.sections().find_map(|section| section.data_range(start, len_bytes).ok().flatten())
    }
}
