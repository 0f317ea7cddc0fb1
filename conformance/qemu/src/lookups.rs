//! The lookups inside the kernel's image are the intended instructions: nothing is called, and nothing is loaded that need
//! not be.

use std::path::Path;

use sparsemem_disassembly::{Image, ListError};

use sparsemem_any::Backend;
use sparsemem_report::{Outcome, Verdict};

/// The kernel's functions that consist of one lookup each; see `conformance/kernel/src/lookups.rs`.
const UNCHECKED: &str = "kernel_lookup_unchecked";
const CHECKED: &str = "kernel_lookup";

/// What a function may have at most, all its ways together.
#[derive(Clone, Copy, Debug)]
struct Budget {
    symbol: &'static str,
    instructions: usize,
    loads: usize,
}

/// The budgets of a backend. Unchecked: the word, and on its way a root; nothing where the address is arithmetic. Checked:
/// the word, the usage, its bits, and a root on the way; the guard is the caller's. The image is not optimised as a whole and its model lies anywhere,
/// which takes an instruction more than in `benches/codegen` on the tables.
const fn budgets(backend: Backend) -> [Budget; 2] {
    let (unchecked, checked) = match backend {
        Backend::ClassicSparse => ((9, 1), (28, 3)),
        Backend::SparseExtreme => ((12, 2), (35, 4)),
        Backend::Vmemmap => ((4, 0), (34, 4)),
    };
    [
        Budget { symbol: UNCHECKED, instructions: unchecked.0, loads: unchecked.1 },
        Budget { symbol: CHECKED, instructions: checked.0, loads: checked.1 },
    ]
}

/// Looks at an image.
pub(super) fn verdict(image: &Path, backend: Backend) -> Verdict {
    let read = std::fs::read(image).map_err(|error| format!("{}: {error}", image.display()));
    let looked = read.and_then(|elf| look(&elf, backend));
    match looked {
        Ok(()) => (Outcome::Passed, String::new()),
        Err(why) => (Outcome::Failed, why),
    }
}

/// Compares the functions of an image with their budgets.
fn look(elf: &[u8], backend: Backend) -> Result<(), String> {
    let words = |error: ListError| error.to_string();
    let image = Image::parse(elf).map_err(words)?;
    for Budget { symbol, instructions, loads } in budgets(backend) {
        let listing = image.listing(symbol).map_err(words)?;
        let found = (listing.instructions(), listing.loads(), listing.calls());
        if found.0 > instructions || found.1 > loads || found.2 > 0 {
            let (instructions_found, loads_found, calls) = found;
            return Err(format!(
                "{symbol} has {instructions_found} instructions, {loads_found} loads and {calls} calls; it may have \
                 {instructions}, {loads} and none\n{listing}"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::look;
    use sparsemem_any::Backend;

    #[test]
    fn what_is_no_image_or_has_no_lookups_is_said() {
        assert!(look(b"no image", Backend::Vmemmap).unwrap_err().contains("ELF"));
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(look(&own, Backend::Vmemmap).unwrap_err().contains("kernel_lookup_unchecked"));
    }
}
