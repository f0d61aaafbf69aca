//! Any bytes: reading a wrapper, a draft or a request never panics; whatever is read is written canonically and reads back; every
//! refusal has a code of the catalogue and a message without control characters.

#![no_main]

use fades_api::request::Request;
use fades_api::task::{TaskDraft, Wrapper};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    match fades_fuzz::parse(|| Wrapper::from_json(input)) {
        Ok(wrapper) => {
            let canonical = wrapper.to_json();
            let again = Wrapper::from_json(&canonical).expect("canonical output reads back");
            assert_eq!(again, wrapper);
            assert_eq!(again.to_json(), canonical);
        }
        Err(error) => {
            assert!(error.code.entry().is_some());
            assert!(!error.to_string().chars().any(char::is_control));
        }
    }
    if let Ok(request) = fades_fuzz::parse(|| Request::from_json(input)) {
        assert_eq!(Request::from_json(&request.to_json()).as_ref(), Ok(&request));
    }
    if let Ok(text) = std::str::from_utf8(input) {
        // Its own author's file, read by `fades` where it was written: its parser keeps every error, so no bound holds.
        let _draft = TaskDraft::from_toml(text);
    }
});
