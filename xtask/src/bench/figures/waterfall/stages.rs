//! From lines of QEMU's trace to the stages of one start.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::bench::median;

/// Events that QEMU is to write down.
pub(super) const EVENTS: [&str; 4] =
    ["vm_state_notify", "fw_cfg_select", "pci_cfg_write", "loadvm_state_setup"];

/// A stage of a start.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stage {
    pub(super) name: &'static str,
    /// Since it was asked for.
    pub(super) start_ms: f64,
    pub(super) ms: f64,
}

impl Stage {
    pub(super) fn json(&self) -> Value {
        let rounded = |ms: f64| (ms * 10.0).round() / 10.0;
        json!({"name": self.name, "start_ms": rounded(self.start_ms), "ms": rounded(self.ms)})
    }
}

/// One start: the end of each stage but the last, ms since its process was.
#[derive(Debug, PartialEq)]
pub(super) struct Start {
    ends: Vec<(&'static str, f64)>,
    last: &'static str,
}

impl Start {
    /// Reads `PID@SECONDS:event …`.
    pub(super) fn read(lines: &[String]) -> Result<Self> {
        let parse = |line: &String| {
            let (time, event) = line.split_once('@')?.1.split_once(':')?;
            Some((time.parse::<f64>().ok()? * 1e3, event.to_owned()))
        };
        let events: Vec<(f64, String)> = lines.iter().filter_map(parse).collect();
        let starts: Vec<f64> =
            events.iter().filter(|(_, event)| event == "start").map(|(at, _)| *at).collect();
        let [start] = starts[..] else { bail!("{} processes were started for one task", starts.len()) };
        let first = |what: &str| events.iter().find(|(_, event)| event.contains(what)).map(|(at, _)| *at);
        let running = first("vm_state_notify running 1").context("no guest ran")?;
        let ends = if let Some(loading) = first("loadvm_state_setup") {
            vec![("monitor", loading), ("state", running)]
        } else {
            let kernel = |(_, event): &&(f64, String)| {
                event.contains("fw_cfg_select") && event.contains("kernel_entry")
            };
            let firmware = events.iter().rfind(kernel).context("no firmware took the kernel")?.0;
            let device = |(at, event): &&(f64, String)| {
                *at > firmware
                    && event.contains("pci_cfg_write")
                    && ["ivshmem", "virtio-net"].iter().any(|device| event.contains(device))
            };
            let device = events.iter().find(device).context("no kernel set its device up")?.0;
            vec![("monitor", running), ("firmware", firmware), ("loader and kernel", device)]
        };
        let last = if ends.len() == 2 { "born again, hello" } else { "its device, hello" };
        Ok(Self { ends: ends.into_iter().map(|(name, at)| (name, at - start)).collect(), last })
    }

    /// The stages of a start that took so long in all. What the orchestrator does before there is a process is in the last one.
    pub(super) fn stages(&self, boot_ms: f64) -> Result<Vec<Stage>> {
        let mut start_ms = 0.0;
        let mut stages = Vec::new();
        for (name, end) in self.ends.iter().copied().chain([(self.last, boot_ms)]) {
            if end < start_ms {
                bail!("{name} ended {end} ms after the start, before it began at {start_ms}");
            }
            stages.push(Stage { name, start_ms, ms: end - start_ms });
            start_ms = end;
        }
        Ok(stages)
    }
}

/// Each stage's median, one behind the other.
pub(super) fn medians(starts: &[Vec<Stage>]) -> Result<Vec<Stage>> {
    let first = starts.first().context("nothing was started")?;
    let mut start_ms = 0.0;
    let mut stages = Vec::new();
    for (index, Stage { name, .. }) in first.iter().enumerate() {
        let all: Vec<f64> = starts
            .iter()
            .filter_map(|stages| stages.get(index))
            .filter(|stage| stage.name == *name)
            .map(|stage| stage.ms)
            .collect();
        if all.len() != starts.len() {
            bail!("not every start has a stage {name}: some went on from a snapshot, and some did not");
        }
        let ms = median(all).context("no starts")?;
        stages.push(Stage { name, start_ms, ms });
        start_ms += ms;
    }
    Ok(stages)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    const COLD: &str = "\
7@100.000000:start
7@100.050000:vm_state_notify running 1 reason 9 (running)
7@100.051000:pci_cfg_write virtio-net-pci 00:02.0 @0x4 <- 0x1
7@100.058000:fw_cfg_select 0x5 key 0x0010 'kernel_entry', ret: 1
7@100.060000:fw_cfg_select 0x5 key 0x0010 'kernel_entry', ret: 1
7@100.090000:pci_cfg_write ivshmem-doorbell 00:03.0 @0x4 <- 0x100002
7@100.091000:pci_cfg_write ivshmem-doorbell 00:03.0 @0x4 <- 0x100006";

    #[test]
    fn a_boot_has_its_stages() {
        let stages = Start::read(&lines(COLD)).unwrap().stages(110.0).unwrap();
        let told: Vec<(&str, f64)> = stages.iter().map(|stage| (stage.name, stage.ms.round())).collect();
        assert_eq!(
            told,
            [("monitor", 50.0), ("firmware", 10.0), ("loader and kernel", 30.0), ("its device, hello", 20.0)]
        );
        assert_eq!(stages[2].start_ms.round(), 60.0);
        assert_eq!(medians(&[stages.clone(), stages.clone()]).unwrap().len(), 4);
    }

    #[test]
    fn one_that_goes_on_has_others_and_both_are_not_mixed() {
        let text = "8@5.0:start\n8@5.040:loadvm_state_setup \n8@5.042:vm_state_notify running 1 reason 9";
        let stages = Start::read(&lines(text)).unwrap().stages(50.0).unwrap();
        let told: Vec<(&str, f64)> = stages.iter().map(|stage| (stage.name, stage.ms.round())).collect();
        assert_eq!(told, [("monitor", 40.0), ("state", 2.0), ("born again, hello", 8.0)]);
        let cold = Start::read(&lines(COLD)).unwrap().stages(110.0).unwrap();
        assert!(medians(&[stages, cold]).is_err());
    }

    #[test]
    fn what_does_not_fit_is_no_figure() {
        assert!(Start::read(&[]).is_err());
        assert!(Start::read(&lines(&format!("{COLD}\n{COLD}"))).is_err(), "two processes");
        assert!(Start::read(&lines("7@1.0:start")).is_err(), "it never ran");
        assert!(Start::read(&lines(COLD)).unwrap().stages(80.0).is_err(), "ready before its kernel was");
    }
}
