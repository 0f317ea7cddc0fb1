//! Firmware tables that are broken, or say less than they could, on purpose. QEMU puts them in the place of its own, with a
//! right header.

/// The fields of an SRAT before its entries: a revision, and reserved bytes.
const HEAD: [u8; 12] = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// The type of an entry about memory, and its length.
const MEMORY: (u8, u8) = (1, 40);

/// A sound entry for 256 MiB, and one that says that it is longer than what is left of the table.
pub(super) fn overrun() -> Vec<u8> {
    let mut table = HEAD.to_vec();
    table.extend(memory(0, 0, 256 << 20));
    table.extend([MEMORY.0, MEMORY.1, 0, 0, 0, 0, 0, 0]);
    table
}

/// The first 384 MiB are domain 1's, but for the section in the middle, of which nothing is said.
pub(super) fn hole() -> Vec<u8> {
    const SECTION: u64 = 128 << 20;
    let mut table = HEAD.to_vec();
    table.extend(memory(1, 0, SECTION));
    table.extend(memory(1, 2 * SECTION, SECTION));
    table
}

/// An entry about memory of a proximity domain, enabled.
fn memory(domain: u32, base: u64, bytes: u64) -> Vec<u8> {
    let mut entry = vec![MEMORY.0, MEMORY.1];
    entry.extend(domain.to_le_bytes());
    entry.extend([0; 2]);
    entry.extend(base.to_le_bytes());
    entry.extend(bytes.to_le_bytes());
    entry.extend([0; 4]);
    entry.extend(1_u32.to_le_bytes());
    entry.extend([0; 8]);
    entry
}

#[cfg(test)]
mod tests {
    use super::{HEAD, MEMORY, hole, memory, overrun};

    #[test]
    fn entries_are_whole_but_for_the_broken_one() {
        assert_eq!(memory(0, 0, 1).len(), usize::from(MEMORY.1));
        assert_eq!(overrun().len(), HEAD.len() + usize::from(MEMORY.1) + 8);
        assert_eq!(hole().len(), HEAD.len() + 2 * usize::from(MEMORY.1));
    }
}
