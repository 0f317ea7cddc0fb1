//! Measuring: subjects take turns, so that a noisy moment of the machine hurts all of them.
//!
//! # Invariants
//!
//! 1. A sample is the time of whole sweeps over one list: after a sweep that is not timed or, where everything has to come
//!    from memory, after the caches were filled with something else. So it does not matter whose turn it was before.
//! 2. In each round every subject has a turn, in an order of its own: who comes after whom is chance.

use std::time::{Duration, Instant};

use sparsemem_core::Pfn;

use crate::frames::{Pattern, Random};
use crate::host::last_level_cache_bytes;
use crate::subjects::Subject;

/// The time that is spent on a measurement.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Turns of each subject.
    pub rounds: usize,
    /// Turns of each subject where every sample begins with other memory in all caches: that takes most of the time.
    pub cold_rounds: usize,
    /// The least time of a sample.
    pub sample: Duration,
}

impl Effort {
    /// The time for a quick look.
    pub const QUICK: Self = Self { rounds: 7, cold_rounds: 3, sample: Duration::from_micros(100) };
    /// The time for a report.
    pub const FULL: Self = Self { rounds: 101, cold_rounds: 15, sample: Duration::from_micros(200) };
}

/// Times per lookup, a sample per round. Units: nanoseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples(pub Vec<f64>);

impl Samples {
    /// The middle one.
    #[must_use]
    pub fn median(&self) -> f64 {
        median(self.0.clone())
    }

    /// The shortest.
    #[must_use]
    pub fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// The longest.
    #[must_use]
    pub fn max(&self) -> f64 {
        self.0.iter().copied().fold(0.0, f64::max)
    }

    /// The middle of the ratios to another subject, round by round.
    #[must_use]
    pub fn ratio_to(&self, other: &Self) -> f64 {
        median(self.0.iter().zip(&other.0).map(|(own, other)| own / other).collect())
    }
}

/// The middle one, or zero of none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// One subject at work.
struct Turn<'s, 'm> {
    run: &'s (dyn Fn(&[u64]) + 'm),
    items: Vec<u64>,
    /// Sweeps of a sample.
    sweeps: u32,
}

impl Turn<'_, '_> {
    /// One sample with caches as the lookups leave them.
    fn warm(&self) -> f64 {
        (self.run)(&self.items);
        self.timed()
    }

    /// One sample that begins with other things in the caches.
    fn cold(&self, other: &mut OtherMemory) -> f64 {
        other.fill_caches();
        self.timed()
    }

    fn timed(&self) -> f64 {
        let lookups = f64::from(self.sweeps) * self.items.len() as f64;
        self.sweep().as_secs_f64() * 1e9 / lookups
    }

    /// All sweeps of a sample.
    fn sweep(&self) -> Duration {
        let started = Instant::now();
        for _ in 0..self.sweeps {
            (self.run)(&self.items);
        }
        started.elapsed()
    }

    /// Finds out how many sweeps make a sample.
    fn calibrate(&mut self, effort: Effort) {
        (self.run)(&self.items);
        while self.sweep() < effort.sample && self.sweeps < 1 << 20 {
            self.sweeps *= 2;
        }
    }
}

/// Memory that fills all caches.
struct OtherMemory(Vec<u64>);

impl OtherMemory {
    fn new() -> Self {
        Self(vec![1; 2 * last_level_cache_bytes() / size_of::<u64>()])
    }

    /// Writes to every cache line of it.
    fn fill_caches(&mut self) {
        for word in self.0.iter_mut().step_by(8) {
            *word = word.wrapping_add(1);
        }
        std::hint::black_box(&mut self.0);
    }
}

