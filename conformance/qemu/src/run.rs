//! Runs scenarios and stories in QEMU: all that a filter selects, or one kernel with its output.
//!
//! # Invariants
//!
//! 1. Every cell has a result, also when its kernel does not come up or does not end.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sparsemem_any::Backend;
use sparsemem_report::{Arch, CellResult, Outcome, Report, ScenarioInfo, Verdict, World, scenario_matches};

use super::conversation::{CellReport, News, Patience, Transcript, converse};
use super::guest::CommandLine;
use super::image::{Images, lookups};
use super::machine::{QemuMachine, for_scenarios, to_look_at};
use super::stories::{self, STORIES, Story};
use super::{QemuError, check, verdict};

/// The scenario that tests the boot itself.
const BOOTS: &str = "start/comes-up";
/// The scenario that tests the image, which is independent of the machine.
const LOOKUPS: &str = "start/lookups";

/// Selects what to run in QEMU: all by default.
#[derive(Clone, Debug, Default)]
pub struct QemuFilter {
    /// Processors, all of which have to be there; if empty, those that are there, and the cells of the others are skipped.
    pub archs: Vec<Arch>,
    /// Backends; all if empty.
    pub backends: Vec<Backend>,
    /// Names of machines; all if empty.
    pub machines: Vec<String>,
    /// Scenario names with `*` and `?`; all if empty.
    pub scenarios: Vec<String>,
}

/// Kernels to boot, with the scenarios or stories of each.
#[derive(Debug)]
pub struct QemuRun {
    boots: Vec<Boot>,
    missing: Missing,
}

/// The treatment of cells of processors whose packages are not installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    /// They are skipped, unless there are no others.
    Skip,
    /// Nothing is run.
    Fail,
}

/// One kernel on one machine.
#[derive(Debug)]
struct Boot {
    backend: Backend,
    machine: &'static QemuMachine,
    task: Task,
}

#[derive(Debug)]
enum Task {
    /// The scenarios of these names.
    Scenarios(Vec<&'static str>),
    /// One story.
    Story(&'static Story),
    /// Only a check of the image.
    Lookups,
}

/// All scenarios and stories of QEMU, in the order of reports.
#[must_use]
pub fn qemu_catalogue() -> Vec<ScenarioInfo> {
    let info = |name: &str, about: &str| ScenarioInfo {
        name: name.to_owned(),
        about: about.to_owned(),
        facts: Vec::new(),
    };
    let boots = info(
        BOOTS,
        "the kernel comes up on the model, runs everything, and ends with the result that it reported",
    );
    let lookups = info(LOOKUPS, "the kernel's lookups have the intended instructions, and make no calls");
    let scenarios = sparsemem_suite::ALL.iter();
    let scenarios = scenarios.map(|it| ScenarioInfo { facts: it.facts.to_vec(), ..info(it.name, it.about) });
    let stories = STORIES.iter().map(|it| info(it.name, it.about));
    [boots, lookups].into_iter().chain(scenarios).chain(stories).collect()
}

/// Every machine that QEMU emulates; some occur several times.
fn all_machines() -> impl Iterator<Item = &'static QemuMachine> {
    for_scenarios().chain(STORIES.iter().flat_map(|story| story.machines.iter().copied()))
}

/// The names of the machines that QEMU emulates, with their processors and purposes; each once.
#[must_use]
pub fn qemu_machines() -> Vec<(&'static str, Arch, &'static str)> {
    let mut seen = HashSet::new();
    all_machines().filter(|it| seen.insert(it.name)).map(|it| (it.name, it.arch, it.about)).collect()
}

impl QemuRun {
    /// The boots that a filter selects; empty if it selects none.
    #[must_use]
    pub fn new(filter: &QemuFilter) -> Self {
        let backends = if filter.backends.is_empty() { &Backend::ALL[..] } else { &filter.backends };
        let archs = if filter.archs.is_empty() { &Arch::ALL[..] } else { &filter.archs };
        let of_arch =
            |arch: &Arch| backends.iter().flat_map(|backend| boots(*arch, *backend, filter)).collect();
        let boots = archs.iter().flat_map(|arch| -> Vec<Boot> { of_arch(arch) }).collect();
        let missing = if filter.archs.is_empty() { Missing::Skip } else { Missing::Fail };
        Self { boots, missing }
    }

    /// The number of cells.
    #[must_use]
    pub fn cells(&self) -> usize {
        self.boots.iter().map(|boot| boot.cells().len()).sum()
    }

    /// Checks that QEMU can be run, and returns why it cannot for processors whose cells will be skipped.
    ///
    /// # Errors
    ///
    /// [`QemuError::NoQemu`], which names the packages to install: for the first processor for which they are missing, if
    /// processors were chosen, or if they are missing for all.
    pub fn check_tools(&self) -> Result<Vec<(Arch, QemuError)>, QemuError> {
        let archs = Arch::ALL.into_iter().filter(|arch| self.boots.iter().any(|boot| boot.arch() == *arch));
        let (there, missing): (Vec<_>, Vec<_>) =
            archs.map(|arch| (arch, check(arch))).partition(|(_, checked)| checked.is_ok());
        let mut missing: Vec<_> =
            missing.into_iter().filter_map(|(arch, checked)| Some((arch, checked.err()?))).collect();
        if missing.is_empty() || (self.missing == Missing::Skip && !there.is_empty()) {
            return Ok(missing);
        }
        Err(missing.swap_remove(0).1)
    }

