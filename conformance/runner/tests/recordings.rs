//! Recordings of Linux, on every backend; and recordings that are wrong, each of which is found out.

use rstest::rstest;
use sparsemem_any::Backend;
use sparsemem_conformance::linux::{all, folder, parse, replay};
use sparsemem_conformance::{Filter, FilterError, Here, cells, run};
use sparsemem_replay::{Difference, Recording, RecordingError, ReplayError};
use sparsemem_report::Outcome;

/// The backends that recordings are replayed on, and that have something.
fn backends(has: impl Fn(Backend) -> bool) -> impl Iterator<Item = Backend> {
    sparsemem_conformance::linux::backends().filter(move |backend| has(*backend))
}

/// The text of a recording of the folder.
fn text(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap()
}

/// A recording of the folder with one place changed, and a list of differences.
fn doctored(name: &str, from: &str, to: &str, expectations: &str) -> Recording {
    let text = text(name);
    assert!(text.contains(from), "{name} has no {from}");
    parse(name, &text.replacen(from, to, 1), expectations).unwrap()
}

/// The differences that a replay shows.
fn differences(recording: &Recording, backend: Backend) -> Vec<Difference> {
    match replay(recording, backend) {
        Err(ReplayError::Different { differences }) => differences,
        other => panic!("{other:?}"),
    }
}

/// The one difference that a replay shows, in words.
fn the_difference(recording: &Recording, backend: Backend) -> String {
    let found = differences(recording, backend);
    assert_eq!(found.len(), 1, "{found:#?}");
    found[0].to_string()
}

/// Every recording of the folder.
#[test]
fn replays() {
    for (recording, backend) in everywhere() {
        match replay(&recording, backend) {
            Ok(replayed) => assert_eq!(replayed.steps, recording.steps()),
            Err(error) => panic!("{backend}: {error}"),
        }
    }
}

/// Every recording of the folder on every backend.
fn everywhere() -> impl Iterator<Item = (Recording, Backend)> {
    let on_all = |recording: Recording| backends(|_| true).map(move |backend| (recording.clone(), backend));
    all().unwrap().into_iter().flat_map(on_all)
}

#[test]
fn the_default_run_has_them_all_on_every_backend() {
    let cells = cells(&Filter { scenarios: vec!["linux/*".to_owned()], ..Filter::default() }).unwrap();
    let all: Vec<Recording> = all().unwrap();
    let backends = Backend::ALL.len();
    // After the recordings, all of them together.
    assert_eq!((all.len(), cells.len()), (23, (23 + 1) * backends));
    for (cells, recording) in cells.chunks(backends).zip(&all) {
        assert_eq!(cells[0].machine.name, recording.name());
        assert_eq!(cells[0].scenario, recording.scenario());
        assert_eq!(cells.iter().map(|cell| cell.backend).collect::<Vec<_>>(), Backend::ALL);
    }
    let (first, about_all) = (&cells[..1], &cells[all.len() * backends..]);
    let report = run(about_all, vec![Here], &|_| ());
    for (cell, result) in about_all.iter().zip(&report.results) {
        let expected = if cell.backend.is_sparse() { Outcome::Passed } else { Outcome::NotApplicable };
        assert_eq!((result.scenario.as_str(), result.outcome), ("linux/rules", expected));
    }
    let result = &run(first, vec![Here], &|_| ()).results[0];
    assert_eq!((result.outcome, result.machine.as_str()), (Outcome::Passed, "altmap-700m.json"));
}

#[test]
fn a_named_recording_runs_alone() {
    let filter = Filter { recordings: vec!["dimm-1g.json".into()], ..Filter::default() };
    assert_eq!(cells(&filter).unwrap().len(), Backend::ALL.len());
    let filter = Filter { recordings: vec!["no-such.json".into()], ..Filter::default() };
    let error = cells(&filter).unwrap_err();
    assert!(matches!(error, FilterError::Recording(RecordingError::Unreadable { .. })));
    let filter = Filter { machines: vec!["x86-kvm-bochs-512m.dmesg".into()], ..Filter::default() };
    assert!(cells(&filter).unwrap().iter().all(|cell| !cell.scenario.starts_with("linux/")));
}

