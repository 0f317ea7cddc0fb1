//! Runs a scenario on every machine, and says what the contract is where it fails.

use sparsemem_replay::Inside;
use sparsemem_suite::{Ended, Failure, NotRun, Scenario, find};

use crate::{Host, MACHINES, Verdict};

/// Runs a scenario on every machine; for [`tests!`](crate::tests).
///
/// # Panics
///
/// With the contract, the place, what was expected and what was found, and the command that runs the test again.
pub fn check(name: &str, test: &str, subject: fn(Host) -> Verdict) {
    let scenario = find(name).unwrap_or_else(|| panic!("the suite has no scenario `{name}`"));
    let mut reasons = Vec::new();
    for machine in MACHINES {
        match subject(Host::new(*machine, scenario)) {
            Ok(Ended::Passed(tally)) => {
                println!("{name} on {}: passed, {} failures tried", machine.name, tally.failure_points);
            }
            Ok(Ended::NotRun(NotRun::NotApplicable(why) | NotRun::Skipped(why))) => {
                println!("{name} on {}: {why}", machine.name);
                reasons.push(why);
            }
            Err(failure) => {
                let Scenario { contract, about, .. } = scenario;
                panic!(
                    "{}",
                    report(
                        &format!("{name} on the machine `{}`", machine.name),
                        contract,
                        about,
                        test,
                        &failure
                    )
                )
            }
        }
    }
    // A model that boots nowhere would pass everything.
    let is_idle = reasons.len() == MACHINES.len() && name == "boot/words";
    assert!(!is_idle, "the model boots on none of the machines: {}", reasons[0]);
}

/// Replays a recording of Linux; for [`tests!`](crate::tests).
///
/// # Panics
///
/// With the step, the fact, what Linux had and what was found, and the command that runs the test again.
pub fn check_recording(name: &str, test: &str, subject: fn(Host) -> Verdict) {
    let inside =
        Inside::find(name).unwrap_or_else(|| panic!("there is no recording `{name}` in the package"));
    match subject(Host::of_recording(inside)) {
        Ok(Ended::Passed(_)) => println!("linux/{name}: as recorded"),
        Ok(Ended::NotRun(NotRun::NotApplicable(why) | NotRun::Skipped(why))) => {
            println!("linux/{name}: {why}");
        }
        Err(failure) => {
            let about = inside.read().map(|recording| recording.about().to_owned()).unwrap_or_default();
            let contract = "Capabilities::usages: what a running Linux had after each step";
            panic!("{}", report(&format!("linux/{name}"), contract, &about, test, &failure))
        }
    }
}

/// A failure, for the author of the model.
fn report(head: &str, contract: &str, about: &str, test: &str, failure: &Failure) -> String {
    let Failure { place, what, expected, found } = failure;
    // Test names do not have the name of the crate.
    let test = test.split_once("::").map_or(test, |(_, test)| test);
    format!(
        "{head}\n\
         \x20 the contract  {contract}\n\
         \x20 says          {about}\n\
         \x20 at            {place}\n\
         \x20 checked       {what}\n\
         \x20 expected      {expected}\n\
         \x20 found         {found}\n\
         \x20 run it again  cargo test {test} -- --exact --nocapture"
    )
}

#[cfg(test)]
mod tests {
    use sparsemem_suite::{ALL, Place};

    use super::*;

    #[test]
    fn a_report_names_contract_place_values_and_command() {
        let failure = Failure::new(Place::section(3), "flags", "present", "absent");
        let Scenario { contract, about, .. } = &ALL[0];
        let text = report("boot/words on `board`", contract, about, "mine::suite::boot::words", &failure);
        for part in ["BootModel::boot", "section 3", "flags", "present", "absent", "`board`"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(text.ends_with("cargo test suite::boot::words -- --exact --nocapture"), "{text}");
    }
}
