//! Splits Rust source into what the compiler reads and what people read.
//!
//! A scanner, not a parser: it knows comments, strings and character literals, which is all that the rules need in
//! order not to be fooled by a word in a message or in a doc example.
//!
//! # Invariants
//!
//! 1. The result has exactly one [`Line`] per line of the text, in order.
//! 2. No character of a comment or of a literal's content is ever in [`Line::code`].

/// One line of a source file.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// The line as it stands in the file.
    pub(crate) raw: String,
    /// Its code; literals keep their quotes and lose their content.
    pub(crate) code: String,
    /// Its comments, markers included.
    pub(crate) comment: String,
    /// Whether it belongs to test code.
    pub(crate) test: bool,
}

impl Line {
    /// Whether the line holds a comment and nothing else.
    pub(crate) fn is_comment(&self) -> bool {
        !self.comment.is_empty() && self.code.trim().is_empty()
    }

    /// Whether the line below belongs to the same statement: this one is an attribute, or code that ends nothing.
    pub(crate) fn leads_on(&self) -> bool {
        let code = self.code.trim();
        !code.is_empty() && (code.starts_with("#[") || !code.ends_with([';', '{', '}', ',']))
    }
}

/// What the next character belongs to.
#[derive(Clone, Copy)]
enum State {
    Code,
    LineComment,
    BlockComment(usize),
    Text,
    RawText(usize),
}

/// Splits `text` into lines; none of them is marked as test code yet.
pub(crate) fn scan(text: &str) -> Vec<Line> {
    let mut scanner =
        Scanner { chars: text.chars().collect(), at: 0, state: State::Code, line: Line::default() };
    let mut lines = scanner.run();
    for (line, raw) in lines.iter_mut().zip(text.split('\n')) {
        line.raw = raw.strip_suffix('\r').unwrap_or(raw).to_owned();
    }
    lines
}

struct Scanner {
    chars: Vec<char>,
    at: usize,
    state: State,
    line: Line,
}

impl Scanner {
    fn run(&mut self) -> Vec<Line> {
        let mut lines = Vec::new();
        while let Some(c) = self.peek(0) {
            if c == '\n' {
                self.at += 1;
                self.end_line();
                lines.push(std::mem::take(&mut self.line));
            } else {
                self.step(c);
            }
        }
        if self.chars.last().is_some_and(|last| *last != '\n') {
            lines.push(std::mem::take(&mut self.line));
        }
        lines
    }

    fn end_line(&mut self) {
        if matches!(self.state, State::LineComment) {
            self.state = State::Code;
        }
    }

    fn step(&mut self, c: char) {
        match self.state {
            State::Code => self.code(c),
            State::LineComment => self.comment(1),
            State::BlockComment(depth) => self.block(c, depth),
            State::Text => self.text(c),
            State::RawText(hashes) => self.raw_text(c, hashes),
        }
    }

    fn code(&mut self, c: char) {
        match (c, self.peek(1)) {
            ('/', Some('/')) => self.enter_comment(State::LineComment),
            ('/', Some('*')) => self.enter_comment(State::BlockComment(1)),
            ('"', _) => self.keep(State::Text),
            ('r', Some('"' | '#')) if !self.inside_word() => self.raw_start(),
            ('\'', _) => self.quote(),
            _ => self.keep(State::Code),
        }
    }

    fn block(&mut self, c: char, depth: usize) {
        match (c, self.peek(1), depth) {
            ('/', Some('*'), _) => self.enter_comment(State::BlockComment(depth + 1)),
            ('*', Some('/'), 1) => self.enter_comment(State::Code),
            ('*', Some('/'), _) => self.enter_comment(State::BlockComment(depth - 1)),
            _ => self.comment(1),
        }
    }

    fn text(&mut self, c: char) {
        match c {
            // An escaped end of line continues the text; the end itself is still counted.
            '\\' if self.peek(1) != Some('\n') => self.at += 2,
            '"' => self.keep(State::Code),
            _ => self.at += 1,
        }
    }

    fn raw_text(&mut self, c: char, hashes: usize) {
        let closes = c == '"' && (1..=hashes).all(|ahead| self.peek(ahead) == Some('#'));
        if closes {
            self.keep(State::Code);
            self.at += hashes;
        } else {
            self.at += 1;
        }
    }

    /// `r"`, `r#"`: a raw text; `r#name`: an identifier.
    fn raw_start(&mut self) {
        let hashes = (1..).take_while(|ahead| self.peek(*ahead) == Some('#')).count();
        if self.peek(hashes + 1) == Some('"') {
            self.at += hashes + 1;
            self.keep(State::RawText(hashes));
        } else {
            self.keep(State::Code);
        }
    }

    /// A quote starts a character literal if another one follows in time, and a lifetime otherwise.
    fn quote(&mut self) {
        let length = match (self.peek(1), self.peek(2)) {
            (Some('\\'), _) => (3..12).find(|ahead| self.peek(*ahead) == Some('\'')),
            (Some(_), Some('\'')) => Some(2),
            _ => None,
        };
        self.keep(State::Code);
        if let Some(length) = length {
            self.at += length - 1;
            self.keep(State::Code);
        }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    /// Whether the character before belongs to a name, so that this one does too (`b` and `c` prefix texts).
    fn inside_word(&self) -> bool {
        let mut before = self.line.code.chars().rev();
        let name = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        match before.next() {
            Some('b' | 'c') => name(before.next()),
            other => name(other),
        }
    }

    fn keep(&mut self, next: State) {
        self.line.code.extend(self.peek(0));
        self.at += 1;
        self.state = next;
    }

    fn comment(&mut self, count: usize) {
        for _ in 0..count {
            self.line.comment.extend(self.peek(0));
            self.at += 1;
        }
    }

    fn enter_comment(&mut self, next: State) {
        self.comment(2);
        self.state = next;
    }
}

#[cfg(test)]
mod tests {
    use super::scan;

    fn code(text: &str) -> Vec<String> {
        scan(text).into_iter().map(|line| line.code.trim_end().to_owned()).collect()
    }

    #[test]
    fn comments_and_code_are_told_apart() {
        let lines = scan("let a = 1; // unsafe\n/* todo!() /* nested */ dbg!() */ b();\n");
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].code.trim(), "let a = 1;");
        assert_eq!(lines[0].comment, "// unsafe");
        assert_eq!(lines[1].code.trim(), "b();");
        assert!(lines[1].comment.ends_with("dbg!() */"));
    }

    #[test]
    fn literals_lose_their_content() {
        assert_eq!(code(r#"f("unsafe \" // x", 'a', '\'', '"', b'{')"#), ["f(\"\", '', '', '', b'')"]);
        assert_eq!(code("g(r#\"a \" // b\"#, br\"\\\")"), ["g(\"\", b\"\")"]);
        assert_eq!(code("fn h<'a>(x: &'a str) {}"), ["fn h<'a>(x: &'a str) {}"]);
        assert_eq!(code("let r#type = r#match;"), ["let r#type = r#match;"]);
    }

    #[test]
    fn texts_may_span_lines() {
        let text = "x(\"one\ntodo!() \\\n three\"); y()";
        assert_eq!(code(text), ["x(\"", "", "\"); y()"]);
    }

    #[test]
    fn every_line_is_there() {
        assert_eq!(scan("").len(), 0);
        assert_eq!(scan("a\n\nb").len(), 3);
        assert_eq!(scan("a\n\nb\n").iter().map(|line| line.raw.as_str()).collect::<Vec<_>>(), ["a", "", "b"]);
    }
}