    /// Builds the kernels, boots them, a few at a time, and passes each result to `on_done` as soon as it is there.
    /// `on_step` gets the steps before the first result.
    ///
    /// # Errors
    ///
    /// [`QemuError`] if QEMU is not installed or a kernel cannot be built. All other errors are failed cells.
    pub fn run(
        &self,
        threads: usize,
        on_step: &dyn Fn(&str),
        on_done: &(dyn Fn(&CellResult) + Sync),
    ) -> Result<Report, QemuError> {
        let missing = self.check_tools()?;
        let reason = |arch| missing.iter().find(|(known, _)| *known == arch).map(|(_, why)| why.to_string());
        let images = Images::new()?;
        for (arch, backend) in Arch::ALL.iter().flat_map(|arch| Backend::ALL.map(|backend| (*arch, backend)))
        {
            let needs = |boot: &Boot| (boot.arch(), boot.backend) == (arch, backend);
            if reason(arch).is_none() && self.boots.iter().any(needs) {
                on_step(&format!("building the kernel on {backend} for {arch}"));
                images.build(arch, backend)?;
            }
        }
        let done = Mutex::new(Vec::new());
        let next = AtomicUsize::new(0);
        let work = || {
            // Relaxed: only the number counts; results are handed over through a lock.
            loop {
                let nr = next.fetch_add(1, Ordering::Relaxed);
                let Some(boot) = self.boots.get(nr) else { return };
                let results = match reason(boot.arch()) {
                    None => boot.run_cells(&images.of(boot.arch(), boot.backend), on_done),
                    Some(why) => boot.skip_cells(&why, on_done),
                };
                done.lock().unwrap_or_else(PoisonError::into_inner).push((nr, results));
            }
        };
        std::thread::scope(|scope| (0..threads.max(1)).for_each(|_| drop(scope.spawn(work))));
        let mut results = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        results.sort_by_key(|(nr, _)| *nr);
        Ok(Report::new(results.into_iter().flat_map(|(_, results)| results).collect()))
    }
}

/// The boots of a backend on a processor that a filter selects. Those that take long come first.
fn boots(arch: Arch, backend: Backend, filter: &QemuFilter) -> Vec<Boot> {
    let is_wanted = |name: &str| {
        filter.scenarios.is_empty() || filter.scenarios.iter().any(|it| scenario_matches(it, name))
    };
    let is_there = |machine: &QemuMachine| {
        machine.arch == arch
            && (filter.machines.is_empty() || filter.machines.iter().any(|name| name == machine.name))
    };
    let scenarios = std::iter::once(BOOTS).chain(sparsemem_suite::ALL.iter().map(|it| it.name));
    let scenarios: Vec<&str> = scenarios.filter(|name| is_wanted(name)).collect();
    let machines = for_scenarios().filter(|machine| !scenarios.is_empty() && is_there(machine));
    let on_machines =
        machines.map(|machine| Boot { backend, machine, task: Task::Scenarios(scenarios.clone()) });
    let on_all = |story: &'static Story| story.machines.iter().map(move |machine| (*machine, story));
    let stories = STORIES.iter().filter(|story| is_wanted(story.name)).flat_map(on_all);
    let stories = stories.filter(|(machine, _)| is_there(machine));
    let stories = stories.map(|(machine, story)| Boot { backend, machine, task: Task::Story(story) });
    let images = for_scenarios().find(|machine| machine.arch == arch);
    let images = images.filter(|machine| is_wanted(LOOKUPS) && is_there(machine)).into_iter();
    let images = images.map(|machine| Boot { backend, machine, task: Task::Lookups });
    on_machines.chain(stories).chain(images).collect()
}

impl Boot {
    /// The processor.
    const fn arch(&self) -> Arch {
        self.machine.arch
    }

    /// The names of the cells.
    fn cells(&self) -> Vec<&'static str> {
        match &self.task {
            Task::Scenarios(names) => names.clone(),
            Task::Story(story) => vec![story.name],
            Task::Lookups => vec![LOOKUPS],
        }
    }

    /// The results of cells that cannot be run, for a reason.
    fn skip_cells(&self, why: &str, on_done: &dyn Fn(&CellResult)) -> Vec<CellResult> {
        let skipped = |name: &str| self.result(name, (Outcome::Skipped, why.to_owned()), None);
        let results: Vec<_> = self.cells().into_iter().map(skipped).collect();
        results.iter().for_each(on_done);
        results
    }

