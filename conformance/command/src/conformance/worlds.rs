//! The worlds of a run: the simulated machine of the host, and kernels that QEMU boots.

use std::io;

use clap::ValueEnum;
use sparsemem_conformance::{Cell, Here};
use sparsemem_report::{CellResult, Report};
use sparsemem_terminal::{Failure, Status};

use super::progress::Progress;
use super::qemu::{InQemu, split};
use super::worker::{Process, finds_the_same, serve};
use super::{Args, select};

/// The worlds of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Worlds {
    /// The simulated machine, in processes of the host.
    #[default]
    Host,
    /// Kernels on machines that QEMU emulates.
    Qemu,
    /// Both, in one report.
    All,
}

/// All cells to run.
pub(super) struct Run {
    /// Cells of the host.
    pub(super) host: Vec<Cell>,
    qemu: Option<InQemu>,
}

impl Run {
    /// The cells that the arguments select: at least one.
    pub(super) fn new(args: &Args) -> Result<Self, Failure> {
        let qemu = |args: &Args| InQemu::new(args).map(Some);
        let (host, qemu) = match args.world {
            Worlds::Host if !args.archs.is_empty() => {
                return Err(Failure::Usage(
                    "processors are for kernels in QEMU only; add `--world qemu`, or omit `--arch`"
                        .to_owned(),
                ));
            }
            Worlds::Host => (select::cells(args)?, None),
            Worlds::Qemu => (Vec::new(), qemu(args)?),
            Worlds::All => {
                let (of_host, of_qemu) = split(args);
                (
                    of_host.map_or(Ok(Vec::new()), |args| select::cells(&args))?,
                    of_qemu.map_or(Ok(None), |args| qemu(&args))?,
                )
            }
        };
        Ok(Self { host, qemu })
    }

    /// The number of cells.
    pub(super) fn cells(&self) -> usize {
        self.host.len() + self.qemu.as_ref().map_or(0, InQemu::cells)
    }

    /// Runs cells of the host for another process.
    pub(super) fn serve(&self) -> Result<Status, Failure> {
        serve(&self.host).map(|()| Status::Passed)
    }

    /// Runs the cells, one world after the other.
    pub(super) fn run_cells(
        &self,
        args: &Args,
        threads: usize,
        progress: &Progress,
    ) -> Result<Report, Failure> {
        let on_done = |result: &CellResult| progress.done(result);
        if let Some(qemu) = &self.qemu {
            // If the tools are missing, the time that the host's cells take would be wasted.
            qemu.check_tools()?;
        }
        let Report { mut results, rules, .. } = run_on_host(&self.host, args, threads, &on_done)?;
        if let Some(qemu) = &self.qemu {
            results.extend(qemu.run_cells(threads, progress, &on_done)?);
        }
        Ok(Report::new(results).with_rules(rules))
    }
}

/// Runs cells of the host in processes of their own, or on threads of this one if other processes cannot read what it read.
fn run_on_host(
    cells: &[Cell],
    args: &Args,
    threads: usize,
    on_done: &(dyn Fn(&CellResult) + Sync),
) -> Result<Report, Failure> {
    if !finds_the_same(args) {
        return Ok(sparsemem_conformance::run(cells, vec![Here; threads], on_done));
    }
    let process = |_| Process::of_this_program();
    let processes: io::Result<Vec<_>> = (0..threads).map(process).collect();
    let processes = processes.map_err(|error| Failure::Broken(format!("where this program is: {error}")))?;
    Ok(sparsemem_conformance::run(cells, processes, on_done))
}

#[cfg(all(test, feature = "qemu"))]
mod tests {
    use super::{Args, Run, Worlds};
    use sparsemem_any::Backend;
    use sparsemem_report::Arch;
    use sparsemem_terminal::Failure;

    fn args(world: Worlds, scenario: &[&str], machine: &[&str]) -> Args {
        let scenarios = scenario.iter().map(ToString::to_string).collect();
        Args { world, scenarios, machines: machine.iter().map(Into::into).collect(), ..Args::default() }
    }

    fn refusal(args: &Args) -> String {
        match Run::new(args) {
            Err(Failure::Usage(text)) => text,
            _ => panic!("should have been refused"),
        }
    }

    #[test]
    fn one_scenario_in_qemu_is_a_cell_per_backend_and_machine() {
        let run = Run::new(&args(Worlds::Qemu, &["boot/words"], &["qemu-q35-256m"])).unwrap();
        assert_eq!((run.host.len(), run.cells()), (0, Backend::ALL.len()));
    }

    #[test]
    fn a_processor_has_its_own_machines() {
        let of = |archs: &[Arch]| {
            let args = Args { archs: archs.to_vec(), ..args(Worlds::Qemu, &["boot/words"], &[]) };
            Run::new(&args).unwrap().cells()
        };
        let each = Arch::ALL.map(|arch| of(&[arch]));
        assert!(each.iter().all(|cells| *cells >= 2 * Backend::ALL.len()), "{each:?}");
        assert_eq!(of(&[]), each.iter().sum::<usize>());
    }

    #[test]
    fn what_nobody_knows_is_refused() {
        assert!(refusal(&args(Worlds::All, &["no-such/*"], &[])).contains("`no-such/*`"));
        assert!(refusal(&args(Worlds::Qemu, &["golden/*"], &[])).contains("`golden/*`"));
        assert!(refusal(&args(Worlds::Qemu, &[], &["x.dmesg"])).contains("`x.dmesg`"));
        assert!(
            refusal(&args(Worlds::Qemu, &["dimm/refused"], &["qemu-q35-256m"])).contains("none of these")
        );
        let host = Args { archs: vec![Arch::Aarch64], ..Args::default() };
        assert!(refusal(&host).contains("--world qemu"));
        let recordings = vec!["dimm-1g.json".into()];
        let both = Args { recordings, world: Worlds::Qemu, ..Args::default() };
        assert!(refusal(&both).contains("--world qemu"));
    }
}
