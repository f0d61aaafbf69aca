//! `xtask machines`: how long a guest takes to `main` on each machine that QEMU has for it, on every accelerator that runs
//! code here. It decides which machine the node uses.
//!
//! Without a network, which kernel 0.11 does not have on `microvm`: the rest is the node's own set of options.

use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::{figures, median};
use crate::images::probe;

/// Machines by name, each with the firmware that takes least time.
const MACHINES: [(&str, &str); 3] = [
    ("pc", "pc,graphics=off,usb=off,vmport=off,hpet=off"),
    ("q35", "q35,graphics=off,usb=off,vmport=off,hpet=off,smbus=off,sata=off"),
    ("microvm", "microvm"),
];
/// Accelerators, each with the processor that the node asks for there.
const ACCELERATORS: [(&str, &str); 2] = [("kvm", "host"), ("tcg,tb-size=32", "max")];
/// Boots of each machine if no number is given.
pub const RUNS: usize = 9;
/// Far above what a boot takes in a lab; an accelerator that runs no code may hang.
const PATIENCE: Duration = Duration::from_secs(30);
/// What the probe prints in `main`.
const MARK: &[u8] = b"SUCCESS";

/// From the start of the process, in milliseconds.
struct Boot {
    /// To the first line of `main`.
    main: f64,
    /// To the end of the process.
    end: f64,
}

/// Ends the machine whatever becomes of the look at it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Already ended is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Boots each machine `runs` times, prints the medians, and leaves them as JSON where `figures` leaves its own.
///
/// # Errors
/// The probe is not there, or a machine that booted once does not boot again.
pub fn run(runs: usize) -> Result<()> {
    let (loader, application) = probe("hello")?;
    let mut rows = Vec::new();
    let mut table = format!("{runs} boots of each; medians in ms from the start of QEMU\n");
    writeln!(table, "{:<10} {:<8} {:>10} {:>10}", "", "machine", "to main", "to its end")?;
    for (accelerator, processor) in ACCELERATORS {
        let boot = |machine| boot(machine, accelerator, processor, &loader, &application);
        let name = accelerator.split(',').next().unwrap_or_default();
        if let Err(error) = boot(MACHINES[0].1) {
            writeln!(table, "{name}: not here: {error:#}")?;
            continue;
        }
        let mut boots: [Vec<Boot>; MACHINES.len()] = Default::default();
        // By turns, so that what else the host does meets all of them.
        for _ in 0..runs {
            for ((_, machine), boots) in MACHINES.iter().zip(&mut boots) {
                boots.push(boot(machine)?);
            }
        }
        for ((machine, _), boots) in MACHINES.iter().zip(&boots) {
            let of = |what: fn(&Boot) -> f64| median(boots.iter().map(what).collect()).unwrap_or(f64::NAN);
            let (main, end) = (of(|boot| boot.main), of(|boot| boot.end));
            writeln!(table, "{name:<10} {machine:<8} {main:>10.0} {end:>10.0}")?;
            rows.push(
                json!({"accelerator": name, "machine": machine, "main": main.round(), "end": end.round()}),
            );
        }
    }
    if figures::in_a_lab() {
        writeln!(table, "{}", figures::EMULATED)?;
    }
    print(&table);
    let file = figures::out()?.join("machines.json");
    let document = json!({"boots": runs, "unit": "ms, medians", "rows": rows});
    fs::write(&file, format!("{document:#}\n")).with_context(|| format!("write {}", file.display()))?;
    Ok(())
}

fn boot(
    machine: &str,
    accelerator: &str,
    processor: &str,
    loader: &Path,
    application: &Path,
) -> Result<Boot> {
    let started = Instant::now();
    let mut command = Command::new("qemu-system-x86_64");
    command
        .args(["-machine", machine, "-bios", "qboot.rom", "-accel", accelerator, "-cpu", processor])
        .args(["-smp", "1", "-m", "64M", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"])
        .args(["-serial", "stdio", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"])
        // Small machines have no timer to measure their clock by, so all are told it.
        .args(["-append", "-freq 2000"])
        .arg("-kernel")
        .arg(loader)
        .arg("-initrd")
        .arg(application)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut qemu = Running(command.spawn().context("start qemu-system-x86_64")?);
    let mut console = qemu.0.stdout.take().context("a console")?;
    let reader = std::thread::spawn(move || {
        let (mut seen, mut part, mut main) = (Vec::new(), [0; 4096], None);
        while let Ok(count @ 1..) = console.read(&mut part) {
            seen.extend_from_slice(&part[..count]);
            if main.is_none() && seen.windows(MARK.len()).any(|window| window == MARK) {
                main = Some(started.elapsed());
            }
        }
        (main, started.elapsed(), seen)
    });
    while qemu.0.try_wait().context("wait for QEMU")?.is_none() {
        if started.elapsed() > PATIENCE {
            bail!("no end within {} s", PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let Ok((main, end, seen)) = reader.join() else { bail!("the console's reader panicked") };
    let Some(main) = main else {
        bail!("it did not come to main: {}", String::from_utf8_lossy(&seen).trim())
    };
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    Ok(Boot { main: ms(main), end: ms(end) })
}

#[expect(clippy::print_stdout, reason = "this is what the command is asked for")]
fn print(table: &str) {
    print!("{table}");
}
