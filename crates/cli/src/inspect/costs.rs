//! The memory that each backend takes on this machine.

use crate::inspection::{InspectedBackend, Inspection};
use comfy_table::{Cell, CellAlignment, Table};

use sparsemem_terminal::units::{bytes, share};
use sparsemem_terminal::{Colour, Screen};

/// The backends with their total bytes, lowest first.
pub(super) fn by_cost(inspection: &Inspection) -> Vec<(&'static str, u64)> {
    let backends = inspection.backends.iter();
    let mut costs: Vec<_> = backends.map(|(name, backend)| (*name, backend.total_bytes())).collect();
    costs.sort_by_key(|(_, total)| *total);
    costs
}

/// A row: its title, and the text for a backend, given the bytes of RAM.
type Row = (&'static str, fn(&InspectedBackend, u64) -> String);

const ROWS: [Row; 8] = [
    ("section table", |backend, _| amount(backend.table_bytes)),
    ("planes", |backend, _| amount(backend.plane_bytes)),
    ("usage", |backend, _| amount(backend.usage_bytes)),
    ("memmap", |backend, _| amount(backend.memmap_bytes)),
    ("page tables", |backend, _| amount(backend.page_table_bytes)),
    ("total", |backend, _| amount(backend.total_bytes())),
    ("until brought up", |backend, _| amount(backend.deferred_bytes.unwrap_or(0))),
    ("share of RAM", |backend, ram_bytes| share(backend.total_bytes(), ram_bytes)),
];

/// The table: a column per backend, the one with the fewest bytes in green.
pub(super) fn table(inspection: &Inspection, screen: &Screen) -> Table {
    let names = inspection.backends.keys().copied();
    let mut table = screen.table(&std::iter::once("cost").chain(names).collect::<Vec<_>>());
    let cheapest = by_cost(inspection).first().map(|(_, total)| *total);
    for (title, show) in ROWS {
        let cells = inspection.backends.values().map(|backend| {
            let text = show(backend, inspection.ram_bytes);
            let is_cheapest = cheapest == Some(backend.total_bytes());
            let cell = if is_cheapest { Colour::Green.cell(&text) } else { Cell::new(text) };
            cell.set_alignment(CellAlignment::Right)
        });
        table.add_row(std::iter::once(Cell::new(title)).chain(cells));
    }
    table
}

fn amount(count: u64) -> String {
    if count == 0 { "-".to_owned() } else { bytes(count) }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{machine, range, section, with_an_array};
    use super::{by_cost, table};
    use sparsemem_terminal::Screen;

    #[test]
    fn a_column_per_backend_with_total_and_share() {
        let ranges = vec![range(0, 128 << 20, "ram", None)];
        let inspection = with_an_array(machine(ranges, vec![section(0, !0)]));
        let text = table(&inspection, &Screen::plain(60)).to_string();
        let rows: Vec<String> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert!(rows.contains(&"cost a-table b-array".to_owned()), "{text}");
        assert!(rows.contains(&"section table 1 MiB 16 KiB".to_owned()), "{text}");
        assert!(rows.contains(&"usage - -".to_owned()), "{text}");
        assert!(rows.contains(&"total 3 MiB 2.03 MiB".to_owned()), "{text}");
        assert!(rows.contains(&"until brought up 1 MiB -".to_owned()), "{text}");
        assert!(rows.contains(&"share of RAM 2.34 % 1.58 %".to_owned()), "{text}");
        assert_eq!(by_cost(&inspection)[0].0, "b-array");
    }
}
