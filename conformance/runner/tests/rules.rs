//! The rules about intended differences from Linux: each explains something, and fails when its difference goes away or
//! a false one appears. And recordings that somebody made up: each deviation is told.

use rstest::rstest;
use serde_json::{Value, json};
use sparsemem_any::Backend;
use sparsemem_conformance::linux::{all, backends, folder, idle_rules, is_about, parse, replay};
use sparsemem_conformance::{Filter, Here, cells, run};
use sparsemem_replay::{ReplayError, Rule};
use sparsemem_report::Outcome;

/// A recording of the folder, to be edited.
fn json_of(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder().join(name)).unwrap()).unwrap()
}

/// The errors of an edited recording, by backend.
fn errors(name: &str, edit: impl Fn(&mut Value)) -> Vec<(Backend, String)> {
    let mut json = json_of(name);
    edit(&mut json);
    let recording = match parse("mine.json", &json.to_string(), "") {
        Ok(recording) => recording,
        Err(error) => return vec![(Backend::ALL[0], error.to_string())],
    };
    let on = |backend| replay(&recording, backend).err().map(|error| (backend, error.to_string()));
    backends().filter_map(on).collect()
}

/// Asserts that an edit is found out on the backends that a rule is about, and that the rule is named.
fn broken(rule: Rule, name: &str, edit: impl Fn(&mut Value)) {
    let errors = errors(name, edit);
    for backend in backends().filter(|backend| is_about(rule, *backend)) {
        let said = errors.iter().find(|(on, _)| *on == backend).map(|(_, said)| said.as_str());
        let said = said.unwrap_or_else(|| panic!("{backend}: {} was not missed", rule.name()));
        assert!(said.contains(&format!("by the rule `{}` Linux has", rule.name())), "{backend}: {said}");
    }
}

/// Asserts that an edit is found out on the backends that a rule is about, as a difference that no rule explains.
fn unexplained(rule: Rule, name: &str, what: &str, edit: impl Fn(&mut Value)) {
    let errors = errors(name, edit);
    for backend in backends().filter(|backend| is_about(rule, *backend)) {
        let said = errors.iter().find(|(on, _)| *on == backend).map(|(_, said)| said.as_str());
        assert!(said.is_some_and(|said| said.contains(what)), "{backend}: {said:?}");
    }
}

/// Removes the rows of a section from a step.
fn without_section(step: &mut Value, nr: u64) {
    step["sections"].as_array_mut().unwrap().retain(|row| row[0] != nr);
}

#[test]
fn every_rule_explains_a_difference_on_some_backend() {
    let all = all().unwrap();
    for backend in backends() {
        let replayed: Vec<_> = all.iter().filter_map(|it| replay(it, backend).ok()).collect();
        for rule in Rule::ALL {
            let times: usize = replayed.iter().filter_map(|it| it.by_rule.get(&rule)).sum();
            assert_eq!(times > 0, is_about(rule, backend), "{} on {backend}", rule.name());
        }
    }
}

#[test]
fn a_rule_that_explains_nothing_is_idle() {
    let mut all = all().unwrap();
    for backend in backends() {
        assert_eq!(idle_rules(&all, backend), []);
    }
    all.retain(|recording| recording.name() != "boot-dimm.json");
    for backend in backends() {
        assert_eq!(idle_rules(&all, backend), [Rule::BootUsages]);
    }
}

#[test]
fn a_report_has_the_rules_that_its_cells_needed() {
    let filter =
        Filter { recordings: vec!["boot-dimm.json".into(), "dimm-1g.json".into()], ..Filter::default() };
    let report = run(&cells(&filter).unwrap(), vec![Here; 2], &|_| ());
    let needed: Vec<_> =
        report.rules.iter().map(|it| (it.scenario.as_str(), it.backend, it.rule.clone())).collect();
    let rule = Rule::BootUsages.to_string();
    let expected: Vec<_> = backends().map(|backend| ("linux/boot-dimm", backend, rule.clone())).collect();
    assert_eq!(needed, expected);
    let passed = report.results.iter().filter(|result| result.outcome == Outcome::Passed);
    assert!(passed.clone().count() > 0 && passed.clone().all(|result| result.detail.is_empty()));
}

#[test]
fn a_rule_tells_both_sides_and_the_reason() {
    for rule in Rule::ALL {
        let text = rule.to_string();
        assert!(text.starts_with(&format!("{}: Linux ", rule.name())), "{text}");
        assert!(text.contains(". Here ") && text.contains(", because ") && text.ends_with('.'), "{text}");
    }
}

