//! Differences, and the file that explains them.

use serde::Deserialize;

use crate::files::folder;

/// A number, or a list of ranges as text.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub(crate) enum Value {
    /// A number.
    Number(u64),
    /// A list.
    Text(String),
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// One fact that does not come out as recorded.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Difference {
    file: String,
    fact: String,
    expected: Value,
    actual: Value,
    #[serde(default)]
    reason: String,
}

impl Difference {
    /// A difference that was found; equal values are not one, see [`Difference::check`].
    pub(crate) fn new(file: &str, fact: &str, expected: impl Into<Value>, actual: impl Into<Value>) -> Self {
        let (expected, actual) = (expected.into(), actual.into());
        Self { file: file.to_owned(), fact: fact.to_owned(), expected, actual, reason: String::new() }
    }

    /// A difference if the values differ.
    pub(crate) fn check<V: Into<Value>>(file: &str, fact: &str, expected: V, actual: V) -> Option<Self> {
        Some(Self::new(file, fact, expected, actual)).filter(Self::differs)
    }

    fn differs(&self) -> bool {
        self.expected != self.actual
    }

    fn same_as(&self, other: &Self) -> bool {
        (&self.file, &self.fact, &self.expected, &self.actual)
            == (&other.file, &other.fact, &other.expected, &other.actual)
    }

    fn complaint(&self, what: &str) -> String {
        let value = |value: &Value| match value {
            Value::Number(number) => number.to_string(),
            Value::Text(text) => format!("{text:?}"),
        };
        format!(
            "# {what}\n[[difference]]\nfile = {:?}\nfact = {:?}\nexpected = {}\nactual = {}\nreason = \"\"\n",
            self.file,
            self.fact,
            value(&self.expected),
            value(&self.actual)
        )
    }
}

/// The explained differences.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expectations {
    difference: Vec<Difference>,
}

impl Expectations {
    /// The file next to the maps.
    pub(crate) fn load() -> Self {
        Self::read(&std::fs::read_to_string(folder().join("expectations.toml")).expect("expectations.toml"))
    }

    /// Expectations from a text.
    pub(crate) fn read(text: &str) -> Self {
        toml::from_str(text).unwrap_or_else(|error| panic!("expectations.toml: {error}"))
    }

    /// The complaints: differences that no entry explains, and entries that explain nothing.
    pub(crate) fn unexplained(&self, found: &[Difference]) -> Vec<String> {
        let real: Vec<_> = found.iter().filter(|difference| difference.differs()).collect();
        let fresh = real.iter().filter(|new| !self.difference.iter().any(|known| known.same_as(new)));
        let stale = self.difference.iter().filter(|known| !real.iter().any(|new| known.same_as(new)));
        let silent = self.difference.iter().filter(|known| known.reason.trim().is_empty());
        fresh
            .map(|difference| difference.complaint("not explained"))
            .chain(stale.map(|difference| difference.complaint("stale: does not differ like this")))
            .chain(silent.map(|difference| difference.complaint("has no reason")))
            .collect()
    }
}
