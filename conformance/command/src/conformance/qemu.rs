//! The part of a run that kernels in QEMU do.

use std::path::Path;

use serde_json::json;
use sparsemem_qemu::{QemuError, QemuFilter, QemuRun, qemu_catalogue, qemu_machines};
use sparsemem_report::{CellResult, scenario_matches};
use sparsemem_terminal::units::counted;
use sparsemem_terminal::{Failure, Format, Screen, Status, say, say_json};

use super::progress::Progress;
use super::{Args, select};

/// The cells that run in QEMU.
pub(super) struct InQemu(QemuRun);

impl InQemu {
    /// The cells that the arguments select: at least one.
    pub(super) fn new(args: &Args) -> Result<Self, Failure> {
        qemu_run(args).map(Self)
    }

    /// The number of cells.
    pub(super) fn cells(&self) -> usize {
        self.0.cells()
    }

    /// Checks that QEMU can be run, and prints for which processors it cannot.
    pub(super) fn check_tools(&self) -> Result<(), Failure> {
        let missing = self.0.check_tools().map_err(|error| broken(&error))?;
        missing.iter().for_each(|(arch, why)| eprintln!("skipping kernels on {arch}: {why}"));
        Ok(())
    }

    /// Runs the cells.
    pub(super) fn run_cells(
        &self,
        threads: usize,
        progress: &Progress,
        on_done: &(dyn Fn(&CellResult) + Sync),
    ) -> Result<Vec<CellResult>, Failure> {
        let report = self.0.run(threads, &|what| progress.step(what), on_done);
        Ok(report.map_err(|error| broken(&error))?.results)
    }
}

fn broken(error: &QemuError) -> Failure {
    Failure::Broken(error.to_string())
}

/// Prints the scenarios and machines of QEMU.
pub(super) fn list(format: Format) -> Result<Status, Failure> {
    match format {
        Format::Text => say(&listed(&Screen::of_stdout()))?,
        Format::Json => say_json(&json!({
            "scenarios": qemu_catalogue().iter().map(|it| json!({ "name": it.name, "about": it.about })).collect::<Vec<_>>(),
            "machines": qemu_machines().iter().map(|(name, arch, about)| json!({ "name": name, "arch": arch, "about": about })).collect::<Vec<_>>(),
        }))?,
    }
    Ok(Status::Passed)
}

/// The list as text.
fn listed(screen: &Screen) -> String {
    let mut scenarios = screen.table(&["scenario", "what it checks"]);
    for scenario in qemu_catalogue() {
        scenarios.add_row(vec![scenario.name, scenario.about]);
    }
    let mut machines = screen.table(&["machine", "processor", "what it is"]);
    for (name, arch, about) in qemu_machines() {
        machines.add_row(vec![name, arch.name(), about]);
    }
    format!(
        "{scenarios}\n\n{machines}\n\n{}\n",
        counted(QemuRun::new(&QemuFilter::default()).cells(), "cell")
    )
}

/// The run in QEMU that the arguments select.
fn qemu_run(args: &Args) -> Result<QemuRun, Failure> {
    if !args.recordings.is_empty() || args.geometry.is_some() {
        return Err(Failure::Usage(
            "recordings and geometries are for the host only; omit them with `--world qemu`".to_owned(),
        ));
    }
    let names: Vec<String> = qemu_catalogue().into_iter().map(|scenario| scenario.name).collect();
    let unknown = |pattern: &&String| !names.iter().any(|name| scenario_matches(pattern, name));
    if let Some(pattern) = args.scenarios.iter().find(unknown) {
        return Err(Failure::Usage(select::no_such_scenario(pattern, &names)));
    }
    if let Some(machine) = args.machines.iter().find(|machine| !is_qemu_machine(machine)) {
        return Err(Failure::Usage(format!(
            "QEMU has no machine `{}`; use one of:\n  {}",
            machine.display(),
            qemu_machines().iter().map(|(name, ..)| *name).collect::<Vec<_>>().join("\n  ")
        )));
    }
    let machines = args.machines.iter().map(|machine| machine.display().to_string()).collect();
    let (backends, scenarios) = (select::filter(args).backends, args.scenarios.clone());
    let run = QemuRun::new(&QemuFilter { archs: args.archs.clone(), backends, machines, scenarios });
    if run.cells() == 0 {
        return Err(Failure::Usage(
            "none of these scenarios runs on these machines in QEMU; `--list --world qemu` shows both"
                .to_owned(),
        ));
    }
    Ok(run)
}

/// The arguments of each world: a name that belongs to only one world is passed to that world. `None` if nothing is
/// left for a world.
pub(super) fn split(args: &Args) -> (Option<Args>, Option<Args>) {
    let is_theirs =
        |pattern: &String| qemu_catalogue().iter().any(|scenario| scenario_matches(pattern, &scenario.name));
    let is_ours = |pattern: &String| {
        let known = sparsemem_conformance::catalogue();
        pattern.starts_with("linux/")
            || known.iter().any(|scenario| scenario_matches(pattern, &scenario.name))
    };
    let scenarios =
        |is_it: &dyn Fn(&String) -> bool| args.scenarios.iter().filter(|it| is_it(it)).cloned().collect();
    let (theirs, ours): (Vec<_>, Vec<_>) = args.machines.iter().cloned().partition(|it| is_qemu_machine(it));
    // Unknown names are passed to the host, which reports them.
    let host =
        Args { scenarios: scenarios(&|it| is_ours(it) || !is_theirs(it)), machines: ours, ..args.clone() };
    let qemu = Args { scenarios: scenarios(&is_theirs), machines: theirs, geometry: None, ..args.clone() };
    let is_left = |part: &Args| {
        part.machines.is_empty() == args.machines.is_empty()
            && part.scenarios.is_empty() == args.scenarios.is_empty()
    };
    let is_recordings = !args.recordings.is_empty();
    (Some(host).filter(is_left), Some(qemu).filter(|part| is_left(part) && !is_recordings))
}

/// True if QEMU has a machine of this name.
fn is_qemu_machine(name: &Path) -> bool {
    qemu_machines().iter().any(|(known, ..)| name == Path::new(known))
}

#[cfg(test)]
mod tests {
    use super::{Args, listed, split};
    use crate::conformance::worlds::Worlds;
    use sparsemem_terminal::Screen;

    fn args(world: Worlds, scenario: &[&str], machine: &[&str]) -> Args {
        let scenarios = scenario.iter().map(ToString::to_string).collect();
        Args { world, scenarios, machines: machine.iter().map(Into::into).collect(), ..Args::default() }
    }

    #[test]
    fn names_go_to_the_world_that_knows_them() {
        let (host, qemu) = split(&args(Worlds::All, &["golden/*", "boot/words", "dimm/*"], &[]));
        assert_eq!(host.unwrap().scenarios, ["golden/*", "boot/words"]);
        assert_eq!(qemu.unwrap().scenarios, ["boot/words", "dimm/*"]);
        let (host, qemu) = split(&args(Worlds::All, &["golden/*"], &[]));
        assert!(host.is_some() && qemu.is_none());
        let (host, qemu) = split(&args(Worlds::All, &[], &["qemu-q35-256m"]));
        assert!(host.is_none() && qemu.is_some());
    }

    #[test]
    fn the_list_has_scenarios_stories_and_machines() {
        let text = listed(&Screen::plain(100));
        for wanted in ["boot/words", "dimm/comes-and-goes", "qemu-q35-256m", "qemu-riscv64-withheld"] {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
    }
}
