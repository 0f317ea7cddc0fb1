//! The machines that QEMU emulates.
//!
//! # Invariants
//!
//! 1. The machines do not depend on the host: software emulation, a fixed amount of memory, and only the named
//!    devices.

pub(super) mod virt;
pub(super) mod x86_64;

use sparsemem_report::Arch;

/// A machine that QEMU emulates.
#[derive(Clone, Copy, Debug)]
pub(super) struct QemuMachine {
    /// Its name in reports.
    pub(super) name: &'static str,
    /// Its purpose, in a few words.
    pub(super) about: &'static str,
    /// Its processor.
    pub(super) arch: Arch,
    /// QEMU's arguments, as typed in a shell.
    pub(super) args: &'static str,
    /// Words for the kernel's command line.
    pub(super) words: &'static [&'static str],
    /// The body of an SRAT that replaces QEMU's.
    pub(super) srat: Option<fn() -> Vec<u8>>,
}

/// Machines that run every scenario.
pub(super) fn for_scenarios() -> impl Iterator<Item = &'static QemuMachine> {
    x86_64::MACHINES.iter().chain(virt::MACHINES)
}

/// The machine for a look at a kernel.
pub(super) const fn to_look_at(arch: Arch) -> &'static QemuMachine {
    match arch {
        Arch::X86_64 => &x86_64::DIMMS_2_NODES,
        Arch::Aarch64 => &virt::AARCH64_DIMMS_2_NODES,
        Arch::Riscv64 => &virt::RISCV64_2_NODES,
    }
}

impl QemuMachine {
    /// A machine with the firmware tables and the command line of QEMU.
    const fn new(arch: Arch, name: &'static str, about: &'static str, args: &'static str) -> Self {
        Self { name, about, arch, args, words: &[], srat: None }
    }

    /// The rounds that it asks for in the story of many DIMMs, if it does.
    pub(super) fn rounds(&self) -> Option<usize> {
        self.words.iter().find_map(|word| word.strip_prefix("rounds=")?.parse().ok())
    }

    /// QEMU's arguments, with a kernel command line that includes `words`.
    pub(super) fn args(&self, words: &[String]) -> Vec<String> {
        let own = std::iter::once(format!("machine={}", self.name))
            .chain(self.words.iter().map(ToString::to_string));
        let line: Vec<String> = own.chain(words.iter().cloned()).collect();
        let args = self.args.split_whitespace().chain(["-append"]).map(ToOwned::to_owned);
        args.chain([line.join(" ")]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{for_scenarios, virt, x86_64};

    #[test]
    fn the_command_line_is_one_argument() {
        let args = x86_64::NO_MEMORY.args(&["run=look".to_owned()]);
        assert_eq!(args[args.len() - 2..], ["-append", "machine=qemu-q35-no-memory mem=0 run=look"]);
    }

    #[test]
    fn rounds_are_a_word_of_the_command_line() {
        assert_eq!(virt::AARCH64_FOUR_PROCESSORS_DIMMS.rounds(), Some(30));
        assert_eq!(x86_64::FOUR_PROCESSORS_DIMMS.rounds(), None);
    }

    #[test]
    fn names_are_unique() {
        for (nr, machine) in for_scenarios().enumerate() {
            assert!(for_scenarios().take(nr).all(|other| other.name != machine.name), "{}", machine.name);
        }
    }
}
