//! A registry that answers anything: a layer is bounded, and no password goes where others can read it.
#![no_main]

use fades_depot::{Login, Manifest, Options, Place, Secret, token_from};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|answer: &[u8]| {
    if let Ok(manifest) = fades_fuzz::parse(|| Manifest::read(answer)) {
        if let Ok((_, size)) = manifest.layer() {
            assert!(size <= fades_pack::MAX_IMAGE);
        }
    }
    let Ok(header) = std::str::from_utf8(answer) else { return };
    let login = Some(Login { user: "a".to_owned(), password: Secret("b".to_owned()) });
    for (place, is_here) in [("oci://a.example/b", false), ("oci://127.0.0.1:5000/b", true)] {
        let Ok(Place::Registry(repository)) = place.parse() else { panic!("{place} is a registry") };
        for insecure in [false, true] {
            let options = Options { insecure, login: login.clone() };
            let asked = fades_fuzz::parse(|| token_from(header, &repository, &options));
            if let Some(Ok(url)) = asked {
                let host = url.host_str().unwrap_or_default();
                let is_loopback = host == "localhost" || host.starts_with("127.") || host == "[::1]";
                assert!(
                    url.scheme() == "https" || (url.scheme() == "http" && is_here && is_loopback),
                    "{url}"
                );
            }
        }
    }
});
