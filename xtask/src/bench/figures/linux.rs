//! Linux in the place of functions: a program in front of the monitor's that exchanges what is booted, and nothing else.
//!
//! An image has no room for it (8 MiB, two ELF files). So the node verifies and orders its image as always; what starts QEMU,
//! or builds the domain, is told another kernel and ramdisk, and adds what Linux has to be told. The shell that does so is
//! part of the time until the guest is ready.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::lab::linux::Parts;
use crate::testbed::node::Node;

/// Memory of a guest, MiB.
pub(in crate::bench) const MEMORY_MIB: u32 = 96;
/// Where the node looks for `xl` first. In a lab nothing is there.
const XL: &str = "/usr/local/sbin/xl";
/// Quiet on the console; without a function there is nothing to wait for.
const ARGUMENTS: &str = "quiet panic=-1 console=";

/// In front of the real monitor while it lives.
pub(in crate::bench) struct Linux(PathBuf);

impl Drop for Linux {
    fn drop(&mut self) {
        // In the node's folder it may have gone with that.
        let _ = fs::remove_file(&self.0);
    }
}

impl Linux {
    /// For a node on `backend` that has not been started.
    pub(in crate::bench) fn instead_of_functions(node: &Node, backend: &str) -> Result<Self> {
        let (file, text) = if backend == "xen" {
            if Path::new(XL).exists() {
                bail!("{XL} is there: this is no lab's dom0");
            }
            (PathBuf::from(XL), xl(&Parts::xen()?))
        } else {
            let file = node.folder().join("linux-in-qemu");
            node.set("qemu", &format!("{:?}", file.display().to_string()))?;
            (file, qemu(&Parts::virtio()?))
        };
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        }
        fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("let {} run", file.display()))?;
        Ok(Self(file))
    }
}

fn qemu(parts: &Parts) -> String {
    let (kernel, ramdisk) = (parts.kernel.display(), parts.ramdisk.display());
    format!(
        r#"#!/bin/sh
case " $*" in *" guest=fades:"*":dmf-"*) ;; *) exec qemu-system-x86_64 "$@" ;; esac
for word; do
    shift
    case "$before" in
        # Linux asks the interval timer how fast the processor is, and ACPI who interrupts where.
        -machine) set -- "$@" "${{word%,acpi=off,pit=off}}" ;;
        -kernel) set -- "$@" '{kernel}' ;;
        -initrd) set -- "$@" '{ramdisk}' ;;
        -append) set -- "$@" "$word {ARGUMENTS}ttyS0" ;;
        *) set -- "$@" "$word" ;;
    esac
    before=$word
done
exec qemu-system-x86_64 "$@"
"#
    )
}

fn xl(parts: &Parts) -> String {
    let (kernel, ramdisk) = (parts.kernel.display(), parts.ramdisk.display());
    format!(
        r#"#!/bin/sh
for last; do :; done
if [ "$1" != create ] || ! grep -q '^name="fades-[^"]*-dmf-' "$last"; then exec /usr/sbin/xl "$@"; fi
mine=/tmp/linux-guest-$$
sed -e 's|^kernel=.*|kernel="{kernel}"|' -e 's|^ramdisk=.*|ramdisk="{ramdisk}"|' \
    -e 's|^cmdline="\(.*\)"$|cmdline="\1 {ARGUMENTS}hvc0"|' "$last" > "$mine"
exec /usr/sbin/xl create -F -q -f "$mine"
"#
    )
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// What the program's own `exec` would run, with an `echo` in its place.
    fn said(script: &str, monitor: &str, words: &[&str]) -> String {
        let script = script.replace(&format!("exec {monitor}"), "exec echo");
        let output = Command::new("sh").args(["-c", &script, "sh"]).args(words).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn parts() -> Parts {
        Parts { kernel: "/l/vmlinux".into(), ramdisk: "/l/ramdisk".into() }
    }

    #[test]
    fn qemu_gets_linux_for_functions_only() {
        let script = qemu(&parts());
        let of = |name: &str| {
            let words = [
                "-machine",
                "pc,hpet=off,acpi=off,pit=off",
                "-name",
                name,
                "-kernel",
                "/proc/self/fd/5",
                "-initrd",
                "/proc/self/fd/6",
                "-append",
                "-ip a b",
            ];
            said(&script, "qemu-system-x86_64", &words)
        };
        assert_eq!(
            of("guest=fades:0f:dmf-01"),
            "-machine pc,hpet=off -name guest=fades:0f:dmf-01 -kernel /l/vmlinux -initrd /l/ramdisk -append -ip a b quiet panic=-1 console=ttyS0"
        );
        assert!(
            of("guest=fades:0f:drb-01")
                .ends_with("-kernel /proc/self/fd/5 -initrd /proc/self/fd/6 -append -ip a b")
        );
    }

    #[test]
    fn xl_gets_linux_for_functions_only() {
        let script = xl(&parts()).replace("create -F -q -f \"$mine\"", "\"$(cat \"$mine\"; rm \"$mine\")\"");
        let folder = std::env::temp_dir().join(format!("fades-linux-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let of = |name: &str| {
            let file = folder.join("domain");
            fs::write(
                &file,
                format!("name=\"{name}\"\nkernel=\"/k\"\nramdisk=\"/r\"\ncmdline=\"-ip a\"\nmemory=64\n"),
            )
            .unwrap();
            said(&script, "/usr/sbin/xl", &["create", "-q", file.to_str().unwrap()])
        };
        assert_eq!(
            of("fades-0f-dmf-01"),
            "name=\"fades-0f-dmf-01\"\nkernel=\"/l/vmlinux\"\nramdisk=\"/l/ramdisk\"\n\
             cmdline=\"-ip a quiet panic=-1 console=hvc0\"\nmemory=64"
        );
        assert!(of("fades-0f-drb-01").starts_with("create -q "));
        assert_eq!(said(&script, "/usr/sbin/xl", &["list"]), "list");
        fs::remove_dir_all(&folder).unwrap();
    }
}
