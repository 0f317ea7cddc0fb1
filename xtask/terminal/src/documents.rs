//! The commands that the documents of this workspace contain, so that each program can test its own.

/// The documents that contain commands.
const DOCUMENTS: [&str; 6] = [
    include_str!("../../../README.md"),
    include_str!("../../../CONTRIBUTING.md"),
    include_str!("../../../conformance/README.md"),
    include_str!("../../../conformance/kernel/README.md"),
    include_str!("../../../conformance/linux/README.md"),
    include_str!("../../../conformance/machines/README.md"),
];

/// The words after `cargo xtask`, for each place where a document contains that.
pub fn commands_in_documents() -> impl Iterator<Item = Vec<&'static str>> {
    let rests = DOCUMENTS.iter().flat_map(|text| text.split("cargo xtask ").skip(1));
    let lines = rests.filter_map(|rest| rest.split(['\n', '`', '#', '|', '>', '[']).next());
    lines.map(|line| line.split_whitespace().collect())
}
