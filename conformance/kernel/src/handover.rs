//! The command line, whatever the firmware.

use sparsemem::ByteLen;

/// The options of the kernel: words of the form `name=value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CommandLine(&'static str);

impl CommandLine {
    /// The words of a line.
    pub(crate) const fn new(line: &'static str) -> Self {
        Self(line)
    }

    /// The value of a word; the last one counts.
    fn value(self, name: &str) -> Option<&'static str> {
        self.0.split_whitespace().filter_map(|word| word.strip_prefix(name)?.strip_prefix('=')).next_back()
    }

    /// The task; `look` by default.
    pub(crate) fn run(self) -> &'static str {
        self.value("run").unwrap_or("look")
    }

    /// The host's name for this machine.
    pub(crate) fn machine(self) -> &'static str {
        self.value("machine").unwrap_or("qemu")
    }

    /// `rounds=N`: how often DIMMs come and go in the story about many of them.
    pub(crate) fn rounds(self) -> Option<u64> {
        self.value("rounds")?.parse().ok()
    }

    /// `mem=SIZE`: the kernel does not use memory from this address on, as with Linux' option of this name. The size
    /// may end in `K`, `M` or `G`.
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
