//! Whether this program runs where domains are controlled.

use crate::xl::XlError;
use std::path::Path;

/// Says that this kernel controls domains.
const CAPABILITIES: &str = "proc/xen/capabilities";
/// The kernel's own connection to XenStore; there in every domain.
pub(crate) const XENBUS: &str = "dev/xen/xenbus";

/// Checks that this is dom0, looking below `root` (`/` but in tests).
///
/// # Errors
/// [`XlError::NotDom0`], with what was found.
pub fn check(root: &Path) -> Result<(), XlError> {
    let not = |found: &'static str| Err(XlError::NotDom0 { found });
    if !root.join(XENBUS).exists() {
        return not("there is no /dev/xen/xenbus: this kernel does not run on Xen, or lacks its drivers");
    }
    match std::fs::read_to_string(root.join(CAPABILITIES)) {
        Ok(words) if words.contains("control_d") => Ok(()),
        Ok(_) => not("/proc/xen/capabilities does not say control_d: this is a guest of Xen"),
        Err(_) => not("/proc/xen/capabilities cannot be read: is xenfs mounted on /proc/xen?"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_missing_is_named() {
        let root = tempfile::tempdir().unwrap();
        let said = || check(root.path()).map_err(|error| error.to_string());
        assert!(said().unwrap_err().contains("/dev/xen/xenbus"));
        fs::create_dir_all(root.path().join("dev/xen")).unwrap();
        fs::write(root.path().join(XENBUS), "").unwrap();
        assert!(said().unwrap_err().contains("xenfs"));
        fs::create_dir_all(root.path().join("proc/xen")).unwrap();
        fs::write(root.path().join(CAPABILITIES), "\n").unwrap();
        assert!(said().unwrap_err().contains("guest"));
        fs::write(root.path().join(CAPABILITIES), "control_d\n").unwrap();
        assert_eq!(said(), Ok(()));
    }
}
