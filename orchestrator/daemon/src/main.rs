//! `fadesd [--parent PID] DIR`: runs the node of a folder in the foreground until SIGINT or SIGTERM; with `--parent` no longer than the
//! process that started it, however that ends.

use std::error::Error;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_env("FADES_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let (parent, dir) = match arguments.as_slice() {
        [dir] => (None, dir),
        [option, parent, dir] if option == "--parent" => (Some(parent), dir),
        _ => {
            tracing::error!("usage: fadesd [--parent PID] DIR (a folder made by `fades init`)");
            return ExitCode::from(2);
        }
    };
    if let Some(parent) = parent
        && !lives_with(&parent.to_string_lossy())
    {
        tracing::error!("process {} is not the one that started this one", parent.to_string_lossy());
        return ExitCode::from(2);
    }
    match run(PathBuf::from(dir)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to hear that nobody can be told.
            drop(std::io::stderr().write_all(fades_daemon::words(error.as_ref()).as_bytes()));
            ExitCode::FAILURE
        }
    }
}

/// Has the parent's end terminate this process; false if the process of this id is not its parent, or no longer.
fn lives_with(parent: &str) -> bool {
    let asked = set_parent_process_death_signal(Some(Signal::TERM)).is_ok();
    // Only now is an end that came before seen, too.
    asked && getppid().is_some_and(|pid| pid.as_raw_nonzero().to_string() == parent)
}

fn run(dir: PathBuf) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let shutdown = async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            tracing::info!("ending");
        };
        fades_daemon::run(&dir, Box::new(fades_daemon::wiring::real), shutdown).await?;
        Ok(())
    })
}
