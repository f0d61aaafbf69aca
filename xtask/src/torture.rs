//! The long form of the tests that look for what is lost, leaked or harmed: `cargo xtask torture`.
//!
//! Each row is a test that `cargo xtask test` runs in its quick form. Here it is asked for more, by a variable of its environment, with one seed for
//! all of a round; `--minutes` adds rounds, each with the next seed. A test says what it tried in one line, `tried: COUNT | NOTE`.
//! That it ends well is what says that nothing was lost.

use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use crate::stage::cargo;
use crate::{fuzz, miri, test};

/// What a run is to do.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    /// Rounds begin until so many minutes have passed; one does in any case.
    minutes: u64,
    seed: u64,
}

impl Options {
    /// Reads the words behind `torture`.
    ///
    /// # Errors
    /// One that is not known, or has no number.
    pub fn parse(words: &[&str]) -> Result<Self> {
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs());
        let mut options = Self { minutes: 0, seed: clock() };
        for pair in words.chunks(2) {
            let [word, value] = pair else { bail!("{} needs a number", pair.join(" ")) };
            let value = value.parse().with_context(|| format!("{word} needs a number, not {value}"))?;
            match *word {
                "--minutes" => options.minutes = value,
                "--seed" => options.seed = value,
                other => bail!("there is no option {other}"),
            }
        }
        Ok(options)
    }
}

/// A test, and how it is asked for more.
struct Row {
    tries: &'static str,
    package: &'static str,
    program: &'static str,
    test: &'static str,
    more: Option<(&'static str, u64)>,
}

const ROWS: [Row; 18] = [
    Row {
        tries: "edits of one byte of four signed objects, none to be accepted",
        package: "fades-envelope",
        program: "all",
        test: "one_form::no_single_byte_edit_is_accepted_for_any_purpose",
        more: Some(("FADES_EDITS", 255)),
    },
    Row {
        tries: "hostile wrappers, none to be taken",
        package: "fades-daemon",
        program: "daemon",
        test: "hostile::a1_to_a11_no_hostile_wrapper_is_taken",
        more: Some(("FADES_HOSTILE", 1_000_000)),
    },
    Row {
        tries: "seeds of a simulated node, its laws to hold in each",
        package: "fades-core",
        program: "simulation",
        test: "whatever_befalls_the_daemon_its_laws_hold",
        more: Some(("FADES_SEEDS", 10_000)),
    },
    Row {
        tries: "power cuts, nothing that was told to be lost",
        package: "fades-daemon",
        program: "daemon",
        test: "power::a5_what_was_told_survives_a_power_cut",
        more: Some(("FADES_CUTS", 1_000)),
    },
    Row {
        tries: "syncs taken out, each to be noticed",
        package: "fades-daemon",
        program: "daemon",
        test: "power::each_sync_that_is_taken_out_is_noticed",
        more: None,
    },
    Row {
        tries: "wrappers sent again after kills at each step, none to run twice",
        package: "fades-daemon",
        program: "daemon",
        test: "power::replay::a5_nothing_runs_twice_wherever_it_was_killed_and_whatever_comes_then",
        more: Some(("FADES_TASKS", 34)),
    },
    Row {
        tries: "slow connections, each to be closed in time",
        package: "fades-daemon",
        program: "daemon",
        test: "crowd::a8_slow_connections_are_closed_in_time_and_others_served_beside_them",
        more: None,
    },
    Row {
        tries: "idle connections, bounded",
        package: "fades-daemon",
        program: "daemon",
        test: "crowd::a8_ten_thousand_idle_connections_are_bounded",
        more: None,
    },
    Row {
        tries: "frames that no guest may send, none to reach anybody",
        package: "fades-net",
        program: "storm",
        test: "g7_of_25_kinds_of_frames_none_reaches_anybody",
        more: Some(("FADES_FRAMES", 400_000)),
    },
    Row {
        tries: "the same from a guest by its own device",
        package: "xtask",
        program: "hostile",
        test: "g7_of_25_kinds_of_frames_that_a_guest_sends_none_reaches_anybody",
        more: Some(("FADES_FRAMES", 8_000)),
    },
    Row {
        tries: "values at ports, each to harm its own guest at most",
        package: "xtask",
        program: "hostile",
        test: "g1_any_value_at_any_port_harms_its_own_guest_at_most",
        more: Some(("FADES_CASES", 1_000_000)),
    },
    Row {
        tries: "values at addresses without memory, each to harm its own guest at most",
        package: "xtask",
        program: "hostile",
        test: "g1_any_value_at_any_address_without_memory_harms_its_own_guest_at_most",
        more: Some(("FADES_CASES", 1_000_000)),
    },
    Row {
        tries: "hypercalls, each to harm its own guest at most",
        package: "xtask",
        program: "hostile",
        test: "g1_any_hypercall_harms_its_own_guest_at_most",
        more: Some(("FADES_CASES", 1_000_000)),
    },
    Row {
        tries: "lies in queues and registers, each to harm its own guest at most",
        package: "xtask",
        program: "hostile",
        test: "g2_queues_and_registers_that_lie_harm_their_own_guest_at_most",
        more: Some(("FADES_CASES", 1_000_000)),
    },
    Row {
        tries: "bytes to a console, of which little is to be kept",
        package: "xtask",
        program: "hostile",
        test: "g3_of_a_console_without_end_little_is_kept",
        more: Some(("FADES_CONSOLE_MIB", 64)),
    },
    Row {
        tries: "honest tasks, each beside a hostile function: what is left of them",
        package: "xtask",
        program: "neighbour",
        test: "what_a_hostile_function_costs_an_honest_neighbour",
        more: Some(("FADES_RUNS", 5)),
    },
    Row {
        tries: "kills of a node with real guests, each task to end once",
        package: "xtask",
        program: "durability",
        test: "every_accepted_task_ends_once_though_the_daemon_is_killed_fifty_times",
        more: Some(("FADES_KILLS", 1_000)),
    },
    Row {
        tries: "tasks without a pause, nothing of the node to grow",
        package: "xtask",
        program: "soak",
        test: "nothing_grows_with_the_tasks_that_were_served",
        more: Some(("FADES_SECONDS", 3_600)),
    },
];

impl Row {
    fn command(&self, seed: u64) -> Command {
        let mut command = cargo(&["test", "--package", self.package, "--test", self.program, "--"]);
        command.args(["--exact", self.test, "--nocapture"]).env("FADES_SEED", seed.to_string());
        if let Some((name, value)) = self.more {
            command.env(name, value.to_string());
        }
        command
    }

