//! Looking after a node's images: what is listed, what goes and what stays, floors, one file of several.

use fades_testkit::{FunctionAct, Script};
use serde_json::Value;

use crate::node::{Ended, TestNode, fades};

impl TestNode {
    /// Packs a build and gives its file; more memory makes another build of the same version.
    pub(crate) fn packed(&self, name: &str, version: &str, memory_mib: u32) -> String {
        let file = format!("{name}-{version}-{memory_mib}.img");
        let memory = memory_mib.to_string();
        let parts = ["--loader", "some.elf", "--application", "some.elf", "--key", "maker.key"];
        let what = ["--name", name, "--image-version", version, "--role", "dmf", "--memory-mib", &memory];
        self.local(&[&["image", "pack", &file][..], &what, &parts].concat()).done();
        file
    }

    fn added(&self, name: &str, version: &str, memory_mib: u32) -> Value {
        let file = self.packed(name, version, memory_mib);
        self.local(&["image", "add", &file, "-o", "json"]).done().json()["reference"].clone()
    }

    fn images(&self) -> Vec<Value> {
        self.local(&["image", "ls", "-o", "json"]).done().json().as_array().unwrap().clone()
    }

    fn submit(&self, image: &str) -> Ended {
        let task = self.task(image);
        self.local(&["task", "submit", task, "--key", "service.key", "-o", "json"])
    }
}

#[test]
fn the_list_says_who_signed_who_may_and_what_runs() {
    let node = TestNode::equipped(Script::default().functions([FunctionAct::Loops]));
    let task = node.submit("stats").done().json()["task"].clone();
    let images = node.images();
    let of = |name: &str| {
        images.iter().find(|image| image["reference"].as_str().unwrap().starts_with(name)).unwrap()
    };
    assert_eq!(of("stats@")["tasks"], serde_json::json!([task]));
    assert_eq!(
        (&of("stats@")["issuers"][0], &of("stats@")["signer_name"]),
        (&"pollution.example".into(), &"tests".into())
    );
    assert_eq!(of("drb@")["broker"], true);
    let table = node.local(&["image", "ls"]).done();
    let digest = of("stats@")["reference"].as_str().unwrap();
    let row = table.text().lines().find(|line| line.starts_with("stats@")).unwrap();
    assert!(row.starts_with(&digest[..25]) && !row.contains(digest), "{row}");
    for word in ["1.0.0", "dmf", "x86_64", "tests", "pollution.example"] {
        assert!(row.contains(word), "{word}: {row}");
    }
    assert!(node.local(&["image", "ls", "--full"]).done().text().contains(digest));
    // whoever is not the operator is told what everybody is
    let public = node.tcp(&["image", "ls", "-o", "json"]).done().json();
    assert_eq!((public.as_array().unwrap().len(), &public[0]["issuers"]), (images.len(), &Value::Null));
}

#[test]
fn floors_are_set_by_the_issuers_policy_and_shown_in_the_tree() {
    let node = TestNode::equipped(Script::default());
    node.added("stats", "1.2.0", 32);
    node.added("stats", "1.2.0", 40);
    let issuer = ["issuer", "add", "service.key.pub", "--source", "testbed", "--image", "window"];
    node.local(&[&issuer[..], &["--image", "stats:1.2.0+"]].concat()).done();
    let old = node
        .images()
        .iter()
        .find(|image| {
            image["version"] == "1.0.0"
                && image["role"] == "dmf"
                && image["reference"].as_str().unwrap().starts_with("stats@")
        })
        .unwrap()["reference"]
        .clone();
    let refused = node.submit(old.as_str().unwrap()).refused(4, "E1510");
    assert!(refused.stderr.contains("1.0.0") && refused.stderr.contains("1.2.0"), "{refused:?}");
    node.submit("stats").done();
    let tree = node.local(&["image", "tree", "stats"]).done();
    let lines: Vec<&str> = tree.text().lines().collect();
    assert_eq!((lines[0], lines[1]), ("stats", "├─ 1.2.0  floor of pollution.example"), "{tree:?}");
    assert_eq!((lines[4], lines.len()), ("└─ 1.0.0  below the floor of pollution.example", 6), "{tree:?}");
    assert!(lines[5].contains("for none") && lines[2].contains("for pollution.example"), "{tree:?}");
    let json = node.local(&["image", "tree", "-o", "json"]).done().json();
    let stats = json.as_array().unwrap().iter().find(|line| line["name"] == "stats").unwrap();
    assert_eq!(stats["versions"][0]["builds"].as_array().unwrap().len(), 2);
    assert_eq!(stats["versions"][1]["below_floor_of"], serde_json::json!(["pollution.example"]));
    node.local(&["image", "tree", "nobody"]).refused(3, "E1500");
    // what is no floor is not taken for one
    for wrong in ["stats:1.2.0", "stats:1.2+", "stats>=1.2.0"] {
        node.local(&[&issuer[..], &["--image", wrong]].concat()).refused(2, "E1314");
    }
}

