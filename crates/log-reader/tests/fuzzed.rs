//! Texts that the fuzzer made are read without harm, and so are pieces of real ones put together at random: what the fuzz
//! target checks, on stable Rust.

use std::path::PathBuf;

use proptest::prelude::*;

#[path = "fuzzed/property.rs"]
mod property;

/// The files of a folder of this crate.
fn files(folder: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().filter(|path| path.is_file()).map(|path| std::fs::read(path).unwrap()).collect()
}

#[test]
fn the_corpus_does_no_harm() {
    let corpus = files("fuzz/corpus/reader");
    assert!(!corpus.is_empty());
    corpus.iter().for_each(|bytes| property::check(bytes));
}

/// Lines of all pasted texts.
fn lines() -> Vec<String> {
    let texts = files("tests/pasted").into_iter().filter_map(|bytes| String::from_utf8(bytes).ok());
    texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

proptest! {
    #[test]
    fn pieces_of_real_texts_do_no_harm(
        picks in prop::collection::vec((any::<prop::sample::Index>(), 0usize..200, 0usize..8), 1..40),
    ) {
        let lines = lines();
        let piece = |(pick, cut, change): &(prop::sample::Index, usize, usize)| {
            let line = pick.get(&lines);
            let end = line.char_indices().nth(*cut).map_or(line.len(), |(at, _)| at);
            match change {
                0 => line[..end].to_owned(),
                1 => line[end..].to_owned(),
                2 => format!("{}0{}", &line[..end], &line[end..]),
                _ => line.clone(),
            }
        };
        let text: String = picks.iter().map(|pick| piece(pick) + "\n").collect();
        property::check(text.as_bytes());
    }
}
