//! The stock way: what functions and broker boot with if QEMU is told no more than it must be. A program in front of the
//! monitor takes away what this system adds: its firmware, its machine's options and lack of devices, its empty option ROM, its MTU.
//!
//! The node itself is set to `network_only`, so that all goes by TCP over a virtio device. What guests do with the data is
//! theirs and stays: the stock way's SHA-256 over all bytes is measured by `bench link` alone.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::testbed::node::Node;

/// The shell that does it is part of the time until a guest is ready, as with Linux.
const PROGRAM: &str = r#"#!/bin/sh
case " $* " in *" guest=fades:"*) ;; *) exec qemu-system-x86_64 "$@" ;; esac
for word; do
    shift
    case "$before" in
        # SeaBIOS, and its option ROM for kernels; a display, whose option ROM runs as well, and what else a PC has.
        -bios) before=; continue ;;
        -machine) word=pc ;;
        # The network card's own option ROM, by the network boot that it offers; wherever the card then is.
        -device) case "$word" in *,romfile=,*) word="${word%%,romfile=,*},${word#*,romfile=,}"; word="${word%,addr=*}" ;; esac ;;
        # 1500 bytes, and Ethernet's header.
        -append)
            case "$word" in *env=HERMIT_MTU=*)
                rest="${word#*env=HERMIT_MTU=}"
                case "$rest" in *" "*) rest=" ${rest#* }" ;; *) rest= ;; esac
                word="${word%%env=HERMIT_MTU=*}env=HERMIT_MTU=1514$rest" ;;
            esac ;;
    esac
    before=$word
    case "$word" in -bios|-nodefaults) ;; *) set -- "$@" "$word" ;; esac
done
exec qemu-system-x86_64 "$@"
"#;

/// Has a node that was not started yet boot its guests so.
pub(in crate::bench) fn in_front_of(node: &Node) -> Result<()> {
    let program = program(node)?;
    node.set("qemu", &format!("{:?}", program.display().to_string()))
}

/// The program to be in front of the monitor, in the node's folder; the node is told the rest.
pub(in crate::bench) fn program(node: &Node) -> Result<PathBuf> {
    let file = node.folder().join("stock-qemu");
    fs::write(&file, PROGRAM).with_context(|| format!("write {}", file.display()))?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("let {} run", file.display()))?;
    node.set("network_only", "true")?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn said(words: &[&str]) -> String {
        let script = PROGRAM.replace("exec qemu-system-x86_64", "exec echo");
        let output = Command::new("sh").args(["-c", &script, "sh"]).args(words).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    #[test]
    fn guests_boot_as_qemu_does_unless_told_otherwise() {
        let words = [
            "-nodefaults",
            "-machine",
            "pc,usb=off",
            "-bios",
            "qboot.rom",
            "-name",
            "guest=fades:0f:dmf-01",
            "-append",
            "-ip 10.77.0.2 env=HERMIT_MTU=9014 env=FADES_ROLE=dmf",
            "-device",
            "virtio-net-pci,netdev=net0,romfile=,addr=2.0",
        ];
        assert_eq!(
            said(&words),
            "-machine pc -name guest=fades:0f:dmf-01 -append -ip 10.77.0.2 env=HERMIT_MTU=1514 env=FADES_ROLE=dmf \
             -device virtio-net-pci,netdev=net0"
        );
        assert_eq!(said(&["-bios", "qboot.rom"]), "-bios qboot.rom", "no guest of a node");
        let last = said(&["-name", "guest=fades:0f:drb-01", "-append", "a env=HERMIT_MTU=9014"]);
        assert!(last.ends_with("-append a env=HERMIT_MTU=1514"), "{last}");
    }
}
