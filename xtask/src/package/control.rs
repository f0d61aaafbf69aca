//! What the package says of itself.

/// This version, as the workspace has it.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Which licences hold for what is in it.
pub(super) const COPYRIGHT: &str = "\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: the authors of Fades
License: MIT or Apache-2.0
Comment: The texts lie beside this file: LICENSE-MIT, LICENSE-APACHE.

Files: usr/share/fades/images/*
Copyright: the authors of Fades; the Hermit project; the authors of fdt
License: (MIT or Apache-2.0) and MPL-2.0
Comment: Images contain the Hermit kernel, with patches that are among the kit's sources. The kernel reads device trees with the
 crate fdt, which is under the Mozilla Public License 2.0 and is not changed: its source is at https://github.com/repnop/fdt, in
 the version that sbom names. What each program and image is made of, and under which licence, stands in sbom beside this file.
";

/// The package's file.
pub(super) fn file_name() -> String {
    format!("fades_{VERSION}_amd64.deb")
}

/// `DEBIAN/control`, for files of so many KiB.
pub(super) fn control(kib: u64) -> String {
    format!(
        "Package: fades\nVersion: {VERSION}\nArchitecture: amd64\nMaintainer: the authors of Fades <fades@localhost>\n\
         Installed-Size: {kib}\nSection: net\nPriority: optional\nDepends: libc6, libgcc-s1\nRecommends: qemu-system-x86\n\
         Suggests: influxdb, lld, binutils, patch, gcc\n\
         Description: fine-grained edge offloading with unikernels\n \
         Signed tasks go to where sensor data is; signed aggregates come back. Programs, images, and the kit to\n \
         write functions with. Building functions takes what is suggested, and a Rust toolchain with library sources.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of a description begin with a space, and every other one with a key.
    #[test]
    fn it_has_the_form_that_dpkg_reads() {
        for line in control(1).lines() {
            assert!(line.starts_with(' ') || line.split_once(": ").is_some(), "{line:?}");
        }
    }
}