#[test]
fn roots_that_linux_frees_or_never_had_are_found_out() {
    let name = "far-dimms-uneven-nodes.json";
    broken(Rule::EmptyRoots, name, |json| json["steps"][5]["roots"] = json!([0, 6]));
    broken(Rule::EmptyRoots, name, |json| json["steps"][5]["roots"] = json!([0, 4, 6, 8]));
    unexplained(Rule::EmptyRoots, name, "roots: expected 0, 2, 9, found 0, 2", |json| {
        json["steps"][1]["roots"] = json!([0, 4, 18]);
    });
}

#[test]
fn usages_that_linux_frees_or_never_had_are_found_out() {
    let name = "boot-dimm.json";
    broken(Rule::BootUsages, name, |json| without_section(&mut json["steps"][2], 33));
    unexplained(Rule::BootUsages, name, "section 9 usage: expected there, found nothing", |json| {
        let rows = json["steps"][2]["sections"].as_array_mut().unwrap();
        rows.insert(8, json!([9, 0, "0000000000000000", 0, 1]));
    });
    unexplained(Rule::BootUsages, "far-dimms-uneven-nodes.json", "section 512 usage", |json| {
        let rows = json["steps"][5]["sections"].as_array_mut().unwrap();
        rows.insert(11, json!([512, 0, "0000000000000000", 0, 1]));
    });
}

#[test]
fn sections_that_linux_registers_or_misses_are_found_out() {
    let name = "far-dimms-uneven-nodes.json";
    broken(Rule::SteppedOver, name, |json| {
        json["bootmem_tags"].as_array_mut().unwrap().push("tag 320000..320512 type=12 id=10".into());
    });
    unexplained(Rule::SteppedOver, name, "section 9 bootmem pages: expected nothing, found 512", |json| {
        json["bootmem_tags"]
            .as_array_mut()
            .unwrap()
            .retain(|tag| !tag.as_str().unwrap().ends_with("type=12 id=9"));
    });
}

/// The bytes of the array for section 64 of the recordings with altmaps, as far as the device has it.
const PART: (u64, u64) = (134_840_320, 136_314_880);

/// Puts the descriptors of a partial section into the altmap, as this project does.
fn from_the_altmap(step: &mut Value) {
    let rows = step["vmemmap_backing"].as_array_mut().unwrap();
    rows.retain(|row| !(PART.0..PART.1).contains(&row[0].as_u64().unwrap()));
    rows.push(json!([PART.0, PART.1, 0x2_0260_2000_u64]));
}

#[test]
fn descriptors_of_parts_that_linux_takes_from_the_altmap_are_found_out() {
    let name = "altmap-neighbours.json";
    broken(Rule::AltmapForParts, name, |json| from_the_altmap(&mut json["steps"][6]));
    unexplained(Rule::AltmapForParts, name, "section 65 altmap: expected nothing, found 0-63", |json| {
        let rows = json["steps"][6]["vmemmap_backing"].as_array_mut().unwrap();
        rows.iter_mut().filter(|row| row[0] == PART.1).for_each(|row| row[2] = json!(64 << 20));
    });
}

/// An altmap in which base pages of this project leave no large block for a whole section. Linux had more room.
#[test]
fn the_places_and_mappings_that_this_project_chooses_are_predicted() {
    let mut json = json_of("altmap-700m.json");
    json["steps"][3]["ops"][0]["altmap"]["free"] = json!(2400);
    let recording = parse("mine.json", &json.to_string(), "").unwrap();
    for backend in backends().filter(|backend| backend.has_array()) {
        let Err(ReplayError::Different { differences }) = replay(&recording, backend) else {
            panic!("{backend}")
        };
        assert!(!differences.is_empty());
        for it in differences {
            // The mappings are as predicted on both sides; the places in the altmap only on this one.
            assert!(it.what.ends_with("altmap"), "{it}");
            let rule = it.rule.clone().unwrap_or_default();
            assert!(rule.ends_with(&format!("and this project {}", it.found)), "{it}");
        }
    }
}

#[test]
fn an_altmap_without_room_explains_no_other_difference() {
    // After the refusal the device has its descriptors in RAM on table models; its sections are there all the same.
    for rule in [Rule::AltmapTooSmall, Rule::AltmapStillNeeded] {
        unexplained(
            rule,
            "altmap-neighbours.json",
            "step 3 (add_device [0x202600, 0x215200)), section 65 flags",
            |json| {
                json["steps"][3]["sections"].as_array_mut().unwrap()[9][1] = json!(7);
            },
        );
        unexplained(rule, "altmap-neighbours.json", "section 64 flags: expected nothing", |json| {
            without_section(&mut json["steps"][9], 64);
        });
    }
}

