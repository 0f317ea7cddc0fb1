//! Geometries by name, and the geometry that a machine file is read with.

use core::fmt;
use core::str::FromStr;

use sparsemem_core::{Geometry, presets};
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
    /// The geometry for a machine file: by the prefix of its name, otherwise x86_64, with as many levels as the end
    /// of its memory needs.
    #[must_use]
    pub fn of_machine(file_name: &str, memory_end: u64) -> Self {
        let by_prefix = PREFIXES.iter().find(|(prefix, _)| file_name.starts_with(prefix));
        match by_prefix {
            Some((_, geometry)) => *geometry,
            None if memory_end > 1 << Self::X86_64.physmem_bits() => Self::X86_64La57,
            None => Self::X86_64,
        }
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
