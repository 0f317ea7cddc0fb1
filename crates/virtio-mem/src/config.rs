//! The configuration space of a device.
//!
//! # Invariants
//!
//! 1. A [`Config`] obeys the specification: its block size is a power of two, its other sizes are multiples of that,
//!    the usable part lies in the region, and no address wraps.
//!
//! Source: VIRTIO 1.2, 5.15.4 "Device configuration layout".

use sparsemem_core::{ByteLen, PhysAddr, PhysRange};

bitflags::bitflags! {
    /// The features of a memory device that driver and device agreed on.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Features: u64 {
        /// The device has a node: an ACPI proximity domain (`VIRTIO_MEM_F_ACPI_PXM`).
        const ACPI_PXM = 1 << 0;
        /// Unplugged memory must not be read (`VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE`). This driver never does.
        const UNPLUGGED_INACCESSIBLE = 1 << 1;
    }
}

/// A field of the configuration space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// `addr`.
    Address,
    /// `region_size`.
    RegionSize,
    /// `usable_region_size`.
    UsableSize,
    /// `plugged_size`.
    PluggedSize,
    /// `requested_size`.
    RequestedSize,
}

/// A configuration space that the specification forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The block size is not a power of two.
    #[error("the device has blocks of {block}, which is not a power of two")]
    BlockSize {
        /// The block size.
        block: ByteLen,
    },
    /// A field is not a multiple of the block size.
    #[error("{field:?} of the device is {value:#x}, which is not a multiple of its blocks of {block}")]
    NotMultiple {
        /// The field.
        field: Field,
        /// Its value.
        value: u64,
        /// The block size.
        block: ByteLen,
    },
    /// A field is larger than the one that limits it.
    #[error("{field:?} of the device is {value:#x}, more than {limit:?} allows, which is {most:#x}")]
    TooLarge {
        /// The field.
        field: Field,
        /// Its value.
        value: u64,
        /// The field that limits it.
        limit: Field,
        /// The value of that.
        most: u64,
    },
    /// The region ends beyond the last address.
    #[error("the device's region of {bytes} from {start} ends beyond the last physical address")]
    Wraps {
        /// The start of the region.
        start: PhysAddr,
        /// The size of the region.
        bytes: ByteLen,
    },
}

/// The device's description of its memory, as its configuration space has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    block: ByteLen,
    domain: Option<u16>,
    region: PhysRange,
    usable: PhysRange,
    plugged: ByteLen,
    requested: ByteLen,
}

impl Config {
    /// Bytes of the configuration space.
    pub const LEN: usize = 56;

    /// Reads a configuration space.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the device breaks the specification.
    pub fn decode(bytes: &[u8; Self::LEN], features: Features) -> Result<Self, ConfigError> {
        let word = |nr: usize| {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(bytes.iter().skip(nr * 8)) {
                *to = *from;
            }
            u64::from_le_bytes(word)
        };
        let (block, start) = (ByteLen::new(word(0)), PhysAddr::new(word(2)));
        if !block.get().is_power_of_two() {
            return Err(ConfigError::BlockSize { block });
        }
        let fields =
            [Field::Address, Field::RegionSize, Field::UsableSize, Field::PluggedSize, Field::RequestedSize];
        for (field, value) in fields.into_iter().zip((2..7).map(word)) {
            if value & (block.get() - 1) != 0 {
                return Err(ConfigError::NotMultiple { field, value, block });
            }
        }
        let [size, usable, plugged, requested] = [word(3), word(4), word(5), word(6)];
        at_most(Field::UsableSize, usable, Field::RegionSize, size)?;
        at_most(Field::PluggedSize, plugged, Field::UsableSize, usable)?;
        at_most(Field::RequestedSize, requested, Field::UsableSize, usable)?;
        let range = |bytes| {
            let bytes = ByteLen::new(bytes);
            PhysRange::from_start_count(start, bytes).ok_or(ConfigError::Wraps { start, bytes })
        };
        // The low bytes of the second word are the node, and the others padding.
        let [d0, d1, ..] = word(1).to_le_bytes();
        let domain = features.contains(Features::ACPI_PXM).then_some(u16::from_le_bytes([d0, d1]));
        let (region, usable) = (range(size)?, range(usable)?);
        Ok(Self {
            block,
            domain,
            region,
            usable,
            plugged: ByteLen::new(plugged),
            requested: ByteLen::new(requested),
        })
    }

