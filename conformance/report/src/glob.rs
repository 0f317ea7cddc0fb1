//! Patterns with `*` and `?`.

/// True if a scenario's name matches a pattern of a command: `*` stands for any number of characters, `?` for exactly
/// one.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut pattern_rest = pattern.chars();
    match pattern_rest.next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = pattern_rest.as_str();
            let mut starts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            starts.any(|at| matches(rest, &text[at..]))
        }
        Some(wanted) => {
            let mut text_rest = text.chars();
            let found = text_rest.next();
            found.is_some_and(|found| wanted == '?' || wanted == found)
                && matches(pattern_rest.as_str(), text_rest.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_and_question_marks() {
        assert!(matches("boot/*", "boot/words"));
        assert!(matches("*", ""));
        assert!(matches("*/w?rds", "boot/words"));
        assert!(matches("boot/words", "boot/words"));
        assert!(!matches("boot/*", "lookup/oracle"));
        assert!(!matches("boot/words?", "boot/words"));
        assert!(!matches("", "x"));
    }
}