#[rstest]
// A flag, a bit, a usage, a memmap, a section; on every backend.
#[case::flag(
    "[32,3,\"ffffffffffffffff\",0,1]",
    "[32,7,\"ffffffffffffffff\",0,1]",
    "step 1 (add_memory [0x100000, 0x140000)), section 32 flags: expected PRESENT | HAS_MEM_MAP | ONLINE, found \
     PRESENT | HAS_MEM_MAP"
)]
#[case::bit(
    "[39,7,\"ffffffffffffffff\",0,1]",
    "[39,7,\"ffffffffefffffff\",0,1]",
    "step 2 (online [0x138000, 0x140000); online [0x130000, 0x138000)), section 39 subsections: expected \
     ffffffffefffffff, found ffffffffffffffff"
)]
#[case::tag(
    "tag 128512..129024 type=12 id=1",
    "tag 128512..129023 type=12 id=1",
    "step 6 (remove_memory [0x100000, 0x140000)), section 1 bootmem pages: expected 511, found 512"
)]
#[case::resource(
    "\"100000000-13fffffff : System RAM\"",
    "\"100000000-137ffffff : System RAM\"",
    "step 1 (add_memory [0x100000, 0x140000)), ram 0x100000000: expected to 0x138000000, found to 0x140000000"
)]
fn what_is_not_as_recorded_is_named(#[case] from: &str, #[case] to: &str, #[case] said: &str) {
    let recording = doctored("dimm-1g.json", from, to, "");
    for backend in backends(|_| true) {
        assert_eq!(the_difference(&recording, backend), format!("dimm-1g.json, {said}"), "{backend}");
    }
}

#[test]
fn a_node_without_data_is_named() {
    let recording = doctored("dimm-1g.json", ",\"tag 130563..130606 type=14 id=0\"", "", "");
    for backend in backends(|_| true) {
        let what: Vec<_> =
            differences(&recording, backend).into_iter().map(|it| (it.what, it.expected)).collect();
        let wanted = [("node 0 bootmem pages", "nothing"), ("bootmem types", "12, 13")];
        assert_eq!(what, wanted.map(|(what, expected)| (what.to_owned(), expected.to_owned())));
    }
}

#[test]
fn a_section_that_is_not_there_is_named() {
    let recording =
        doctored("dimm-1g.json", "[3,15,\"ffffffffffffffff\",0,1]", "[9,15,\"ffffffffffffffff\",0,1]", "");
    for backend in backends(|_| true) {
        let what: Vec<_> =
            differences(&recording, backend).into_iter().map(|it| (it.what, it.found)).collect();
        assert!(what.contains(&("section 9 flags".to_owned(), "nothing".to_owned())), "{what:?}");
        assert!(
            what.contains(&("section 3 subsections".to_owned(), "ffffffffffffffff".to_owned())),
            "{what:?}"
        );
    }
}

#[test]
fn usages_and_memmaps_are_compared_without_maps_too() {
    let name = "novmemmap-numa-2.json";
    let usage = doctored(name, "[0,15,null,526385152,1]", "[0,15,null,526385152,0]", "");
    let memmap = doctored(name, "[0,15,null,526385152,1]", "[0,15,null,null,1]", "");
    for backend in backends(|_| true) {
        let what: Vec<_> = differences(&usage, backend).into_iter().map(|it| it.what).collect();
        assert_eq!(what, ["section 0 usage", "usages"]);
        let said = the_difference(&memmap, backend);
        assert!(said.ends_with("section 0 memmap: expected nothing, found there"), "{said}");
    }
}

#[test]
fn a_wrong_word_counts_where_words_lead_into_an_array() {
    let (from, to) = ("[32,3,\"ffffffffffffffff\",0,1]", "[32,3,\"ffffffffffffffff\",64,1]");
    let recording = doctored("dimm-1g.json", from, to, "");
    for backend in backends(Backend::has_array) {
        let said = the_difference(&recording, backend);
        assert!(said.ends_with("section 32 memmap: expected base + 0x40, found base + 0x0"), "{said}");
    }
    assert!(backends(|backend| !backend.has_array()).all(|backend| replay(&recording, backend).is_ok()));
}

