//! Defences by name, for `status` and for receipts: what stands between strangers, guests and this host.

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defence {
    /// Its name; `fades_api::http::defence_words` says what it does.
    pub name: &'static str,
    /// Why it is off; `None`: it is on.
    pub lack: Option<String>,
}

/// Those of every node. What cannot be switched off is listed too: receipts are read by others, later.
const ALWAYS: [&str; 7] = [
    "strict-signatures",
    "replay-store",
    "signed-images",
    "sealed-images",
    "switch-policy",
    "source-gateway",
    "monitor-dies-with-daemon",
];

/// Every node's, and what the machine gives around its guests.
#[must_use]
pub fn with(around_guests: Vec<Defence>) -> Vec<Defence> {
    let always = ALWAYS.into_iter().map(|name| Defence { name, lack: None });
    always.chain(around_guests).collect()
}

#[cfg(test)]
mod tests {
    /// Those around monitors: `wiring`.
    #[test]
    fn every_defence_can_be_explained() {
        for name in super::ALWAYS {
            assert!(fades_api::http::defence_words(name).is_some(), "{name}");
        }
        assert_eq!(fades_api::http::defence_words("none"), None);
    }
}
