//! The kind of processor that a kernel's log is from, by lines that only the kernels of one kind print.

use std::fmt;

/// A kind of processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Processor {
    /// A PC, of 32 or 64 bits.
    X86,
    /// 64-bit ARM.
    Arm64,
    /// 64-bit RISC-V.
    Riscv64,
    /// 64-bit PowerPC.
    Ppc64,
}

impl fmt::Display for Processor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::X86 => "x86",
            Self::Arm64 => "arm64",
            Self::Riscv64 => "riscv64",
            Self::Ppc64 => "ppc64",
        })
    }
}

/// The beginnings of messages by which kernels of one kind are known.
const BEGINNINGS: &[(&str, Processor)] = &[
    ("BIOS-e820: ", Processor::X86),
    ("BIOS-provided physical RAM map", Processor::X86),
    ("e820: ", Processor::X86),
    ("x86/", Processor::X86),
    ("CPU features: detected", Processor::Arm64),
    ("SBI specification v", Processor::Riscv64),
    ("riscv: ", Processor::Riscv64),
    ("Page orders: linear mapping", Processor::Ppc64),
    ("Page sizes from device-tree:", Processor::Ppc64),
    ("hash-mmu: ", Processor::Ppc64),
    ("radix-mmu: ", Processor::Ppc64),
];

/// The beginnings of the names of compilers that build for one kind.
const COMPILERS: &[(&str, Processor)] = &[
    ("x86_64-", Processor::X86),
    ("i686-", Processor::X86),
    ("aarch64-", Processor::Arm64),
    ("riscv64-", Processor::Riscv64),
    ("powerpc64-", Processor::Ppc64),
    ("powerpc64le-", Processor::Ppc64),
];

impl Processor {
    /// The kind that a message gives evidence of.
    pub(crate) fn said(message: &str) -> Option<Self> {
        let begins = |(beginning, _): &&(&str, Self)| message.starts_with(beginning);
        let by_beginning = BEGINNINGS.iter().find(begins).map(|(_, processor)| *processor);
        by_beginning.or_else(|| Self::of_first_line(message)).or_else(|| Self::of_compiler(message))
    }

    /// `Booting Linux on physical CPU 0x0000000000 [0x410fd083]`: kernels of 32 bits print fewer digits.
    fn of_first_line(message: &str) -> Option<Self> {
        let number = message.strip_prefix("Booting Linux on physical CPU 0x")?.split(' ').next()?;
        (number.len() == 10).then_some(Self::Arm64)
    }

    /// `Linux version 6.1.0 (a@b) (aarch64-linux-gnu-gcc ..`: a compiler is named after what it builds for.
    fn of_compiler(message: &str) -> Option<Self> {
        let words = message.strip_prefix("Linux version ")?.split([' ', '(', ')']);
        let of =
            |word: &str| COMPILERS.iter().find(|(name, _)| word.starts_with(name) && word.contains("cc"));
        words.filter(|word| word.len() > 10).find_map(of).map(|(_, processor)| *processor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_one_kind_of_kernel_tell_the_processor() {
        for (line, processor) in [
            ("BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable", Processor::X86),
            ("x86/PAT: Configuration [0-7]: WB  WC  UC- UC  WB  WP  UC- WT", Processor::X86),
            ("Booting Linux on physical CPU 0x0000000000 [0x410fd083]", Processor::Arm64),
            (
                "Linux version 5.15.0 (u@h) (aarch64-linux-gnu-gcc (GCC) 11.2.0, GNU ld) #1 SMP",
                Processor::Arm64,
            ),
            ("Linux version 4.9.0 (gcc version 6.3.0 (x86_64-pc-linux-gcc) ) #1", Processor::X86),
            ("SBI specification v0.2 detected", Processor::Riscv64),
            ("Page orders: linear mapping = 24, virtual = 16, io = 16, vmemmap = 24", Processor::Ppc64),
        ] {
            assert_eq!(Processor::said(line), Some(processor), "{line}");
        }
    }

    const ARM64: &str = "Booting Linux on physical CPU 0x0000000000 [0x410fd083]";
    const RANGES: &str =
        "Early memory node ranges\n  node   0: [mem 0x0000000040000000-0x00000000bfffffff]\n";

    /// The first lines of a boot stand before its map, and are not of the boot before it.
    #[test]
    fn the_boot_that_counts_has_its_own_processor() {
        let version = "Linux version 6.1.0 (u@h) (gcc version 12.2.0) #1 SMP";
        let processor = |text: &str| crate::parse(text, crate::Mode::Strict).unwrap().processor;
        let arm64 = format!("{ARM64}\n{version}\n{RANGES}");
        assert_eq!(processor(&arm64), Some(Processor::Arm64));
        assert_eq!(processor(&format!("{arm64}{arm64}")), Some(Processor::Arm64));
        let pc = format!("{version}\nx86/PAT: Configuration [0-7]: WB\n{RANGES}");
        assert_eq!(processor(&format!("{pc}{arm64}")), Some(Processor::Arm64));
        assert_eq!(processor(&format!("{arm64}{pc}")), Some(Processor::X86));
        // Whatever follows the last map is of its boot, also where another one seems to start.
        assert_eq!(processor(&format!("{version}\n{RANGES}{ARM64}\n")), Some(Processor::Arm64));
    }

    #[test]
    fn the_boot_that_counts_has_its_own_command_line() {
        let boot = |options| {
            format!(
                "Linux version 6.1.0 (u@h) (gcc) #1 SMP\nCommand line: {options}\nBIOS-provided physical RAM \
                 map:\nBIOS-e820: [mem 0x0000000000000000-0x000000003fffffff] usable\n"
            )
        };
        let (plain, cut) = (boot("quiet"), boot("mem=256M"));
        let contradictions = |text: &str| crate::parse(text, crate::Mode::Strict).unwrap().contradictions;
        let one = contradictions(&cut);
        assert_eq!((one.len(), contradictions(&plain).len()), (1, 0));
        assert_eq!(contradictions(&format!("{plain}{cut}")).len(), 1);
        assert_eq!(contradictions(&format!("{cut}{plain}")), []);
    }

    #[test]
    fn lines_that_several_kinds_print_tell_nothing() {
        for line in [
            "Booting Linux on physical CPU 0x0",
            "Linux version 5.4.0 (u@aarch64-builder) (gcc version 9.3.0) #1 SMP",
            "Linux version 6.1.0-aarch64-generic (u@h) (gcc version 9.3.0) #1 SMP",
            "Memory: 3985532K/4194304K available",
            "efi: EFI v2.70 by EDK II",
        ] {
            assert_eq!(Processor::said(line), None, "{line}");
        }
    }
}
