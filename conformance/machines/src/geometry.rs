//! Geometries by name, and the geometry that a machine file is read with.

use core::fmt;
use core::str::FromStr;

use sparsemem_core::{Geometry, presets};
use sparsemem_log_reader::{Parsed, Processor};
use sparsemem_suite::Shape;

/// Declares the enum of geometries over the presets it names.
macro_rules! geometries {
    ($($variant:ident => $preset:ty),+ $(,)?) => {
        /// A geometry that machines can be booted with.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum GeometryName {
            $(#[doc = concat!("[`", stringify!($preset), "`](sparsemem_core::presets).")] $variant,)+
        }

        impl GeometryName {
            /// All geometries.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name that commands use: that of the preset.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => <$preset as Geometry>::NAME,)+
                }
            }

            /// Bits of a physical address.
            #[must_use]
            pub const fn physmem_bits(self) -> u32 {
                match self {
                    $(Self::$variant => <$preset as Geometry>::MAX_PHYSMEM_BITS,)+
                }
            }

            /// The raw numbers of the geometry.
            #[must_use]
            pub const fn shape(self) -> Shape {
                match self {
                    $(Self::$variant => Shape::of::<$preset>(),)+
                }
            }
        }
    };
}

geometries! {
    X86_64 => presets::X86_64,
    X86_64La57 => presets::X86_64La57,
    Arm64Page4K => presets::Arm64Page4K,
    Arm64Page16K => presets::Arm64Page16K,
    Arm64Page64K => presets::Arm64Page64K,
    Riscv64 => presets::Riscv64,
    Ppc64Page64K => presets::Ppc64Page64K,
}

/// Prefixes of file names, and their geometries; the first prefix that fits counts.
const PREFIXES: &[(&str, GeometryName)] = &[
    ("arm64-", GeometryName::Arm64Page4K),
    ("riscv-", GeometryName::Riscv64),
    ("ppc64le-", GeometryName::Ppc64Page64K),
];

impl GeometryName {
    /// The geometry for a machine file: by the processor and the size of frames that its log tells, else by the prefix of
    /// its name, else x86_64, with as many levels as the end of its memory needs.
    #[must_use]
    pub fn of_machine(file_name: &str, parsed: &Parsed) -> Self {
        let end = parsed.layout.memory_ranges().map(|(range, _)| range.end().get()).max().unwrap_or(0);
        let by_prefix = PREFIXES.iter().find(|(prefix, _)| file_name.starts_with(prefix));
        let foreign = match (parsed.processor, parsed.frame_bytes) {
            (Some(Processor::X86), _) => None,
            (Some(Processor::Arm64), Some(0x4000)) => Some(Self::Arm64Page16K),
            (Some(Processor::Arm64), Some(0x1_0000)) => Some(Self::Arm64Page64K),
            (Some(Processor::Arm64), _) => Some(Self::Arm64Page4K),
            (Some(Processor::Riscv64), _) => Some(Self::Riscv64),
            (Some(Processor::Ppc64), _) => Some(Self::Ppc64Page64K),
            _ => by_prefix.map(|(_, geometry)| *geometry),
        };
        foreign.unwrap_or(if end > 1 << Self::X86_64.physmem_bits() {
            Self::X86_64La57
        } else {
            Self::X86_64
        })
    }
}

impl GeometryName {
    /// A remark if the log counts in frames of another size than this geometry.
    pub(crate) fn other_frames(self, parsed: &Parsed) -> Option<String> {
        let (said, own) = (parsed.frame_bytes?, self.shape().page_bytes());
        (said != own).then(|| {
            let (said, own) = (said >> 10, own >> 10);
            format!("the log counts in frames of {said} KiB, and the geometry {self} in frames of {own} KiB; `--geometry` names another")
        })
    }
}

impl fmt::Display for GeometryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// No geometry has the given name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no geometry `{name}`; use one of {}", names())]
pub struct UnknownGeometry {
    /// The name that was given.
    pub name: String,
}

/// All names, for an error text.
fn names() -> String {
    GeometryName::ALL.iter().map(|geometry| geometry.name()).collect::<Vec<_>>().join(", ")
}

impl FromStr for GeometryName {
    type Err = UnknownGeometry;

    fn from_str(name: &str) -> Result<Self, UnknownGeometry> {
        let found = Self::ALL.iter().find(|geometry| geometry.name() == name);
        found.copied().ok_or_else(|| UnknownGeometry { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use sparsemem_log_reader::{Mode, parse};

    use super::*;

    /// The geometry of a file with some lines above early ranges of nodes.
    fn geometry(name: &str, lines: &str) -> GeometryName {
        let ranges = "Early memory node ranges\n  node   0: [mem 0x0000000040000000-0x00000000bfffffff]\n";
        GeometryName::of_machine(name, &parse(&format!("{lines}\n{ranges}"), Mode::Strict).unwrap())
    }

    #[test]
    fn what_a_log_says_counts_before_the_name_of_its_file() {
        let arm64 = "Booting Linux on physical CPU 0x0000000000 [0x410fd083]";
        assert_eq!(geometry("my.log", arm64), GeometryName::Arm64Page4K);
        assert_eq!(geometry("riscv-board.dmesg", arm64), GeometryName::Arm64Page4K);
        // 2 GiB in 131072 frames.
        let large = format!("{arm64}\nOn node 0 totalpages: 131072");
        assert_eq!(geometry("my.log", &large), GeometryName::Arm64Page16K);
        // In 32768.
        let larger = format!("{arm64}\nOn node 0 totalpages: 32768");
        assert_eq!(geometry("my.log", &larger), GeometryName::Arm64Page64K);
        // There is no geometry of riscv64 for that, so it is said.
        let other = "SBI specification v0.3 detected\nOn node 0 totalpages: 32768\nEarly memory node ranges\n  node   0: [mem 0x0000000040000000-0x00000000bfffffff]\n";
        let parsed = parse(other, Mode::Strict).unwrap();
        let said = GeometryName::of_machine("my.log", &parsed).other_frames(&parsed).unwrap();
        assert!(said.starts_with("the log counts in frames of 64 KiB, and the geometry riscv64"), "{said}");
        assert_eq!(geometry("my.log", "SBI specification v0.3 detected"), GeometryName::Riscv64);
        assert_eq!(geometry("my.log", ""), GeometryName::X86_64);
        assert_eq!(geometry("riscv-board.dmesg", ""), GeometryName::Riscv64);
    }
}
