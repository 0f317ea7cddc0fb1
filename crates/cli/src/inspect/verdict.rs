//! Summarises the picture and the table in sentences.

use crate::inspection::Inspection;

use super::costs::by_cost;
use super::extents::sections;
use super::partial::partial;
use sparsemem_terminal::units::{bytes, counted, share};

/// The sentences.
pub(super) fn text(inspection: &Inspection) -> String {
    match sections(inspection).len() {
        0 => "No section is present: there is no RAM that this geometry can hold.".to_owned(),
        count => format!("{} {}", shape(inspection, count), cost(inspection)),
    }
}

fn shape(inspection: &Inspection, count: usize) -> String {
    let present = counted(count, "section");
    match partial(inspection).len() {
        0 if count == 1 => "Every subsection of the only section has memory.".to_owned(),
        0 => format!("Every subsection of the {present} has memory."),
        partial => format!("Of {present}, {partial} {} partial.", if partial == 1 { "is" } else { "are" }),
    }
}

fn cost(inspection: &Inspection) -> String {
    let costs = by_cost(inspection);
    let of_ram = |total| share(total, inspection.ram_bytes);
    match costs[..] {
        [] => String::new(),
        [(name, total)] => format!("{name} takes {}, {} of RAM.", bytes(total), of_ram(total)),
        [(name, total), .., (dearest, most)] => {
            let more = most - total;
            let start = format!("{name} is cheapest here: {}, {} of RAM", bytes(total), of_ram(total));
            if more == 0 {
                format!("{start}, as are the others.")
            } else {
                format!("{start}; {dearest} takes {} more.", bytes(more))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{machine, range, section, with_an_array};
    use super::text;

    #[test]
    fn the_cheapest_and_the_partial_ones_are_named() {
        let ranges = vec![range(0, 128 << 20, "ram", None)];
        let inspection = with_an_array(machine(ranges, vec![section(0, 1)]));
        assert_eq!(
            text(&inspection),
            "Of 1 section, 1 is partial. b-array is cheapest here: 2.03 MiB, 1.58 % of RAM; a-table takes \
             996 KiB more."
        );
    }

    #[test]
    fn one_backend_is_not_compared() {
        let ranges = vec![range(0, 256 << 20, "ram", None)];
        let inspection = machine(ranges, vec![section(0, !0), section(1, !0)]);
        assert_eq!(
            text(&inspection),
            "Every subsection of the 2 sections has memory. a-table takes 5 MiB, 1.95 % of RAM."
        );
    }

    #[test]
    fn no_ram_is_said() {
        assert!(text(&machine(vec![], vec![])).starts_with("No section is present"));
    }
}
