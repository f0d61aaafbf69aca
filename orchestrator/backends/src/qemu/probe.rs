//! Whether an accelerator can run our guests, found by running a few instructions under a deadline.
//!
//! `/dev/kvm` may open and even create a machine where the processor has no virtualisation; the guest then dies in the
//! kernel's instruction emulator, and QEMU waits for ever. So the probe boots a guest of 40 bytes that does what every
//! Hermit kernel does first (enable and read the extended control register, which that emulator cannot) and counts down,
//! and looks at how and when it ends.

use std::io::Write;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::MemfdFlags;

use super::child::{self, Limits};
use super::jail::Jail;
use super::{Accelerator, command};
use crate::console::Console;

/// How long a probe may take: it needs 60 ms under TCG on a slow machine.
const DEADLINE: Duration = Duration::from_secs(5);
/// How QEMU begins its farewell to a guest that the kernel's KVM cannot run.
const GIVEN_UP: &str = "KVM internal error";
/// What the guest writes to the exit port, and so (`<< 1 | 1`) the status that proves that it ran.
const EXIT_VALUE: u8 = 0x2a;
/// Rounds of the countdown: long enough to compare with the host's own time for the same loop.
const ROUNDS: u32 = 20_000_000;

/// What running the probe showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// The guest ran to its end in this time, start of the process included.
    Usable(Duration),
    /// It did not; the words say how it ended.
    Unusable(String),
}

/// Boots the probe guest on `accelerator` with the QEMU at `program`, in `jail`.
pub(crate) fn run(program: &str, accelerator: Accelerator, jail: &Jail) -> Probe {
    match try_run(program, accelerator, jail) {
        Ok(probe) => probe,
        Err(error) => Probe::Unusable(format!("{program} could not be started: {error}")),
    }
}

fn try_run(program: &str, accelerator: Accelerator, jail: &Jail) -> std::io::Result<Probe> {
    let guest = rustix::fs::memfd_create("fades-probe", MemfdFlags::CLOEXEC)?;
    let mut guest = std::fs::File::from(guest);
    guest.write_all(&elf(&code()))?;
    let mut arguments = command::bare(accelerator, command::Machine::Whole);
    let kernel = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&guest));
    arguments.extend(["-m", "8M", "-serial", "none", "-kernel", kernel.as_str()].map(str::to_owned));
    let asked = Instant::now();
    let files = [std::os::fd::AsFd::as_fd(&guest)];
    let cell = Arc::new(jail.cell());
    let mut command = child::command(program, &arguments, &files, &Limits::probe(), &cell);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let said = Console::default();
    let reader = child.stderr.take().map(|stderr| {
        let said = said.clone();
        std::thread::spawn(move || said.fill_from(stderr))
    });
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        // QEMU keeps a guest that the kernel gave up on, for ever: what it says is the sooner end.
        if asked.elapsed() > DEADLINE || said.tail().contains(GIVEN_UP) {
            child.kill()?;
            child.wait()?;
            break None;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    let took = asked.elapsed();
    if let Some(reader) = reader
        && reader.join().is_err()
    {
        return Err(std::io::Error::other("reading what QEMU said failed"));
    }
    let tail = said.tail();
    let words = tail.lines().next().map(|line| format!(": {}", line.trim())).unwrap_or_default();
    Ok(match status {
        Some(status) if status.code() == Some(i32::from(EXIT_VALUE) << 1 | 1) => Probe::Usable(took),
        Some(status) => Probe::Unusable(format!("the probe guest ended with {status}{words}")),
        None => Probe::Unusable(format!("the probe guest did not run to its end{words}")),
    })
}

/// The probe's instructions, 32-bit protected mode as PVH enters it.
fn code() -> Vec<u8> {
    let mut code = vec![
        0x0f, 0x20, 0xe0, // mov eax, cr4
        0x0d, 0x00, 0x02, 0x04, 0x00, // or eax, OSFXSR | OSXSAVE
        0x0f, 0x22, 0xe0, // mov cr4, eax
        0x31, 0xc9, // xor ecx, ecx
        0x0f, 0x01, 0xd0, // xgetbv
        0xb9, // mov ecx, ROUNDS
    ];
    code.extend(ROUNDS.to_le_bytes());
    code.extend([
        0x49, // dec ecx
        0x75, 0xfd, // jnz to the dec
        0xb0, EXIT_VALUE, // mov al, EXIT_VALUE
        0xe6, 0xf4, // out 0xf4, al
        0xf4, // hlt
        0xeb, 0xfd, // jmp to the hlt
    ]);
    code
}

