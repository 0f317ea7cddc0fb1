//! Measures everything and writes a report: what `cargo xtask bench` runs.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use sparsemem_benches::host::Host;
use sparsemem_benches::lookups;
use sparsemem_benches::maps::{Map, USUAL};
use sparsemem_benches::measure::Effort;
use sparsemem_benches::report::Report;
use sparsemem_benches::result::{Codegen, Results};
use sparsemem_benches::slow::{boot, changes, initialise};

/// Measures the memory models, what one would write instead, and C, and writes a report.
#[derive(Debug, Parser)]
struct Args {
    /// Only a quick look: fewer samples, and no machine beyond the first two.
    #[arg(long)]
    quick: bool,
    /// Measure lookups on this machine only: a path, or a name of the project's machines (may be repeated).
    #[arg(long = "machine", value_name = "FILE")]
    machines: Vec<String>,
    /// The form of the output at the end.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// The counts of `cargo xtask codegen --format json`.
    #[arg(long, value_name = "FILE")]
    codegen: Option<PathBuf>,
    /// The folder of the report.
    #[arg(long, value_name = "FOLDER", default_value = "target/bench-report")]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
}

/// The amount of work of each kind.
struct Amount {
    effort: Effort,
    boots: usize,
    changes: usize,
    rounds: usize,
    window: Duration,
}

impl Amount {
    const QUICK: Self =
        Self { effort: Effort::QUICK, boots: 3, changes: 51, rounds: 5, window: Duration::from_millis(20) };
    const FULL: Self = Self {
        effort: Effort::FULL,
        boots: 21,
        changes: 1001,
        rounds: 31,
        window: Duration::from_millis(100),
    };
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Box<dyn std::error::Error>> {
    let codegen = args.codegen.as_ref().map(std::fs::read_to_string).transpose()?;
    let codegen: Option<Codegen> = codegen.map(|text| serde_json::from_str(&text)).transpose()?;
    let maps = maps(args)?;
    let host = Host::here();
    let bar = progress();
    let say = |what: &str| match bar.is_hidden() {
        true => eprintln!("{what}"),
        false => bar.set_message(what.to_owned()),
    };
    let mut results = measure(args, &maps, &say);
    bar.finish_and_clear();
    if !host.has_large_pages() {
        results.skipped.push("2 MiB pages: the host gives none, so everything is on 4 KiB pages".to_owned());
    }
    results.add_codegen(codegen.as_ref());
    let names: Vec<String> = maps.iter().map(|map| map.name.clone()).collect();
    let report = Report {
        results: &results,
        codegen: codegen.as_ref(),
        host: &host,
        command: &command(args),
        quick: args.quick,
        machines: &names,
    };
    report.write(&args.out)?;
    match args.format {
        Format::Json => println!("{}", serde_json::to_string(&results)?),
        Format::Text => {
            println!("{}", report.for_readme());
            println!("The report is {}, with its plots beside it.", args.out.join("REPORT.md").display());
        }
    }
    Ok(())
}

/// The machines that were asked for, or the usual ones.
fn maps(args: &Args) -> Result<Vec<Map>, Box<dyn std::error::Error>> {
    let usual = if args.quick { &USUAL[..2] } else { &USUAL[..] };
    let names: Vec<&str> = match args.machines.is_empty() {
        true => usual.to_vec(),
        false => args.machines.iter().map(String::as_str).collect(),
    };
    Ok(names.into_iter().map(Map::open).collect::<Result<_, _>>()?)
}

/// The command that repeats this run.
fn command(args: &Args) -> String {
    let quick = if args.quick { " --quick" } else { "" };
    let machines = args.machines.iter().map(|name| format!(" --machine {name}"));
    format!("cargo xtask bench{quick}{}", machines.collect::<String>())
}

fn measure(args: &Args, maps: &[Map], say: &dyn Fn(&str)) -> Results {
    let amount = if args.quick { Amount::QUICK } else { Amount::FULL };
    let mut results = Results::default();
    for map in maps {
        lookups::on_machine(map, amount.effort, say, &mut results);
    }
    let small = maps.iter().min_by_key(|map| map.ram_bytes());
    if let Some(map) = small {
        lookups::hot_added_on(map, amount.effort, say, &mut results);
    }
    if !args.quick {
        let large = Map::contiguous(lookups::LARGE, 4 << 40);
        lookups::hot_added_on(&large, amount.effort, say, &mut results);
    }
    lookups::cold(amount.effort, say, &mut results);
    boot::measure(amount.boots, say, &mut results);
    let usual = Map::contiguous("8 GiB", 8 << 30);
    changes::measure(&usual, amount.changes, say, &mut results);
    initialise::measure(&usual, amount.rounds, say, &mut results);
    changes::readers(&usual, amount.rounds, amount.window, say, &mut results);
    boot::count_bytes(maps, say, &mut results);
    results
}

/// A spinner on a terminal; elsewhere a line for every step.
fn progress() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