#[test]
fn what_a_task_needs_is_removed_only_with_the_task() {
    let node = TestNode::equipped(Script::default().functions([FunctionAct::Loops]));
    let before = node.images().len();
    let other = node.added("stats", "1.1.0", 32);
    let task = node.submit("stats:1.0.0").exit;
    assert_ne!(task, 0, "a task names an image by its name or its digest");
    let old = node
        .images()
        .iter()
        .rfind(|image| image["reference"].as_str().unwrap().starts_with("stats@"))
        .unwrap()["reference"]
        .as_str()
        .unwrap()
        .to_owned();
    let task = node.submit(&old).done().json()["task"].as_str().unwrap().to_owned();
    node.local(&["image", "rm", &old]).refused(4, "E1515");
    // two versions: which one?
    node.local(&["image", "rm", "stats"]).refused(2, "several");
    let removed = node.local(&["image", "rm", "stats:1.0.0", "--cancel", "-o", "json"]).done();
    assert_eq!(removed.json()["removed"], old.as_str());
    assert_eq!(node.local(&["task", "get", &task, "-o", "json"]).json()["state"], "cancelled");
    let short = &other.as_str().unwrap()[..25];
    assert!(node.local(&["image", "rm", short]).done().text().contains(other.as_str().unwrap()));
    node.local(&["image", "rm", short]).refused(3, "E1500");
    node.local(&["image", "rm", "drb", "--cancel"]).refused(4, "E1515");
    assert_eq!(node.images().len(), before - 1);
}

#[test]
fn garbage_goes_after_it_was_shown() {
    let node = TestNode::equipped(Script::default());
    // `stats` with one version more than is kept, `unknown` with two, which the policy of nobody names.
    for version in ["1.1.0", "1.2.0"] {
        node.added("stats", version, 32);
        node.added("unknown", version, 32);
    }
    let all = node.images().len();
    let gc = |words: &[&str]| node.local(&[&["image", "gc", "-o", "json"], words].concat()).done().json();
    let shown = gc(&["--dry-run"]);
    assert_eq!((&shown["dry_run"], shown["removed"].as_array().unwrap().len()), (&true.into(), 1));
    assert_eq!((&shown["removed"][0]["version"], node.images().len()), (&"1.1.0".into(), all));
    let text = node.local(&["image", "gc", "--dry-run", "--keep", "1"]).done();
    assert!(text.text().contains("3 images would go, "), "{text:?}");
    assert!(text.text().contains(&format!("{} kept", all - 3)), "{text:?}");
    assert!(text.text().contains("2 newer ones are kept"), "{text:?}");
    let gone = gc(&["--keep", "2"]);
    let versions: Vec<&str> =
        gone["removed"].as_array().unwrap().iter().map(|image| image["version"].as_str().unwrap()).collect();
    assert_eq!((versions, &gone["kept"]), (vec!["1.0.0", "1.1.0"], &(all - 2).into()), "{gone}");
    assert!(gone["bytes"].as_u64().unwrap() > 0);
    assert_eq!((gc(&[])["removed"].as_array().unwrap().len(), node.images().len()), (0, all - 2));
    assert_eq!(node.local(&["image", "gc", "--keep", "0"]).exit, 2);
}

#[test]
fn an_image_of_the_node_is_inspected_like_its_file() {
    let node = TestNode::equipped(Script::default());
    let file = node
        .local(&["image", "inspect", "stats.img", "--signer", "maker.key.pub", "-o", "json"])
        .done()
        .json();
    let newer = node.added("stats", "1.1.0", 32);
    let inspect = |image: &str| node.local(&["image", "inspect", image, "-o", "json"]);
    assert_eq!(inspect("stats:1.0.0").done().json(), file);
    assert_eq!(inspect("stats").done().json()["reference"], newer);
    assert_eq!(inspect(file["reference"].as_str().unwrap()).done().json()["signature"], "verified");
    inspect("stats:2.0.0").refused(3, "E1500");
    inspect("nowhere.img").refused(2, "nowhere.img");
    node.tcp(&["image", "inspect", "stats"]).refused(4, "E1218");
    // no key is trusted for it any more
    let signers = node.local(&["image", "signers", "-o", "json"]).done().json();
    node.local(&["image", "distrust", signers["signers"].as_object().unwrap().keys().next().unwrap()]).done();
    assert_eq!(inspect("stats").done().json()["signature"], "not_checked");
    assert!(node.local(&["image", "ls"]).done().text().contains("(not trusted)"));
}