    /// How to have it again, in words for a shell.
    fn again(&self, seed: u64) -> String {
        let more = self.more.map(|(name, value)| format!("{name}={value} ")).unwrap_or_default();
        let Self { package, program, test, .. } = self;
        format!("FADES_SEED={seed} {more}cargo test --locked -p {package} --test {program} -- --exact {test}")
    }
}

/// Runs every row, round after round, and prints what was tried.
///
/// # Errors
/// Something was lost, leaked or harmed, or could not be tried.
pub fn run(options: &Options) -> Result<()> {
    test::build()?;
    let (begun, mut failed) = (Instant::now(), Vec::new());
    eprintln!("{:>12}  {:<66} {:>7}  note", "tried", "of", "time");
    for seed in options.seed.. {
        eprintln!("seed {seed}");
        for row in &ROWS {
            let started = Instant::now();
            let output = row.command(seed).output().context("start cargo")?;
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            let tried = tried(&said);
            let seconds = started.elapsed().as_secs();
            match tried.filter(|_| output.status.success()) {
                Some((count, note)) => eprintln!("{count:>12}  {:<66} {seconds:>5} s  {note}", row.tries),
                None => {
                    eprintln!("{:>12}  {:<66} {seconds:>5} s  {}", "FAILED", row.tries, row.again(seed));
                    eprintln!("{said}");
                    failed.push(row.again(seed));
                }
            }
        }
        let fuzzed = fuzz::Options::long(seed);
        if let Err(error) = fuzz::run(&fuzzed) {
            eprintln!("{error:#}");
            failed.push(format!("cargo xtask fuzz --seed {}", fuzzed.seed));
        }
        if begun.elapsed() >= Duration::from_secs(60 * options.minutes) {
            break;
        }
    }
    // Once: it has no seed.
    if let Err(error) = miri::run() {
        eprintln!("{error:#}");
        failed.push("cargo xtask miri".to_owned());
    }
    if !failed.is_empty() {
        bail!("to have it again:\n{}", failed.join("\n"));
    }
    Ok(())
}

/// What a test says that it tried, and its note.
fn tried(said: &str) -> Option<(&str, &str)> {
    // Behind the name of the test, which the harness writes without an end of line.
    let line = said.lines().filter_map(|line| line.split_once("tried: ")).next_back()?.1;
    let (count, note) = line.split_once(" | ").unwrap_or((line, ""));
    Some((count, note))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_tried_is_read() {
        let said = "running 1 test\ntest a::b ... tried: 1000 | the longest start 4 ms\nok\n";
        assert_eq!(tried(said), Some(("1000", "the longest start 4 ms")));
        assert_eq!(tried("tried: 5"), Some(("5", "")));
        assert_eq!(tried("nothing"), None);
    }

    #[test]
    fn options_are_read() {
        let options = Options::parse(&["--minutes", "3", "--seed", "9"]).expect("options");
        assert_eq!(options, Options { minutes: 3, seed: 9 });
        for wrong in [&["--minutes"][..], &["--seed", "x"], &["--hours", "3"]] {
            assert!(Options::parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(
            ROWS[1]
                .again(7)
                .starts_with("FADES_SEED=7 FADES_HOSTILE=1000000 cargo test --locked -p fades-daemon")
        );
    }
}