    /// Boots the kernel, if that is selected, and returns the results of all cells. Results of scenarios are passed
    /// on when the kernel reports them, all others at the end.
    fn run_cells(&self, image: &Path, on_done: &dyn Fn(&CellResult)) -> Vec<CellResult> {
        let line = CommandLine::run(match &self.task {
            Task::Scenarios(_) => "scenarios",
            Task::Story(story) => story.name,
            Task::Lookups => {
                let result = self.result(LOOKUPS, lookups(image, self.arch(), self.backend), None);
                on_done(&result);
                return vec![result];
            }
        });
        let mut reported = HashSet::new();
        let start = Instant::now();
        let transcript = converse(image, self.machine, &line, Patience::SUITE, &mut |news| {
            if let News::Cell(cell) = news
                && self.is_final(&cell.scenario)
                && reported.insert(cell.scenario.clone())
            {
                on_done(&self.result(&cell.scenario, (cell.outcome, cell.detail.clone()), Some(cell)));
            }
        });
        let transcript = transcript
            .unwrap_or_else(|error| Transcript { broken: Some(error.to_string()), ..Transcript::default() });
        let results = self.results(&transcript, start.elapsed());
        results.iter().filter(|result| !reported.contains(&result.scenario)).for_each(on_done);
        results
    }

    /// True if the kernel's report on a scenario is its result. The result of a story also depends on the host's
    /// checks.
    fn is_final(&self, scenario: &str) -> bool {
        matches!(&self.task, Task::Scenarios(names) if names.contains(&scenario))
    }

    /// The results of a transcript. A story and the boot itself take as long as the whole run.
    fn results(&self, transcript: &Transcript, took: Duration) -> Vec<CellResult> {
        let of_all = |name: &str, verdict: Verdict| CellResult {
            duration_ms: milliseconds(took),
            ..self.result(name, verdict, None)
        };
        let of_name = |name: &&str| match *name {
            BOOTS => of_all(BOOTS, verdict::of_boot(transcript, self.backend)),
            name => self.result(name, verdict::of_scenario(transcript, name), transcript.report(name)),
        };
        match &self.task {
            Task::Story(story) => {
                vec![of_all(story.name, verdict::of_story(transcript, story, self.backend))]
            }
            Task::Scenarios(names) => names.iter().map(of_name).collect(),
            Task::Lookups => Vec::new(),
        }
    }

    fn result(&self, scenario: &str, verdict: Verdict, report: Option<&CellReport>) -> CellResult {
        let (outcome, detail) = verdict;
        CellResult {
            scenario: scenario.to_owned(),
            world: World::Qemu,
            arch: Some(self.arch()),
            backend: self.backend,
            machine: self.machine.name.to_owned(),
            outcome,
            detail,
            failure_points: report.map_or(0, |report| report.failure_points),
            duration_ms: report.map_or(0.0, |report| milliseconds(report.took)),
        }
    }
}

fn milliseconds(took: Duration) -> f64 {
    took.as_secs_f64() * 1000.0
}

/// A kernel to boot, and its task.
#[derive(Clone, Debug)]
pub struct Look {
    /// The model that the kernel is built with.
    pub backend: Backend,
    /// The processor.
    pub arch: Arch,
    /// The name of the machine; if `None`, one that suits the task.
    pub machine: Option<String>,
    /// The task of the kernel: `look`, `scenarios`, or the name of a story.
    pub run: String,
    /// Arguments for QEMU, after those of the machine.
    pub args: Vec<String>,
}

impl Look {
    /// Builds the kernel, boots it, and passes every line of plain text to `show`. Returns the outcome, and why it
    /// failed.
    ///
    /// # Errors
    ///
    /// [`QemuError`] if QEMU is not installed, the kernel cannot be built, or the machine does not exist.
    pub fn run(&self, show: &mut dyn FnMut(&str)) -> Result<(Outcome, String), QemuError> {
        let story = stories::find(&self.run);
        let machine = self.machine(story)?;
        check(self.arch)?;
        let images = Images::new()?;
        images.build(self.arch, self.backend)?;
        let line = CommandLine { args: self.args.clone(), ..CommandLine::run(&self.run) };
        let transcript =
            converse(&images.of(self.arch, self.backend), machine, &line, Patience::PERSON, &mut |news| {
                match news {
                    News::Line(line) => show(line),
                    News::Cell(report) if report.detail.is_empty() => {
                        show(&format!("{}: {}", report.scenario, report.outcome));
                    }
                    News::Cell(report) => {
                        show(&format!("{}: {}: {}", report.scenario, report.outcome, report.detail));
                    }
                }
            })?;
        if let Some(message) = &transcript.panic {
            show(message);
        }
        Ok(match story {
            Some(story) => verdict::of_story(&transcript, story, self.backend),
            None => verdict::of_boot(&transcript, self.backend),
        })
    }

    /// The machine: the named one, or the story's, or one with slots for DIMMs.
    fn machine(&self, story: Option<&Story>) -> Result<&'static QemuMachine, QemuError> {
        let Some(name) = &self.machine else {
            let of_story = story.and_then(|story| story.machines.iter().find(|it| it.arch == self.arch));
            return Ok(of_story.copied().unwrap_or(to_look_at(self.arch)));
        };
        all_machines()
            .find(|machine| machine.name == name && machine.arch == self.arch)
            .ok_or_else(|| QemuError::NoSuchMachine { name: name.clone(), arch: self.arch })
    }
}
