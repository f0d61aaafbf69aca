//! What a guest does when it panics or runs out of memory: it says so on the console, sends one message to the
//! orchestrator if that can be had without waiting for another thread, and has an exit code of its own.

use crate::control::ControlSender;
use crate::exit::{claim, console, json};
use crate::trace;
use fades_wire::exit::{ExitCode, PANIC_MARK, TRACE_MARK};
use fades_wire::failure::{Code, Failure};
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Who hears of a panic besides the console.
static REPORT_TO: OnceLock<ControlSender> = OnceLock::new();
/// What the application says of the data that it is at: a JSON value.
static DATA: OnceLock<fn() -> Option<String>> = OnceLock::new();
/// Set by the first panic: one while reporting another ends the guest at once.
static REPORTING: AtomicBool = AtomicBool::new(false);
/// Time for the last message to leave the machine before it is switched off.
const LAST_WORDS: Duration = Duration::from_millis(20);

/// Installs the hooks; from here on a panic ends the guest with [`ExitCode::Panic`], and a failed allocation
/// with [`ExitCode::OutOfMemory`].
pub fn install() {
    std::panic::set_hook(Box::new(panicked));
    #[cfg(target_os = "hermit")]
    std::alloc::set_alloc_error_hook(out_of_memory);
}

/// Names the control channel that hears of panics from here on. Only the first one counts.
pub fn report_to(control: ControlSender) {
    let _ = REPORT_TO.set(control);
}

/// Names what tells, on the thread that panics, at which of its data the application was, as a JSON value. Only the first one counts.
pub fn data(told: fn() -> Option<String>) {
    let _ = DATA.set(told);
}

fn panicked(info: &PanicHookInfo<'_>) {
    if !REPORTING.swap(true, Ordering::SeqCst) {
        // Told even if the guest was ending: then two things went wrong.
        claim();
        let payload = info.payload();
        let message = payload.downcast_ref::<String>().map(String::as_str);
        let message =
            message.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("panic without words");
        let (file, line) = info.location().map_or(("", 0), |location| (location.file(), location.line()));
        console(&panic_line(message, file, line));
        let data = DATA.get().and_then(|told| told());
        console(&trace_line(&trace::frames(), data.as_deref()));
        if let Some(control) = REPORT_TO.get() {
            let failure = Failure::new(Code::Panic, format!("{message}, at {file}:{line}"));
            if control.try_fail(failure) {
                std::thread::sleep(LAST_WORDS);
            }
        }
    }
    std::process::exit(i32::from(ExitCode::Panic as u8));
}

fn panic_line(message: &str, file: &str, line: u32) -> String {
    format!("{PANIC_MARK}{{\"message\":{},\"file\":{},\"line\":{line}}}", json(message), json(file))
}

fn trace_line(frames: &[usize], data: Option<&str>) -> String {
    let frames: Vec<String> = frames.iter().map(|frame| format!("\"{frame:x}\"")).collect();
    format!("{TRACE_MARK}{{\"frames\":[{}],\"chunk\":{}}}", frames.join(","), data.unwrap_or("null"))
}

/// Says how much was asked for, without allocating.
#[cfg(any(target_os = "hermit", test))]
fn write_oom_line(
    mut out: impl std::io::Write,
    layout: std::alloc::Layout,
    in_use: u64,
) -> std::io::Result<()> {
    let (mark, size) = (fades_wire::exit::OOM_MARK, layout.size());
    writeln!(
        out,
        "\n{mark}{{\"message\":\"memory ran out: {size} bytes asked for, {in_use} in use\",\"requested\":{size}}}"
    )
}

#[cfg(target_os = "hermit")]
fn out_of_memory(layout: std::alloc::Layout) {
    // Nobody is left to be told of a console that fails.
    let _ = write_oom_line(std::io::stderr(), layout, crate::heap::used());
    std::process::exit(i32::from(ExitCode::OutOfMemory as u8));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::alloc::Layout;

    #[test]
    fn lines_are_pinned() {
        assert_eq!(
            panic_line("no \"data\"", "src/a.rs", 7),
            "FADES-PANIC {\"message\":\"no \\\"data\\\"\",\"file\":\"src/a.rs\",\"line\":7}"
        );
        assert_eq!(
            trace_line(&[31, 4096], None),
            "FADES-TRACE {\"frames\":[\"1f\",\"1000\"],\"chunk\":null}"
        );
        assert_eq!(trace_line(&[], Some("{}")), "FADES-TRACE {\"frames\":[],\"chunk\":{}}");
        let mut out = Vec::new();
        write_oom_line(&mut out, Layout::from_size_align(4096, 8).unwrap(), 17).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\nFADES-OOM {\"message\":\"memory ran out: 4096 bytes asked for, 17 in use\",\"requested\":4096}\n"
        );
    }
}