/// An ELF32 file with one segment at 1 MiB and the note `Xen`/18 (PHYS32_ENTRY) that makes QEMU boot it by PVH.
fn elf(code: &[u8]) -> Vec<u8> {
    const BASE: u32 = 0x10_0000;
    const HEADERS: u32 = 52 + 2 * 32;
    const NOTE: u32 = 20;
    let entry = BASE + HEADERS + NOTE;
    let total = u32::try_from(code.len()).unwrap_or(u32::MAX).saturating_add(HEADERS + NOTE);
    let mut file = vec![0x7f, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let half = |file: &mut Vec<u8>, values: &[u16]| values.iter().for_each(|v| file.extend(v.to_le_bytes()));
    let word = |file: &mut Vec<u8>, values: &[u32]| values.iter().for_each(|v| file.extend(v.to_le_bytes()));
    half(&mut file, &[2, 3]); // executable, 386
    word(&mut file, &[1, entry, 52, 0, 0]);
    half(&mut file, &[52, 32, 2, 40, 0, 0]);
    word(&mut file, &[1, 0, BASE, BASE, total, total, 7, 4096]); // PT_LOAD
    word(&mut file, &[4, HEADERS, BASE + HEADERS, BASE + HEADERS, NOTE, NOTE, 4, 4]); // PT_NOTE
    word(&mut file, &[4, 4, 18]);
    file.extend(b"Xen\0");
    word(&mut file, &[entry]);
    file.extend(code);
    file
}

/// The host's own time for the loop that the probe runs, to tell what emulation costs here.
pub(crate) fn native_loop() -> Duration {
    let started = Instant::now();
    let mut left = std::hint::black_box(ROUNDS);
    while left != 0 {
        left = std::hint::black_box(left - 1);
    }
    started.elapsed()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    /// A program in QEMU's place that does what `script` says.
    fn stand_in(name: &str, script: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("fades-{name}-{}", std::process::id()));
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        path
    }

    #[test]
    fn tcg_runs_the_probe_and_a_missing_program_is_named() {
        assert!(matches!(run("qemu-system-x86_64", Accelerator::Tcg, &Jail::bare()), Probe::Usable(_)));
        match run("qemu-that-is-not-there", Accelerator::Tcg, &Jail::bare()) {
            Probe::Unusable(words) => assert!(words.contains("qemu-that-is-not-there"), "{words}"),
            Probe::Usable(took) => panic!("a missing program ran in {took:?}"),
        }
    }

    #[test]
    fn an_accelerator_that_gives_up_or_ends_otherwise_is_not_usable() {
        let lies = "echo 'KVM internal error. Suberror: 1' >&2; exec sleep 60";
        for (script, words) in
            [(lies, "KVM internal error"), ("exit 0", "exit status: 0"), ("exit 83", "exit status: 83")]
        {
            let program = stand_in("probe", script);
            let asked = Instant::now();
            let found = run(program.to_str().unwrap(), Accelerator::Kvm, &Jail::bare());
            assert!(asked.elapsed() < DEADLINE, "{script}: {:?}", asked.elapsed());
            assert!(matches!(&found, Probe::Unusable(said) if said.contains(words)), "{script}: {found:?}");
            std::fs::remove_file(program).unwrap();
        }
    }

    #[test]
    fn one_that_says_nothing_is_not_waited_for_beyond_the_deadline() {
        let program = stand_in("silent", "exec sleep 60");
        let asked = Instant::now();
        assert!(matches!(
            run(program.to_str().unwrap(), Accelerator::Kvm, &Jail::bare()),
            Probe::Unusable(_)
        ));
        assert!(asked.elapsed() < 2 * DEADLINE);
        std::fs::remove_file(program).unwrap();
    }
}