#[test]
fn images_go_from_node_to_node_in_one_file() {
    let node = TestNode::equipped(Script::default());
    node.added("stats", "1.1.0", 32);
    let export = |words: &[&str]| node.local(&[&["image", "export"], words].concat());
    let exported =
        export(&["stats:1.0.0", "stats", "window", "stats", "-f", "a.tar", "-o", "json"]).done().json();
    assert_eq!(exported["images"].as_array().unwrap().len(), 3, "each once: {exported}");
    export(&["window", "stats", "stats:1.0.0", "-f", "b.tar"]).done();
    let bytes = |file: &str| std::fs::read(node.path(file)).unwrap();
    assert!(bytes("a.tar") == bytes("b.tar"), "the same images are the same file");
    export(&["stats", "-f", "a.tar"]).refused(1, "a.tar");
    export(&["nobody", "-f", "c.tar"]).refused(3, "E1500");

    let other = TestNode::start(Script::default());
    std::fs::copy(node.path("a.tar"), other.path("a.tar")).unwrap();
    let refused = other.local(&["image", "import", "a.tar"]).refused(4, "E1513");
    assert!(refused.stderr.contains("tests (") && refused.stderr.contains("--trust"), "{refused:?}");
    assert!(other.images().is_empty());
    let imported = other.local(&["image", "import", "a.tar", "--trust", "-o", "json"]).done().json();
    assert_eq!(
        (imported["images"].as_array().unwrap().len(), imported["trusted"].as_object().unwrap().len()),
        (3, 1)
    );
    // its maker is known now, and what is there already changes nothing
    let again = other.local(&["image", "import", "a.tar", "-o", "json"]).done().json();
    assert_eq!(
        (again["images"].as_array().unwrap().len(), again["trusted"].as_object().unwrap().len()),
        (3, 0)
    );
    other.local(&["image", "export", "stats", "stats:1.0.0", "window", "-f", "c.tar"]).done();
    assert!(std::fs::read(other.path("c.tar")).unwrap() == bytes("a.tar"), "there and back byte for byte");
    for (image, file) in [("stats:1.0.0", "stats.img"), ("window", "window.img")] {
        let place = format!("{image}.x").replace(':', "-");
        other.local(&["image", "push", image, &place]).done();
        let folder = std::fs::read_dir(other.path(&place).join("images")).unwrap();
        let files: Vec<_> = folder.map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect();
        assert!(files == [bytes(file)], "{image}");
    }
}

#[test]
fn a_file_that_was_tampered_with_changes_nothing() {
    let node = TestNode::equipped(Script::default());
    node.local(&["image", "export", "stats", "-f", "a.tar"]).done();
    let good = std::fs::read(node.path("a.tar")).unwrap();
    let other = TestNode::start(Script::default());
    let import = |bytes: &[u8]| {
        std::fs::write(other.path("x.tar"), bytes).unwrap();
        other.local(&["image", "import", "x.tar", "--trust"])
    };
    let at = |text: &str| good.windows(text.len()).position(|window| window == text.as_bytes()).unwrap();
    let changed = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    // one bit of the application, of the maker's key, of the maker's name beside it (which nothing binds), of an entry's name
    import(&changed(at("FADESIMG") + 720)).refused(4, "E1501");
    import(&changed(at("\"public_key\":\"") + 20)).refused(4, "E1521");
    import(&changed(at("images/"))).refused(4, "E1521");
    import(&good[..2000]).refused(4, "E1521");
    import(b"hello").refused(4, "E1521");
    assert!(other.images().is_empty());
    let signers = other.local(&["image", "signers", "-o", "json"]).done().json();
    assert!(signers["signers"].as_object().unwrap().is_empty(), "nobody is trusted on the way: {signers}");
    import(&good).done();
    assert_eq!(fades(other.work.path(), &["image", "import", "nowhere.tar"]).exit, 2);
}
