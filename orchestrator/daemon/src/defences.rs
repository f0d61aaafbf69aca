//! Defences by name, for `status` and for receipts: what stands between strangers, guests and this host.

/// Each defence and whether it is on. What cannot be switched off is listed too: receipts are read by others, later.
#[must_use]
pub fn list() -> Vec<(&'static str, bool)> {
    vec![
        ("strict-signatures", true),
        ("replay-store", true),
        ("signed-images", true),
        ("sealed-images", true),
        ("switch-policy", true),
        ("source-gateway", true),
        ("monitor-seccomp", true),
        ("monitor-dies-with-daemon", true),
        // Not there yet: said, so that nobody assumes it.
        ("monitor-landlock", false),
        ("monitor-own-user", false),
    ]
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_defence_can_be_explained() {
        for (name, _) in super::list() {
            assert!(fades_api::http::defence_words(name).is_some(), "{name}");
        }
        assert_eq!(fades_api::http::defence_words("none"), None);
    }
}