/// The device of the recording has large pages of 512 frames in sections 50 to 53, and in the section of boot after them.
#[test]
fn descriptors_that_linux_folds_otherwise_are_found_out() {
    let name = "devdax-compound.json";
    // A page with tails that Linux would share among all heads, or have for itself.
    let second = |json: &mut Value, at: u64| {
        let rows = json["steps"][4]["vmemmap_backing"].as_array_mut().unwrap();
        let row = rows.iter_mut().find(|row| row[0] == 105_906_176).unwrap();
        assert_eq!(row[1], 105_914_368, "a head, and the page with its tails");
        row[1] = json!(105_910_272);
        rows.push(json!([105_910_272, 105_914_368, at]));
    };
    broken(Rule::FoldedTails, name, |json| second(json, 64 << 20));
    // The descriptors of a section of boot are not folded.
    unexplained(Rule::FoldedTails, name, "section 54 pages: expected 511, found 512", |json| {
        let rows = json["steps"][4]["vmemmap_backing"].as_array_mut().unwrap();
        let row = rows.iter_mut().find(|row| row[0] == 113_246_208).unwrap();
        let (start, to) = (row[0].as_u64().unwrap(), row[2].as_u64().unwrap());
        row[0] = json!(start + 4096);
        row[2] = json!(to + 4096);
        rows.push(json!([start, start + 4096, to + 4096]));
    });
    // On table models the device is there all the same.
    unexplained(Rule::Unfoldable, name, "section 50 flags: expected nothing", |json| {
        without_section(&mut json["steps"][4], 50);
    });
    let small = errors(name, |json| json["steps"][4]["ops"][0]["compound"] = json!(3));
    assert!(
        small[0].1.ends_with("steps[4].ops[0]: a page of 3 frames is not a power of two of frames"),
        "{small:?}"
    );
}

/// Swaps two steps.
fn swapped(json: &mut Value) {
    json["steps"].as_array_mut().unwrap().swap(1, 2);
}

#[rstest]
#[case::another_order("numa-2-pmem.json", swapped, "step 1: remove_device [0x40600, 0x46a00): ")]
#[case::another_order_of_facts("memmap-on-memory.json", |json: &mut Value| {
    let facts = json["steps"][3]["sections"].take();
    json["steps"][3]["sections"] = json["steps"][2]["sections"].clone();
    json["steps"][2]["sections"] = facts;
}, "step 2 (add_memory [0x108000, 0x128000)), section 32 flags: expected PRESENT | HAS_MEM_MAP | ONLINE, found")]
#[case::another_node("dimms-4-nodes.json", |json: &mut Value| json["memblock_memory"][2][0] = json!(5), "node 5 bootmem pages: expected nothing, found there")]
#[case::a_missing_section("virtio-mem-1g.json", |json: &mut Value| without_section(&mut json["steps"][1], 33), "step 1 (add_memory [0x100000, 0x108000); online [0x100000, 0x108000); add_memory [0x108000, 0x110000); online [0x108000, \
     0x110000)), section 33 flags: expected nothing, found PRESENT | HAS_MEM_MAP | ONLINE")]
