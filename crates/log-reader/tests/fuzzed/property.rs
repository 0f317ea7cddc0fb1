// What is true of the reader on any bytes. The fuzz target and the test on the corpus both check this.

use sparsemem_core::{PhysRange, Regions};
use sparsemem_log_reader::{Mode, Parsed, golden, parse, parse_bytes};

/// Bytes of the smallest page.
const PAGE: u64 = 0x1000;

/// Reads bytes in every mode and checks the results against each other.
pub(crate) fn check(bytes: &[u8]) {
    let strict = parse_bytes(bytes, Mode::Strict);
    let lenient = parse_bytes(bytes, Mode::Lenient);
    match (&strict, &lenient) {
        (Ok(strict), Ok(lenient)) => assert_eq!(strict, lenient, "a text without errors has one reading"),
        (Ok(_), Err(error)) => panic!("lenient reading refuses what strict reading accepts: {error}"),
        (Err(error), Ok(lenient)) => assert_eq!(error.lines(), lenient.warnings, "an error is a warning"),
        (Err(_), Err(_)) => {}
    }
    for parsed in strict.iter().chain(&lenient) {
        check_map(parsed);
        check_sentences(parsed);
    }
    let text = String::from_utf8_lossy(bytes);
    check_line_ends(&text);
    let _ = golden::parse(&text);
}

/// Ranges are sorted and apart, RAM is in whole pages, and what could not be read is told.
fn check_map(parsed: &Parsed) {
    let ranges = |ranges: Vec<PhysRange>| {
        assert!(ranges.iter().all(|range| !range.is_empty()));
        assert!(ranges.is_sorted_by(|low, high| low.end() <= high.start()));
    };
    let layout = &parsed.layout;
    ranges(layout.ranges().iter().map(|entry| entry.range).collect());
    let ram: Vec<PhysRange> = layout.memory_ranges().map(|(range, _)| range).collect();
    assert!(ram.iter().all(|range| range.start().is_aligned(PAGE) && range.end().is_aligned(PAGE)));
    ranges(ram);
    Regions::new(&layout.regions()).expect("a merged view is a map");
    assert!(layout.nodes().count() > 0);
    assert!(parsed.tables.iter().any(|table| table.notation == parsed.notation));
    assert!(parsed.warnings.is_empty() || !parsed.contradictions.is_empty(), "what is not read is told");
}

/// Every sentence is one line.
fn check_sentences(parsed: &Parsed) {
    let contradictions = parsed.contradictions.iter().map(ToString::to_string);
    let agreements = parsed.agreements.iter().map(ToString::to_string);
    for sentence in contradictions.chain(agreements).chain(parsed.notes.iter().map(ToString::to_string)) {
        assert!(!sentence.is_empty() && !sentence.contains('\n'), "{sentence:?}");
    }
}

/// The line ends of other systems make no difference.
fn check_line_ends(text: &str) {
    let plain = text.replace('\r', "");
    let layout = |text: &str| parse(text, Mode::Lenient).ok().map(|parsed| parsed.layout);
    assert_eq!(layout(&plain), layout(&plain.replace('\n', "\r\n")));
}
