//! The table of a device's descriptors, in base pages and in large ones.

use comfy_table::{Cell, CellAlignment};
use sparsemem_terminal::Screen;
use sparsemem_terminal::units::bytes;

use crate::inspection::{InspectedDevice, Inspection};

/// The table, if a size of large pages was asked for.
pub(super) fn text(inspection: &Inspection, screen: &Screen) -> String {
    let Some(any) = inspection.backends.values().find_map(|backend| backend.device) else {
        return String::new();
    };
    let page = bytes(any.page_bytes);
    let names = inspection.backends.keys().copied();
    let mut table = screen.table(&std::iter::once("descriptors").chain(names).collect::<Vec<_>>());
    type Column = fn(InspectedDevice) -> Option<u64>;
    let rows: [(String, Column); 2] = [
        ("in base pages".to_owned(), |it| it.plain_bytes),
        (format!("in pages of {page}"), |it| it.folded_bytes),
    ];
    for (title, column) in rows {
        let amounts = inspection.backends.values().map(|backend| backend.device.and_then(column));
        let cells = amounts.map(|amount| {
            let text = amount.map_or_else(|| "-".to_owned(), bytes);
            Cell::new(text).set_alignment(CellAlignment::Right)
        });
        table.add_row(std::iter::once(Cell::new(title)).chain(cells));
    }
    let amount = bytes(any.bytes);
    let title = format!(
        "Memory for the descriptors of {amount} of a device's memory, with the page tables to them (-: the model refuses):"
    );
    format!("{}\n\n{table}", screen.wrap(&title, "").trim_end())
}

#[cfg(test)]
mod tests {
    use super::super::sample::{machine, range, section, with_an_array};
    use super::*;

    #[test]
    fn a_model_that_cannot_fold_has_a_dash() {
        let mut inspection =
            with_an_array(machine(vec![range(0, 128 << 20, "ram", None)], vec![section(0, !0)]));
        assert_eq!(text(&inspection, &Screen::plain(80)), "");
        let device = |folded_bytes| {
            Some(InspectedDevice {
                bytes: 1 << 30,
                page_bytes: 2 << 20,
                plain_bytes: Some(16 << 20),
                folded_bytes,
            })
        };
        inspection.backends.get_mut("a-table").unwrap().device = device(None);
        inspection.backends.get_mut("b-array").unwrap().device = device(Some(2 << 20));
        let text = text(&inspection, &Screen::plain(80));
        let rows: Vec<String> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert!(rows.contains(&"descriptors a-table b-array".to_owned()), "{text}");
        assert!(rows.contains(&"in base pages 16 MiB 16 MiB".to_owned()), "{text}");
        assert!(rows.contains(&"in pages of 2 MiB - 2 MiB".to_owned()), "{text}");
        assert!(text.contains("1 GiB of a device's memory"), "{text}");
    }
}
