//! Pushing images to folders, HTTP servers and a real OCI registry, and pulling them again.

use std::path::Path;

use fades_testkit::Script;
use serde_json::Value;

use crate::node::{Ended, TestNode, fades};
use crate::registry::Registry;
use crate::shelf::{Shelf, TlsShelf};

impl TestNode {
    fn push(&self, image: &str, place: &str) -> Ended {
        self.local(&["image", "push", image, place, "-o", "json"])
    }
}

/// Makes a key and image files, without a node: `stats` 1.0.0, 1.2.0 and another build of 1.2.0, `window` 1.0.0.
pub(crate) fn workshop() -> TestNode {
    let node = TestNode::equipped(Script::default());
    for (name, version, memory) in
        [("stats", "1.0.0", 33), ("stats", "1.2.0", 32), ("stats", "1.2.0", 40), ("window", "1.0.0", 33)]
    {
        node.packed(name, version, memory);
    }
    node
}

/// The same with a proxy in the environment that is none.
fn past_a_proxy(node: &TestNode, words: &[&str]) -> Ended {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_fades"));
    command.current_dir(node.work.path()).args(["--node", "n/", "image"]).args(words);
    for variable in ["http_proxy", "HTTP_PROXY", "ALL_PROXY"] {
        command.env(variable, "http://127.0.0.1:9");
    }
    Ended::of(command.env_remove("NO_PROXY").env_remove("no_proxy").output().unwrap())
}

/// Fetches into a file of a folder that has no node.
pub(crate) fn pull(node: &TestNode, words: &[&str]) -> Ended {
    drop(std::fs::remove_file(node.path("got.img")));
    let rest = ["--trust", "maker.key.pub", "--file", "got.img", "-o", "json"];
    fades(node.work.path(), &[&["image", "pull"], words, &rest].concat())
}

#[track_caller]
fn same(node: &TestNode, file: &str) {
    assert!(
        std::fs::read(node.path("got.img")).unwrap() == std::fs::read(node.path(file)).unwrap(),
        "{file}"
    );
}

/// What every place does alike.
pub(crate) fn is_a_place(node: &TestNode, place: &str) {
    let pushed = |file: &str| node.push(file, place).done().json();
    let old = pushed("stats-1.0.0-33.img");
    let new = pushed("stats-1.2.0-32.img");
    assert_eq!(pushed("stats-1.2.0-32.img"), new, "once more changes nothing");
    // one name and version is one image
    node.push("stats-1.2.0-40.img", place).refused(4, "E1514");
    node.push("some.elf", place).refused(4, "E1504");

    let exact = old["reference"].as_str().unwrap();
    for (wanted, file) in [
        ("stats", "stats-1.2.0-32.img"),
        ("stats:1.0.0", "stats-1.0.0-33.img"),
        ("stats:1.1.0+", "stats-1.2.0-32.img"),
        (exact, "stats-1.0.0-33.img"),
    ] {
        let pulled = pull(node, &[place, wanted]).done().json();
        assert_eq!(pulled["name"], "stats", "{pulled}");
        same(node, file);
    }
    for missing in ["stats:1.1.0", "stats:1.3.0+", &format!("stats@sha256:{}", "0".repeat(64))] {
        pull(node, &[place, missing]).refused(3, "E1516");
    }
    pull(node, &[place, "stats", "--target", "aarch64"]).refused(3, "E1516");
    past_a_proxy(node, &["push", "stats-1.2.0-32.img", place]).done();
    // somebody else's key: nothing is kept
    let stranger = ["image", "pull", place, "stats", "--trust", "service.key.pub", "--file", "got.img"];
    drop(std::fs::remove_file(node.path("got.img")));
    fades(node.work.path(), &stranger).refused(4, "E1513");
    assert!(!node.path("got.img").exists());
}

#[test]
fn a_folder_is_a_place() {
    let node = workshop();
    is_a_place(&node, "shelf");
    let index: Value =
        serde_json::from_slice(&std::fs::read(node.path("shelf/fades-images.json")).unwrap()).unwrap();
    assert_eq!((&index["schema"], index["images"].as_array().unwrap().len()), (&"fades.images.v1".into(), 2));
    // by its address, and with another name beside it
    let address = format!("file://{}", node.path("shelf").display());
    pull(&node, &[&address]).done();
    node.push("window-1.0.0-33.img", &address).done();
    pull(&node, &["shelf"]).refused(2, "stats, window");
    pull(&node, &["nowhere", "stats"]).refused(5, "E1519");
    tampering(&node, "shelf", &node.path("shelf"));
}

