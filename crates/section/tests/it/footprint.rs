//! The bytes that metadata takes, as sections and the roots of their entries come and go.

use sparsemem_core::presets::X86_64La57;
use sparsemem_core::{BootModel, MemoryModel, Page, PageCount, Pfn, PfnRange, SectionNr, SectionShape};
use sparsemem_machine::place;
use sparsemem_section::{Encoded, RootedTable, SectionEntry, SparseModel};

use crate::tables::{
    Alone, Flat, FlatEntries, MEMMAP, Model, NODE, ROOT, Rooted, on_both_tables, present, sections,
};
use sparsemem_fixture::Env;

/// A table with so many roots that four of them share a summary bit.
type Wide = SparseModel<RootedTable<X86_64La57, Page, { X86_64La57::NR_ROOTS_LEN }>, Encoded, Alone>;

/// Bytes of the entries of a root.
const ROOT_BYTES: u64 = ROOT * size_of::<SectionEntry<Page, X86_64La57>>() as u64;

fn every_section_takes_a_usage_and_a_memmap<M: Model>(env: &mut Env, model: &mut M) {
    let fresh = model.footprint();
    assert_eq!((fresh.usage_bytes, fresh.memmap_bytes, fresh.page_table_bytes), (0, 0, 0));
    let mut writer = model.write().unwrap();
    let mut usage = None;
    for (count, nr) in (1..).zip([0, 1, ROOT, 7 * ROOT + 5]) {
        writer.install(env, sections(nr, 1), NODE).unwrap();
        let now = model.footprint();
        let usage = *usage.get_or_insert(now.usage_bytes);
        assert!((8..4096).contains(&usage), "{usage}");
        assert_eq!((now.usage_bytes, now.memmap_bytes), (count * usage, count * MEMMAP));
        let counted = now.table_bytes - fresh.table_bytes + now.usage_bytes + now.memmap_bytes;
        assert_eq!(counted, env.bytes_out(), "what was allocated is counted, and nothing else");
    }
    let _ = writer.retire(env, sections(ROOT, 1)).unwrap();
    assert_eq!(model.footprint().memmap_bytes, 3 * MEMMAP);
}

#[test]
fn a_flat_table_is_as_large_as_it_will_be() {
    let mut env = Env::new();
    let model = place::<Flat>();
    let table = size_of::<FlatEntries>() as u64;
    assert_eq!(model.footprint().table_bytes, table);
    model.write().unwrap().install(&mut env, sections(ROOT, 1), NODE).unwrap();
    assert_eq!(model.footprint().table_bytes, table);
}

#[test]
fn roots_come_with_their_first_section_and_go_with_the_last() {
    let mut env = Env::new();
    let model = place::<Rooted>();
    let fresh = model.footprint().table_bytes;
    let roots = || (model.footprint().table_bytes - fresh) / ROOT_BYTES;
    assert_eq!(fresh, size_of::<RootedTable<sparsemem_core::presets::X86_64, Page, 2048>>() as u64);
    let mut writer = model.write().unwrap();
    let mut seen = Vec::new();
    for nr in [3, ROOT - 1, ROOT, 9 * ROOT] {
        writer.install(&mut env, sections(nr, 1), NODE).unwrap();
        seen.push(roots());
    }
    for nr in [3, 9 * ROOT, ROOT - 1, ROOT] {
        let _ = writer.retire(&mut env, sections(nr, 1)).unwrap();
        seen.push(roots());
    }
    assert_eq!(seen, [1, 1, 2, 3, 3, 2, 1, 0]);
    assert!(env.is_whole());
}

fn wide_section(nr: u64) -> PfnRange {
    let pages = X86_64La57::PAGES_PER_SECTION;
    PfnRange::from_start_count(Pfn::new(nr * pages), PageCount::new(pages)).unwrap()
}

/// Sections of the first and the last root of summary bits, and of both neighbours.
const SPREAD: [u64; 6] = [0, 3 * ROOT, 4 * ROOT + 1, 7 * ROOT, 8 * ROOT, 131_071 * ROOT + 255];

#[test]
fn sections_are_found_while_roots_with_the_same_summary_bit_go() {
    for gone in SPREAD {
        let mut env = Env::new();
        let mut model = place::<Wide>();
        for nr in SPREAD {
            model.write().unwrap().install(&mut env, wide_section(nr), NODE).unwrap();
        }
        let known = |model: &Wide| model.present_sections().map(SectionNr::get).collect::<Vec<_>>();
        assert_eq!(known(&model), SPREAD);
        let _ = model.write().unwrap().retire(&mut env, wide_section(gone)).unwrap();
        let rest: Vec<_> = SPREAD.into_iter().filter(|nr| *nr != gone).collect();
        assert_eq!(known(&model), rest);
        model.tear_down(&mut env).unwrap();
        assert!(env.is_whole() && known(&model).is_empty());
        assert_eq!(model.footprint(), place::<Wide>().footprint());
        // It can be used again, also where roots have gone.
        model.write().unwrap().install(&mut env, wide_section(gone), NODE).unwrap();
        assert_eq!(known(&model), [gone]);
    }
}

/// Sections that share a summary bit, and neighbours that do not.
fn sections_are_found_while_their_neighbours_go<M: Model>(_: &mut Env, _: &mut M) {
    let spread = [0, 1, 15, 16, 31, 255, 256, 1000];
    for gone in spread {
        let mut env = Env::new();
        let model = place::<M>();
        let mut writer = model.write().unwrap();
        for nr in spread {
            writer.install(&mut env, sections(nr, 1), NODE).unwrap();
        }
        let _ = writer.retire(&mut env, sections(gone, 1)).unwrap();
        let rest: Vec<_> = spread.into_iter().filter(|nr| *nr != gone).collect();
        assert_eq!(present(&*model), rest);
    }
}

on_both_tables!(every_section_takes_a_usage_and_a_memmap, sections_are_found_while_their_neighbours_go);