    /// Size and alignment of the blocks that the device plugs.
    #[must_use]
    pub const fn block(&self) -> ByteLen {
        self.block
    }

    /// The ACPI proximity domain of the memory, which the kernel translates to a node; `None` if the device has none.
    #[must_use]
    pub const fn proximity_domain(&self) -> Option<u16> {
        self.domain
    }

    /// All addresses that the device may ever plug memory at.
    #[must_use]
    pub const fn region(&self) -> PhysRange {
        self.region
    }

    /// The part of the region at which the device plugs memory now. It begins where the region does.
    #[must_use]
    pub const fn usable(&self) -> PhysRange {
        self.usable
    }

    /// Bytes that are plugged.
    #[must_use]
    pub const fn plugged(&self) -> ByteLen {
        self.plugged
    }

    /// Bytes that the device wants to be plugged.
    #[must_use]
    pub const fn requested(&self) -> ByteLen {
        self.requested
    }
}

fn at_most(field: Field, value: u64, limit: Field, most: u64) -> Result<(), ConfigError> {
    if value <= most { Ok(()) } else { Err(ConfigError::TooLarge { field, value, limit, most }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    /// 2 MiB blocks, node 3 with rubbish in the padding, 1 GiB at 4 GiB of which half is usable, 64 MiB of 128 plugged.
    const WORDS: [u64; 7] =
        [2 * MIB, 0xabcd_0000_0003, 4096 * MIB, 1024 * MIB, 512 * MIB, 64 * MIB, 128 * MIB];

    fn decode(words: [u64; 7], features: Features) -> Result<Config, ConfigError> {
        let mut bytes = [0; Config::LEN];
        for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        Config::decode(&bytes, features)
    }

    #[test]
    fn fields_are_where_the_specification_has_them() {
        let config = decode(WORDS, Features::ACPI_PXM).unwrap();
        assert_eq!((config.block().get(), config.proximity_domain()), (2 * MIB, Some(3)));
        assert_eq!((config.region().start().get(), config.region().count().get()), (4096 * MIB, 1024 * MIB));
        assert_eq!((config.usable().start().get(), config.usable().count().get()), (4096 * MIB, 512 * MIB));
        assert_eq!((config.plugged().get(), config.requested().get()), (64 * MIB, 128 * MIB));
        // Without the feature the node has no meaning.
        assert_eq!(decode(WORDS, Features::UNPLUGGED_INACCESSIBLE).unwrap().proximity_domain(), None);
    }

    #[test]
    fn what_the_specification_forbids_is_named() {
        let with = |nr: usize, value| {
            let mut words = WORDS;
            words[nr] = value;
            decode(words, Features::empty()).unwrap_err()
        };
        for block in [0, 3 * MIB].map(ByteLen::new) {
            assert_eq!(with(0, block.get()), ConfigError::BlockSize { block });
        }
        let fields =
            [Field::Address, Field::RegionSize, Field::UsableSize, Field::PluggedSize, Field::RequestedSize];
        for (nr, wanted) in fields.into_iter().enumerate() {
            let error = with(nr + 2, MIB);
            assert!(matches!(error, ConfigError::NotMultiple { field, .. } if field == wanted), "{error}");
        }
        for (nr, wanted) in [(4, Field::UsableSize), (5, Field::PluggedSize), (6, Field::RequestedSize)] {
            let error = with(nr, 2048 * MIB);
            assert!(matches!(error, ConfigError::TooLarge { field, .. } if field == wanted), "{error}");
        }
        assert!(matches!(with(2, u64::MAX - 2 * MIB + 1), ConfigError::Wraps { .. }));
    }
}
