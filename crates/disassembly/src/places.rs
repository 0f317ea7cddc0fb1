//! The named places of a program, and the function that is listed.

use std::collections::BTreeMap;
use std::ops::Range;

/// A function in a file.
pub(crate) struct Function<'f> {
    /// Its name.
    pub(crate) symbol: &'f str,
    /// The address of its first byte.
    pub(crate) start: u64,
    /// Its bytes.
    pub(crate) code: &'f [u8],
}

impl Function<'_> {
    /// The addresses of its bytes.
    pub(crate) const fn own(&self) -> Range<u64> {
        self.start..self.start + self.code.len() as u64
    }
}

/// Named places of a program.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// The places by first address: length in bytes, and name.
    by_start: BTreeMap<u64, (u64, String)>,
}

impl Places {
    pub(crate) fn insert(&mut self, start: u64, len_bytes: u64, name: &str) {
        self.by_start.insert(start, (len_bytes, name.to_owned()));
    }

    /// The place that has the byte at `address`: where it begins, and its name. One without a length is a byte long.
    pub(crate) fn of(&self, address: u64) -> Option<(u64, &str)> {
        let (start, (len_bytes, name)) = self.by_start.range(..=address).next_back()?;
        (address - start < (*len_bytes).max(1)).then_some((*start, name.as_str()))
    }
}
