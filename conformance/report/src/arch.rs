//! The processors of emulated machines.

use core::fmt;
use core::str::FromStr;

use serde::Serialize;

/// The processor of a machine that QEMU emulates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// 64-bit x86.
    #[serde(rename = "x86_64")]
    X86_64,
    /// 64-bit Arm.
    Aarch64,
    /// 64-bit RISC-V.
    Riscv64,
}

impl Arch {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 3] = [Self::X86_64, Self::Aarch64, Self::Riscv64];

    /// The name, as Rust's targets have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
            Self::Riscv64 => "riscv64",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// No processor of emulated machines has this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownArch {
    /// The name.
    pub name: String,
}

impl fmt::Display for UnknownArch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Arch::ALL.map(Arch::name).join(", ");
        write!(f, "no kernel is built for `{}`; use one of {known}", self.name)
    }
}

impl core::error::Error for UnknownArch {}

impl FromStr for Arch {
    type Err = UnknownArch;

    fn from_str(name: &str) -> Result<Self, UnknownArch> {
        let found = Self::ALL.into_iter().find(|arch| arch.name() == name);
        found.ok_or_else(|| UnknownArch { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::Arch;

    #[test]
    fn names_are_read_back() {
        for arch in Arch::ALL {
            assert_eq!(arch.name().parse(), Ok(arch));
        }
        let error = "sparc64".parse::<Arch>().unwrap_err().to_string();
        assert_eq!(error, "no kernel is built for `sparc64`; use one of x86_64, aarch64, riscv64");
    }
}