/// Whatever is changed in a folder, behind a server or not, is noticed.
fn tampering(node: &TestNode, place: &str, folder: &Path) {
    let index = folder.join("fades-images.json");
    let text = std::fs::read_to_string(&index).unwrap();
    let digest = |version: &str| {
        let images: Value = serde_json::from_str(&text).unwrap();
        let image = images["images"].as_array().unwrap().iter().find(|image| image["version"] == version);
        image.unwrap()["digest"].as_str().unwrap().to_owned()
    };
    let (old, new) = (digest("1.0.0"), digest("1.2.0"));
    // an index that calls the old one new: its signed manifest says what it is
    std::fs::write(&index, text.replace(&new, &old)).unwrap();
    pull(node, &[place, "stats:1.2.0"]).refused(4, "E1522");
    pull(node, &[place, "stats:1.1.0+"]).refused(4, "E1510");
    std::fs::write(&index, text.replace("fades.images.v1", "fades.images.v9")).unwrap();
    pull(node, &[place, "stats"]).refused(5, "E1519");
    std::fs::write(&index, &text).unwrap();
    let file = folder.join(format!("images/{new}.img"));
    let mut bytes = std::fs::read(&file).unwrap();
    let good = bytes.clone();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    pull(node, &[place, "stats"]).refused(4, "E1501");
    bytes.resize((8 << 20) + 1, 0);
    std::fs::write(&file, &bytes).unwrap();
    assert_ne!(pull(node, &[place, "stats"]).exit, 0);
    assert!(!node.path("got.img").exists());
    std::fs::write(&file, &good).unwrap();
    pull(node, &[place, "stats"]).done();
}

#[test]
fn a_server_is_a_place_and_two_who_push_at_once_lose_nothing() {
    let node = workshop();
    let shelf = Shelf::start(node.path("shelf"));
    is_a_place(&node, &shelf.url);
    tampering(&node, &shelf.url, &node.path("shelf"));
    // somebody else writes the index between our reading and our writing
    shelf.meddle_once();
    node.push("window-1.0.0-33.img", &shelf.url).done();
    assert!(shelf.conflicts() > 0, "nobody meddled");
    pull(&node, &[&shelf.url, "window"]).done();
    // what a server that only serves refuses, and one that is gone
    shelf.only_serve();
    node.packed("quantiles", "2.0.0", 32);
    node.push("quantiles-2.0.0-32.img", &shelf.url).refused(4, "E1518");
    let url = shelf.url.clone();
    drop(shelf);
    pull(&node, &[&url, "stats"]).refused(5, "E1517");
}

#[test]
fn a_server_with_tls_is_who_its_certificate_says_and_leads_to_no_plain_one() {
    let node = workshop();
    node.push("stats-1.2.0-32.img", "shelf").done();
    let plain = Shelf::start(node.path("shelf"));
    let Some(tls) = TlsShelf::start(&node.path("shelf"), &plain.url) else { return };
    let get = |place: &str, certificate: Option<&Path>| {
        drop(std::fs::remove_file(node.path("got.img")));
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_fades"));
        command.current_dir(node.work.path()).args(["image", "pull", place, "stats"]);
        command
            .args(["--trust", "maker.key.pub", "--file", "got.img", "-o", "json"])
            .env_remove("SSL_CERT_DIR");
        certificate.map(|file| command.env("SSL_CERT_FILE", file));
        Ended::of(command.env("NO_PROXY", "127.0.0.1").output().unwrap())
    };
    get(&tls.url, None).refused(5, "E1517");
    get(&tls.url, Some(&tls.certificate)).done();
    same(&node, "stats-1.2.0-32.img");
    get(&format!("{}away/", tls.url), Some(&tls.certificate)).refused(5, "E1517");
}

#[test]
fn plain_http_goes_to_this_machine_only() {
    let node = workshop();
    for place in ["http://192.0.2.1/x/", "http://images.example/"] {
        pull(&node, &[place, "stats"]).refused(2, "E1520");
        node.push("stats.img", place).refused(2, "E1520");
    }
    for wrong in ["ftp://a/b", "oci://a", "oci://a/B", "file://b"] {
        assert_eq!(pull(&node, &[wrong, "stats"]).exit, 2, "{wrong}");
    }
    // what is no place is told without the password in it
    let said = pull(&node, &["https://me:secret@a b/", "stats"]);
    assert!(said.exit == 2 && !said.stderr.contains("secret"), "{}", said.stderr);
}