#[test]
fn a_wrong_mapping_is_named() {
    let size = doctored("dimm-1g.json", "[67108864,83886080,2097152]", "[67108864,83886080,4096]", "");
    let place =
        doctored("two-pmem-no-ram.json", "[134250496,134348800,4096]", "[134250496,134352896,4096]", "");
    for backend in backends(Backend::has_array) {
        let said = the_difference(&size, backend);
        assert!(
            said.contains("step 1 ") && said.contains("vmemmap 0x4000000: expected to 0x5000000 in 4 KiB"),
            "{said}"
        );
        assert!(said.ends_with("found to 0x5000000 in 2 MiB"), "{said}");
        let said = the_difference(&place, backend);
        assert!(said.contains("vmemmap 0x8008000"), "{said}");
    }
    let mut without = backends(|backend| !backend.has_array());
    assert!(without.all(|backend| replay(&size, backend).is_ok()), "a table has no mappings");
}

#[test]
fn a_wrong_place_in_a_device_is_named() {
    let recording =
        doctored("altmap-700m.json", "[14680064,23068672,809500672]", "[14680064,23068672,811597824]", "");
    for backend in backends(|_| true) {
        let found = differences(&recording, backend);
        assert_eq!(found.len(), 4, "sections 7 to 10: {found:#?}");
        assert_eq!((found[0].step, found[0].what.as_str()), (3, "section 7 altmap"));
        assert_eq!(
            (found[0].expected.as_str(), found[0].found.as_str()),
            ("0-63 at 0x30600000", "0-63 at 0x30400000")
        );
    }
}

#[test]
fn a_wrong_root_counts_where_there_are_roots() {
    let recording = doctored("dimm-1g.json", "\"roots\":[0]", "\"roots\":[0,5]", "");
    for backend in backends(Backend::has_roots) {
        let said = the_difference(&recording, backend);
        assert!(said.ends_with("roots: expected 0, 2, found 0"), "{said}");
    }
    assert!(backends(|backend| !backend.has_roots()).all(|backend| replay(&recording, backend).is_ok()));
}

/// A list with one entry, for the flag that `doctored` makes wrong below.
fn entry(step: u32, actual: &str, backends: &str) -> String {
    format!(
        "[[difference]]\nfile = \"dimm-1g.json\"\nstep = {step}\n{backends}\nwhat = \"section 32 flags\"\nexpected = \
         \"PRESENT | HAS_MEM_MAP | ONLINE\"\nactual = \"{actual}\"\nreason = \"a test\"\n"
    )
}

#[test]
fn what_is_explained_passes_and_what_is_explained_wrongly_does_not() {
    let (from, to) = ("[32,3,\"ffffffffffffffff\",0,1]", "[32,7,\"ffffffffffffffff\",0,1]");
    let with = |list: &str| doctored("dimm-1g.json", from, to, list);
    let right = with(&entry(1, "PRESENT | HAS_MEM_MAP", ""));
    for backend in backends(|_| true) {
        assert_eq!(replay(&right, backend).map(|it| it.explained), Ok(1));
    }
    let other_value = with(&entry(1, "PRESENT", ""));
    let found = differences(&other_value, Backend::ALL[0]);
    assert_eq!(found.iter().map(|it| it.is_stale).collect::<Vec<_>>(), [false, true]);
    let [explained, other] = [Backend::ALL[0], Backend::ALL[1]];
    let of_one = with(&entry(1, "PRESENT | HAS_MEM_MAP", &format!("backends = [\"{explained}\"]")));
    assert!(replay(&of_one, explained).is_ok());
    assert!(!differences(&of_one, other)[0].is_stale);
}

#[rstest]
#[case::the_difference_has_gone(1)]
#[case::there_is_no_such_step(99)]
fn a_stale_entry_fails(#[case] step: u32) {
    let list = entry(step, "PRESENT | HAS_MEM_MAP", "");
    let recording = parse("dimm-1g.json", &text("dimm-1g.json"), &list).unwrap();
    for backend in backends(|_| true) {
        let said = the_difference(&recording, backend);
        assert!(said.contains("section 32 flags: expectations.toml is stale"), "{said}");
    }
}

#[test]
fn entries_name_files_that_exist() {
    let list = text("expectations.toml");
    let files = list.lines().filter_map(|line| line.strip_prefix("file = \"")?.strip_suffix('"'));
    files.for_each(|file| assert!(folder().join(file).exists(), "{file}"));
}

