//! The results of a run, as programs read them.

use serde::{Deserialize, Serialize};

use crate::measure::Samples;

/// One measurement.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Measured {
    /// The question: `unchecked`, `checked`, `boot`, ..
    pub question: String,
    /// The subject that answered.
    pub subject: String,
    /// The order of the frames, or the amount of the work.
    pub pattern: String,
    /// The machine that it was measured on.
    pub machine: String,
    /// Nanoseconds, the middle of all samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ns_median: Option<f64>,
    /// Nanoseconds, the shortest sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ns_min: Option<f64>,
    /// Nanoseconds, the longest sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ns_max: Option<f64>,
    /// Instructions: of a lookup in its code, of an operation as they were executed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<u64>,
    /// Loads in a lookup's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loads: Option<u64>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

impl Measured {
    /// A measurement of time.
    #[must_use]
    pub fn time(question: &str, subject: &str, pattern: &str, machine: &str, samples: &Samples) -> Self {
        Self {
            ns_median: Some(samples.median()),
            ns_min: Some(samples.min()),
            ns_max: Some(samples.max()),
            ..Self::named(question, subject, pattern, machine)
        }
    }

    /// A number of bytes.
    #[must_use]
    pub fn of_bytes(question: &str, subject: &str, machine: &str, bytes: u64) -> Self {
        Self { bytes: Some(bytes), ..Self::named(question, subject, "", machine) }
    }

    /// Nothing measured yet.
    #[must_use]
    pub fn named(question: &str, subject: &str, pattern: &str, machine: &str) -> Self {
        let [question, subject, pattern, machine] = [question, subject, pattern, machine].map(str::to_owned);
        Self { question, subject, pattern, machine, ..Self::default() }
    }
}

/// The comparison of two subjects, which were measured in turns.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ratio {
    /// The names of both, the pattern or what went on meanwhile, and the machine.
    pub what: String,
    /// The first divided by the second.
    pub value: f64,
}

/// The instructions that `cargo xtask codegen --format json` counted.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Codegen {
    /// The compilers of each processor: only the host's are reported.
    pub compilers: Vec<Compilers>,
    /// The counts of each lookup.
    pub lookups: Vec<Counted>,
    /// The counts of each operation.
    #[serde(default)]
    pub operations: Vec<Executed>,
}

/// The compilers of a processor's lookups.
#[derive(Clone, Debug, Deserialize)]
pub struct Compilers {
    /// The Rust compiler.
    pub rustc: String,
    /// The C compiler.
    pub cc: String,
}

/// The instructions of a lookup.
#[derive(Clone, Debug, Deserialize)]
pub struct Counted {
    /// The probe.
    pub probe: String,
    /// Instructions of the model in Rust.
    pub instructions: u64,
    /// Loads of the model in Rust.
    pub loads: u64,
    /// Instructions of its twin in C.
    pub c_instructions: u64,
    /// Loads of its twin in C.
    pub c_loads: u64,
}

/// The instructions of a whole operation.
#[derive(Clone, Debug, Deserialize)]
pub struct Executed {
    /// The operation, as `OPERATION MODEL`.
    pub operation: String,
    /// Executed instructions.
    pub instructions: u64,
}

/// Everything that a run found.
#[derive(Debug, Default, Serialize)]
pub struct Results {
    /// The measurements.
    pub results: Vec<Measured>,
    /// The comparisons.
    pub ratios: Vec<Ratio>,
    /// The measurements that were left out, each with its reason.
    pub skipped: Vec<String>,
}

impl Results {
    /// The median of a measurement. Units: nanoseconds.
    #[must_use]
    pub fn time(&self, question: &str, subject: &str, pattern: &str, machine: &str) -> Option<f64> {
        self.find(question, subject, pattern, machine)?.ns_median
    }

    /// A measurement by its names.
    #[must_use]
    pub fn find(&self, question: &str, subject: &str, pattern: &str, machine: &str) -> Option<&Measured> {
        self.results.iter().find(|measured| {
            measured.question == question
                && measured.subject == subject
                && measured.pattern == pattern
                && measured.machine == machine
        })
    }

    /// Adds the counted instructions, so that one file has everything.
    pub fn add_codegen(&mut self, codegen: Option<&Codegen>) {
        let Some(codegen) = codegen else {
            self.skipped.push("instructions: `cargo xtask codegen` did not run".to_owned());
            return;
        };
        for counted in &codegen.lookups {
            let (model, question) = counted.probe.split_once('_').unwrap_or((&counted.probe, ""));
            let (own, twin) = (model.to_owned(), format!("{model} in C"));
            for (subject, instructions, loads) in
                [(own, counted.instructions, counted.loads), (twin, counted.c_instructions, counted.c_loads)]
            {
                let (instructions, loads) = (Some(instructions), Some(loads));
                let named = Measured::named(&format!("code of {question}"), &subject, "", "");
                self.results.push(Measured { instructions, loads, ..named });
            }
        }
        for executed in &codegen.operations {
            let (operation, model) = executed.operation.split_once(' ').unwrap_or((&executed.operation, ""));
            let named = Measured::named(operation, model, "executed", "");
            self.results.push(Measured { instructions: Some(executed.instructions), ..named });
        }
    }
}