#[test]
fn what_is_pulled_without_a_file_is_an_image_of_the_node() {
    let node = workshop();
    node.push("stats-1.2.0-32.img", "shelf").done();
    let other = TestNode::start(Script::default());
    std::fs::copy(node.path("maker.key.pub"), other.path("maker.key.pub")).unwrap();
    let place = node.path("shelf").display().to_string();
    other.local(&["image", "pull", &place, "stats"]).refused(4, "E1513");
    let images = || other.local(&["image", "ls", "-o", "json"]).done().json();
    assert_eq!(images(), serde_json::json!([]));
    let pulled =
        other.local(&["image", "pull", &place, "stats", "--trust", "maker.key.pub", "-o", "json"]).done();
    assert_eq!(images()[0]["reference"], pulled.json()["reference"]);
    // its maker is trusted now
    other.local(&["image", "pull", &place]).done();
    other.tcp(&["image", "pull", &place]).refused(4, "E1218");
}

#[test]
fn a_registry_is_a_place() {
    let node = workshop();
    let Some(registry) = Registry::start(node.path("registry")) else { return };
    let place = format!("oci://{}/fades/stats", registry.address);
    is_a_place(&node, &place);

    // tags: the version's, the digest's, and the one that is typed, which may be moved
    let tags = registry.tags("fades/stats");
    let mut version_tags = tags.iter().filter(|tag| tag.ends_with("-x86_64")).cloned().collect::<Vec<_>>();
    version_tags.sort();
    assert_eq!((version_tags, tags.len()), (vec!["1.0.0-x86_64".to_owned(), "1.2.0-x86_64".to_owned()], 4));
    let newest = format!("{place}:newest");
    for file in ["stats-1.0.0-33.img", "stats-1.2.0-40.img"] {
        node.push(file, &newest).done();
        pull(&node, &[&newest]).done();
        same(&node, file);
    }
    pull(&node, &[&newest, "stats:1.0.0"]).refused(4, "E1522");
    pull(&node, &[&format!("{place}:none")]).refused(3, "E1516");
    pull(&node, &[&format!("oci://{}/fades/nobody", registry.address), "stats"]).refused(3, "E1516");

    let manifest = registry.manifest("fades/stats", "1.2.0-x86_64");
    assert_eq!(manifest["artifactType"], "application/vnd.fades.image.v1");
    assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.fades.image.v1");
    let notes = &manifest["annotations"];
    assert_eq!(
        (&notes["fades.image.name"], &notes["fades.image.version"]),
        (&"stats".into(), &"1.2.0".into())
    );
    assert_eq!(notes["fades.image.architecture"], "x86_64");

    // what somebody changed on the registry's disk does not come through, and what is none of ours neither
    let blob = manifest["layers"][0]["digest"].as_str().unwrap();
    registry.tamper(blob, |bytes| *bytes.last_mut().unwrap() ^= 1);
    pull(&node, &[&place, "stats:1.2.0"]).refused(4, "E1501");
    registry.tamper(blob, |bytes| bytes.resize((8 << 20) + 1, 0));
    pull(&node, &[&place, "stats:1.2.0"]).refused(5, "E1519");
    assert!(!node.path("got.img").exists());
    let other = serde_json::to_string(&manifest).unwrap().replace("vnd.fades.image.v1", "vnd.other.image.v1");
    registry.put_manifest("fades/stats", "other", &other);
    pull(&node, &[&format!("{place}:other")]).refused(5, "E1519");
    let address = registry.address.clone();
    drop(registry);
    pull(&node, &[&format!("oci://{address}/fades/stats"), "stats"]).refused(5, "E1517");
}

#[test]
fn a_registry_that_asks_is_told_who_we_are() {
    let node = workshop();
    let Some(registry) = Registry::with_password(node.path("registry")) else { return };
    let place = format!("oci://{}/stats", registry.address);
    node.push("stats.img", &place).refused(4, "E1518");
    let push = |password: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_fades"));
        command.current_dir(node.work.path()).args(["image", "push", "stats.img", &place]);
        command.env("FADES_REGISTRY_USER", "edge").env("FADES_REGISTRY_PASSWORD", password);
        Ended::of(command.output().unwrap())
    };
    push("other").refused(4, "E1518");
    push("secret").done();
    pull(&node, &[&place, "stats"]).refused(4, "E1518");
}
