//! What the kernel is asked to do: words `name=value` on its command line.

use sparsemem::ByteLen;

/// The command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CommandLine(&'static str);

impl CommandLine {
    /// The line that the loader passed on.
    pub(crate) const fn new(line: &'static str) -> Self {
        Self(line)
    }

    /// The value of a word; the last one counts.
    pub(crate) fn value(self, name: &str) -> Option<&'static str> {
        self.0.split_whitespace().filter_map(|word| word.strip_prefix(name)?.strip_prefix('=')).next_back()
    }

    /// What to run: `look` if nothing is said.
    pub(crate) fn run(self) -> &'static str {
        self.value("run").unwrap_or("look")
    }

    /// The name that the host has for this machine.
    pub(crate) fn machine(self) -> &'static str {
        self.value("machine").unwrap_or("qemu")
    }

    /// `mem=SIZE`: memory from this address on is left alone, as with Linux' option of this name. The size may end in
    /// `K`, `M` or `G`.
    pub(crate) fn memory_limit(self) -> Option<ByteLen> {
        let value = self.value("mem")?;
        let digits = value.trim_end_matches(['K', 'M', 'G']);
        let shift = match value.strip_prefix(digits)? {
            "" => 0,
            "K" => 10,
            "M" => 20,
            "G" => 30,
            _ => return None,
        };
        digits.parse::<u64>().ok()?.checked_mul(1 << shift).map(ByteLen::new)
    }
}