#[test]
fn an_operation_that_is_not_possible_stops_the_replay() {
    let from = "{\"op\":\"online\",\"start\":5234491392,\"size\":134217728}";
    let to = "{\"op\":\"online\",\"start\":6442450944,\"size\":134217728}";
    let recording = doctored("dimm-1g.json", from, to, "");
    for backend in backends(|_| true) {
        let said = replay(&recording, backend).unwrap_err().to_string();
        let wanted = "dimm-1g.json, step 2: online [0x180000, 0x188000): memory block 48 does not exist";
        assert!(said.starts_with(wanted), "{said}");
    }
}

#[rstest]
#[case::no_json("{\"case\"", "{\"casé", "is not a recording")]
#[case::unknown_field("\"case\"", "\"cause\"", "unknown field `cause`")]
#[case::unknown_op("\"op\":\"boot\"", "\"op\":\"reboot\"", "unknown variant `reboot`")]
#[case::field_of_another_op("{\"op\":\"boot\"}", "{\"op\":\"boot\",\"node\":0}", "unknown field `node`")]
#[case::name("\"dimm-1g\"", "\"a/b\"", "case: `a/b` is not a name of a scenario")]
#[case::memory("[0,4096,", "[0,4096000,", "memblock_memory[0]: 0x3e8000 to 0x9f000 is not a range")]
#[case::overlap("[0,4096,651264]", "[0,4096,1052672]", "memblock_memory: 0x1000 to 0x101000 overlaps")]
#[case::no_boot("{\"op\":\"boot\"}", "", "steps: a recording needs exactly one boot")]
#[case::partial_frame("\"size\":1073741824", "\"size\":1073741825", "steps[1].ops[0]: ")]
#[case::too_high("\"start\":4294967296", "\"start\":70368744177664", "steps[1].ops[0]: ")]
#[case::flags("[1,15,", "[1,47,", "steps[0].sections[1]: 47 is not a combination of section flags")]
#[case::map(
    "[2,15,\"ffffffffffffffff\"",
    "[2,15,\"ffff\"",
    "steps[0].sections[2]: `ffff` is not a subsection map"
)]
#[case::some_maps(
    "[2,15,\"ffffffffffffffff\"",
    "[2,15,null",
    "steps[0].sections[2]: a kernel with a virtual memmap has subsection maps"
)]
#[case::usage(
    "[3,15,\"ffffffffffffffff\",0,1]",
    "[3,15,\"ffffffffffffffff\",0,2]",
    "steps[0].sections[3]: 2 "
)]
#[case::order("[1,15,", "[0,15,", "steps[0].sections: section 0 is not after the previous one")]
#[case::mapping("[0,8388608,2097152]", "[0,8388608,8192]", "steps[0].vmemmap[0]: ")]
#[case::tag("type=13", "type=15", "bootmem_tags[4]: `tag 130551..130554 type=15 id=3` is not a run of tags")]
#[case::iomem("00001000-0009fbff :", "00001000 :", "steps[0].iomem[0]: ")]
fn what_is_no_recording_is_refused_with_the_place(#[case] from: &str, #[case] to: &str, #[case] said: &str) {
    let text = text("dimm-1g.json");
    assert!(text.contains(from), "{from}");
    let error = parse("mine.json", &text.replacen(from, to, 1), "").unwrap_err().to_string();
    assert!(error.starts_with("mine.json") && error.contains(said), "{error}");
}

#[rstest]
#[case::unknown_backend(&entry(1, "x", "backends = [\"vax\"]"), "there is no backend `vax`")]
#[case::unknown_field(&entry(1, "x", "backend = []"), "unknown field `backend`")]
#[case::no_reason(&entry(1, "x", "").replace("a test", " "), "a difference needs a reason")]
fn a_list_that_makes_no_sense_is_refused(#[case] list: &str, #[case] said: &str) {
    let error = parse("dimm-1g.json", &text("dimm-1g.json"), list).unwrap_err().to_string();
    assert!(error.starts_with("expectations.toml") && error.contains(said), "{error}");
}

#[test]
fn an_altmap_has_to_fit_its_device() {
    let text = text("altmap-700m.json").replacen("\"base_pfn\":197120", "\"base_pfn\":197121", 1);
    let error = parse("mine.json", &text, "").unwrap_err().to_string();
    assert!(error.starts_with("mine.json: steps[3].ops[0]: the altmap begins at frame 0x30201"), "{error}");
}
