//! A Linux guest that does what a function does, for figures: Debian's kernel, and a ramdisk with its first process, the
//! drivers of one network device, and the function `stats` built for Linux out of the crate that is a unikernel elsewhere.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::archive::Archive;
use super::packages::{self, Packages};
use super::tree::{VIRTIO, read};
use crate::stage::{cargo, check, target};

const TARGET: &str = "x86_64-unknown-linux-gnu";
const INIT: &str = "fades-bench-linux";
const FUNCTION: &str = "dmf-stats";
/// Its network device's, in the order in which they are loaded.
const NETWORK: [&str; 3] = ["net/core/failover", "drivers/net/net_failover", "drivers/net/virtio_net"];
/// With a bridge, as the device alone leaves checksums to Linux in dom0 (`bench/linux/src/interface.rs`).
const XEN: [&str; 4] = ["net/llc/llc", "net/802/stp", "net/bridge/bridge", "drivers/net/xen-netfront"];

/// What a monitor boots.
pub(crate) struct Parts {
    /// An ELF file with a PVH entry.
    pub(crate) kernel: PathBuf,
    pub(crate) ramdisk: PathBuf,
}

impl Parts {
    /// For machines of QEMU.
    ///
    /// # Errors
    /// They were not built.
    pub(crate) fn virtio() -> Result<Self> {
        Self::found("virtio")
    }

    /// For domains of Xen.
    ///
    /// # Errors
    /// They were not built.
    pub(crate) fn xen() -> Result<Self> {
        Self::found("xen")
    }

    fn found(devices: &str) -> Result<Self> {
        let parts = Self::named(devices);
        for file in [&parts.kernel, &parts.ramdisk] {
            ensure!(file.is_file(), "{} is not there: a lab has it with --linux", file.display());
        }
        Ok(parts)
    }

    fn named(devices: &str) -> Self {
        let folder = folder();
        Self { kernel: folder.join("vmlinux"), ramdisk: folder.join(format!("{devices}.cpio")) }
    }
}

fn folder() -> PathBuf {
    target().join("linux/guest")
}

/// Builds both guests; gives all files.
///
/// # Errors
/// A package cannot be had, or something does not build.
pub(crate) fn build() -> Result<Vec<PathBuf>> {
    let packages = packages::fetch()?;
    let folder = folder();
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    programs()?;
    let mut files = Vec::new();
    for (devices, modules) in [("virtio", [&VIRTIO[..], &NETWORK].concat()), ("xen", XEN.to_vec())] {
        let parts = Parts::named(devices);
        ramdisk(&parts.ramdisk, &packages, &modules)?;
        files.push(parts.ramdisk);
        if !files.contains(&parts.kernel) {
            kernel(&packages.image, &parts.kernel)?;
            files.push(parts.kernel);
        }
    }
    Ok(files)
}

/// First process and function, static, with the profile of guests (`images/build/src/guest.rs`).
fn programs() -> Result<()> {
    let mut command =
        cargo(&["build", "--release", "--target", TARGET, "--package", INIT, "--package", FUNCTION]);
    command.arg("--target-dir").arg(target().join("linux"));
    command.env("RUSTFLAGS", "-Ctarget-feature=+crt-static -Crelocation-model=static");
    let profile = [
        ("PANIC", "abort"),
        ("LTO", "fat"),
        ("CODEGEN_UNITS", "1"),
        ("OPT_LEVEL", "3"),
        ("STRIP", "symbols"),
    ];
    for (key, value) in profile {
        command.env(format!("CARGO_PROFILE_RELEASE_{key}"), value);
    }
    check(&mut command)
}

fn ramdisk(file: &Path, packages: &Packages, modules: &[&str]) -> Result<()> {
    let built = target().join("linux").join(TARGET).join("release");
    let out = File::create(file).with_context(|| format!("write {}", file.display()))?;
    let mut archive = Archive::new(BufWriter::new(out));
    archive.folder(Path::new("/proc"))?;
    for (place, program) in [("/init", INIT), ("/function", FUNCTION)] {
        archive.file(Path::new(place), 0o755, &read(&built.join(program))?)?;
    }
    let mut order = String::new();
    for module in modules {
        let path = packages.modules.join("kernel").join(module).with_extension("ko");
        // Some are part of the kernel in some of Debian's kernels.
        if path.is_file() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            archive.file(&Path::new("/modules").join(&name), 0o644, &read(&path)?)?;
            order.push_str(&name);
            order.push('\n');
        }
    }
    archive.file(Path::new("/modules/order"), 0o644, order.as_bytes())?;
    archive.finish().with_context(|| format!("write {}", file.display()))?;
    Ok(())
}

/// The kernel as it is when it has unpacked itself: what PVH boots, in less time than the packed one.
fn kernel(image: &Path, file: &Path) -> Result<()> {
    let image = read(image)?;
    let packed = payload(&image).context("this is no kernel of boot protocol 2.08 or later")?;
    let (packed, length) = packed.split_last_chunk::<4>().context("the packed kernel is too short")?;
    let mut xz = Command::new("xz")
        .args(["--decompress", "--stdout"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = xz.stdin.take().context("xz has no input")?;
    let output = std::thread::scope(|scope| {
        let writer = scope.spawn(move || input.write_all(packed));
        let output = xz.wait_with_output().context("wait for xz")?;
        writer.join().ok().context("the thread that writes to xz panicked")?.context("write to xz")?;
        Ok::<_, anyhow::Error>(output)
    })?;
    let length = usize::try_from(u32::from_le_bytes(*length))?;
    if !output.status.success() || output.stdout.len() != length {
        bail!("the kernel does not unpack by xz to {length} bytes: {}", output.status);
    }
    fs::write(file, &output.stdout).with_context(|| format!("write {}", file.display()))
}

/// What a bzImage unpacks, with its length when unpacked behind it as Linux' build appends it (Documentation/x86/boot.rst:
/// `setup_sects`, `payload_offset`, `payload_length`).
fn payload(image: &[u8]) -> Option<&[u8]> {
    const MAGIC: std::ops::Range<usize> = 0x202..0x206;
    let word = |at: usize| {
        let bytes = image.get(at..at + 4)?.first_chunk::<4>()?;
        usize::try_from(u32::from_le_bytes(*bytes)).ok()
    };
    let version = u16::from_le_bytes(*image.get(0x206..0x208)?.first_chunk::<2>()?);
    if image.get(MAGIC)? != b"HdrS" || version < 0x0208 {
        return None;
    }
    // 0 means 4, from times before there was this field.
    let sectors = match *image.get(0x1f1)? {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let start = (sectors + 1) * 512 + word(0x248)?;
    image.get(start..start.checked_add(word(0x24c)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packed_kernel_is_where_the_header_says() {
        let mut image = vec![0; 4096];
        image[0x1f1] = 2;
        image[0x202..0x208].copy_from_slice(b"HdrS\x0f\x02");
        image[0x248..0x24c].copy_from_slice(&100u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&7u32.to_le_bytes());
        image[1636..1643].copy_from_slice(b"payload");
        assert_eq!(payload(&image), Some(&b"payload"[..]));
        assert_eq!(payload(&image[..1642]), None, "cut");
        image[0x206] = 7;
        assert_eq!(payload(&image), None, "too old");
        assert_eq!(payload(b"no kernel"), None);
    }
}