#[case::a_wrong_flag("la57-pmem-dimm.json", |json: &mut Value| json["steps"][3]["sections"][6][1] = json!(15), "section 6 flags: expected PRESENT | HAS_MEM_MAP | ONLINE | EARLY, found PRESENT | HAS_MEM_MAP | ONLINE | EARLY | TAINT")]
#[case::an_unknown_operation("la57-pmem-dimm.json", |json: &mut Value| json["steps"][3]["ops"][0]["op"] = json!("add_cxl"), "unknown variant `add_cxl`, expected one of `boot`, `add_memory`")]
#[case::an_unknown_field_of_an_operation("kmem-600m.json", |json: &mut Value| json["steps"][6]["ops"][0]["policy"] = json!("movable"), "unknown field `policy`")]
#[case::an_unknown_field("kmem-600m.json", |json: &mut Value| json["numa_distance"] = json!(10), "unknown field `numa_distance`")]
#[case::a_place_in_the_wrong_block("linux-6-12-memmap-on-memory.json", |json: &mut Value| json["steps"][1]["vmemmap_backing"][2][2] = json!(0x1_1000_0000_u64), "section 33 altmap: expected 0-63 at 0x110000000, found 0-63 at 0x108000000")]
#[case::a_host_that_is_too_small("linux-6-12-memmap-on-memory.json", |json: &mut Value| json["steps"][1]["ops"][0]["altmap"]["free"] = json!(511), "steps[1].ops[0]: 511 frames after 0 cannot hold the 512 frames of [0x100000, 0x108000)")]
#[case::no_whole_block("blocks-512m.json", |json: &mut Value| json["steps"][3]["ops"][0]["size"] = json!(128 << 20), "step 3: online [0x100000, 0x108000): ")]
#[case::another_block_size("blocks-512m.json", |json: &mut Value| json["memory_block"] = json!(1 << 30), "step 1: add_memory [0x100000, 0x120000): ")]
#[case::no_block_size("blocks-512m.json", |json: &mut Value| json["memory_block"] = json!(3 << 28), "memory_block: a memory block of ")]
#[case::numbers_of_five_levels("kmem-600m.json", |json: &mut Value| json["steps"][6]["ops"][0]["start"] = json!(1_u64 << 47), "steps[6].ops[0]: 0x8000000 bytes from 0x800000000000 are not a range below 0x400000000000")]
#[case::sections_of_five_levels("dimm-1g.json", |json: &mut Value| json["steps"][1]["sections"][4][0] = json!(600_000), "steps[1].sections[4]: there is no section 600000")]
#[case::five_levels_with_roots_of_four("la57-pmem-dimm.json", |json: &mut Value| json["steps"][1]["roots"] = json!([0, 4096]), "roots: expected 0, 2048, found 0")]
#[case::no_levels("la57-pmem-dimm.json", |json: &mut Value| json["kernel"] = json!("Linux 6.1, SPARSEMEM_EXTREME + VMEMMAP, x86_64"), "kernel: `Linux 6.1, SPARSEMEM_EXTREME + VMEMMAP, x86_64` has to say either 4-level or 5-level")]
#[case::no_array("novmemmap-holes.json", |json: &mut Value| json["kernel"] = json!("Linux, SPARSEMEM_EXTREME + VMEMMAP, x86_64 4-level, 16-byte mem_section"), "steps[0].sections[0]: a kernel with a virtual memmap has subsection maps")]
#[case::a_device_that_is_not_there("kmem-600m.json", |json: &mut Value| { json["steps"][4]["iomem"].as_array_mut().unwrap().retain(|line| !line.as_str().unwrap().contains("dax0.0")); }, "device 0x190000000: expected to 0x190200000, found to 0x1b5800000")]
fn a_recording_that_somebody_made_up_is_found_out(
    #[case] name: &str,
    #[case] edit: fn(&mut Value),
    #[case] wanted: &str,
) {
    let errors = errors(name, edit);
    assert!(!errors.is_empty(), "{name}: nobody noticed");
    assert!(errors.iter().any(|(_, said)| said.contains(wanted)), "{errors:#?}");
}

/// Moves the DIMM of the recording with five levels beyond the addresses that four levels have.
fn beyond_four_levels(json: &mut Value) {
    let (bytes, sections, array) = (1_u64 << 46, 1_u64 << 19, 1_u64 << 40);
    let shift = |value: &mut Value, by: u64| *value = json!(value.as_u64().unwrap() + by);
    let is_far = |value: &Value, from: u64| value.as_u64().unwrap() >= from;
    for step in json["steps"].as_array_mut().unwrap() {
        let rows =
            |step: &mut Value, name: &str| step[name].as_array_mut().map(std::mem::take).unwrap_or_default();
        let mut ops = rows(step, "ops");
        ops.iter_mut()
            .filter(|op| op["start"].as_u64() >= Some(1 << 32))
            .for_each(|op| shift(&mut op["start"], bytes));
        let mut table = rows(step, "sections");
        let is_far_section = |row: &&mut Value| is_far(&row[0], 32);
        table.iter_mut().filter(is_far_section).for_each(|row| shift(&mut row[0], sections));
        let mut lists = ["vmemmap", "vmemmap_backing"].map(|name| rows(step, name));
        for row in lists.iter_mut().flatten().filter(|row| is_far(&row[0], 1 << 26)) {
            shift(&mut row[0], array);
            shift(&mut row[1], array);
        }
        let far =
            |line: &Value| line.as_str().unwrap().replace("100000000-11fffffff", "400100000000-40011fffffff");
        let tree = rows(step, "iomem").iter().map(far).collect::<Vec<_>>();
        let [mapped, backing] = lists;
        *step = json!({
            "ops": ops, "iomem": tree, "roots": [0], "sections": table, "vmemmap": mapped, "vmemmap_backing": backing,
        });
    }
    // Linux keeps the root.
    json["steps"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .skip(1)
        .for_each(|step| step["roots"] = json!([0, 4096]));
}

#[test]
fn five_levels_reach_beyond_the_addresses_of_four() {
    let errors_of = |levels: &str| {
        errors("la57-pmem-dimm.json", |json| {
            beyond_four_levels(json);
            let kernel = json["kernel"].as_str().unwrap().replace("5-level", levels);
            json["kernel"] = kernel.into();
        })
    };
    assert_eq!(errors_of("5-level"), []);
    let [(_, said)] = &errors_of("4-level")[..] else { panic!() };
    assert!(
        said.ends_with(
            "steps[1].ops[0]: 0x20000000 bytes from 0x400100000000 are not a range below 0x400000000000"
        ),
        "{said}"
    );
}