/// The samples of every subject that has such a loop, in the order of the subjects; none for the others.
#[must_use]
pub fn alternate(
    subjects: &[Subject<'_>],
    frames: &[Pfn],
    pattern: Pattern,
    effort: Effort,
) -> Vec<Option<Samples>> {
    let mut turns: Vec<Option<Turn<'_, '_>>> = subjects
        .iter()
        .map(|subject| {
            let run = subject.sweep(pattern.touches())?;
            Some(Turn { run: &**run, items: subject.items(frames), sweeps: 1 })
        })
        .collect();
    let mut other = pattern.begins_cold().then(OtherMemory::new);
    if other.is_none() {
        turns.iter_mut().flatten().for_each(|turn| turn.calibrate(effort));
    }
    let rounds = if other.is_some() { effort.cold_rounds } else { effort.rounds };
    let samples = in_turns(turns.len(), rounds, |at| {
        let Some(turn) = &turns[at] else { return 0.0 };
        other.as_mut().map_or_else(|| turn.warm(), |other| turn.cold(other))
    });
    let measured = turns.iter().zip(samples);
    measured.map(|(turn, samples)| turn.as_ref().map(|_| samples)).collect()
}

/// The samples of so many subjects, by number: each has a turn in each round.
pub fn in_turns(subjects: usize, rounds: usize, mut sample: impl FnMut(usize) -> f64) -> Vec<Samples> {
    let mut samples = vec![Samples::default(); subjects];
    let (mut order, mut random): (Vec<usize>, _) = ((0..subjects).collect(), Random::new());
    for _ in 0..rounds {
        random.shuffle(&mut order);
        order.iter().for_each(|at| samples[*at].0.push(sample(*at)));
    }
    samples
}

/// The times of something that is done as a whole, repeated. Units: nanoseconds.
pub fn repeat(times: usize, mut once: impl FnMut() -> Duration) -> Samples {
    Samples((0..times).map(|_| once().as_secs_f64() * 1e9).collect())
}

/// The first pair of subjects of one family and list that do not agree, if there is one.
#[must_use]
pub fn disagreement(subjects: &[Subject<'_>], frames: &[Pfn]) -> Option<String> {
    let mut known = std::collections::BTreeMap::new();
    for subject in subjects {
        let sum = subject.checksum(&subject.items(frames));
        let (first, expected) = known
            .entry(&subject.family)
            .or_insert_with(|| (format!("{} of {}", subject.question, subject.name), sum));
        if *expected != sum {
            return Some(format!(
                "{} of {} and {first} give different answers",
                subject.question, subject.name
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Effort, Samples, alternate, disagreement};
    use crate::frames::Pattern;
    use crate::subjects::{Subject, empty_loop};
    use sparsemem_core::Pfn;
    use std::time::Duration;

    #[test]
    fn medians_and_ratios() {
        let (one, two) = (Samples(vec![1.0, 9.0, 2.0]), Samples(vec![2.0, 3.0, 4.0]));
        assert_eq!((one.median(), one.min(), one.max()), (2.0, 1.0, 9.0));
        assert_eq!(one.ratio_to(&two), 0.5);
    }

    #[test]
    fn every_subject_has_every_turn() {
        let effort = Effort { rounds: 3, cold_rounds: 3, sample: Duration::from_nanos(1) };
        let samples = alternate(&[empty_loop(), empty_loop()], &[Pfn::new(1)], Pattern::Hot, effort);
        assert!(samples.iter().all(|samples| samples.as_ref().is_some_and(|samples| samples.0.len() == 3)));
        let touched = alternate(&[empty_loop()], &[Pfn::new(1)], Pattern::TlbTouch, effort);
        assert_eq!(touched, [None], "nothing is found that could be touched");
    }

    #[test]
    fn subjects_that_disagree_are_named() {
        let other = Subject::number("wrong", "liar", "nothing", Pfn::get, |pfn| pfn + 1);
        let said = disagreement(&[empty_loop(), other], &[Pfn::new(1)]).unwrap();
        assert!(said.contains("liar") && said.contains("nothing"), "{said}");
        assert_eq!(disagreement(&[empty_loop(), empty_loop()], &[Pfn::new(1)]), None);
    }
}
