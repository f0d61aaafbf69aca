//! Images in the operator's hands: what there is and who needs it, floors, and letting go what nobody needs.

use fades_core::Role;
use fades_daemon::clock::Clock;
use fades_testkit::{FunctionAct, Script};
use serde_json::{Value, json};

use crate::support::{ISSUER, TestNode, id, image_of, key, policy};

impl TestNode {
    /// Adds a build of an image; its reference.
    async fn build(&self, name: &str, version: &str, memory_mib: u32) -> String {
        let bytes = image_of(name, version, fades_pack::Role::Dmf, memory_mib, &key(3));
        let added = self.local("POST", "/v1/admin/images", &bytes).await;
        assert_eq!(added.status, 201, "{added:?}");
        added.json()["reference"].as_str().unwrap().to_owned()
    }

    async fn allow(&self, images: &[&str]) {
        let mut policy = policy();
        policy["images"] = json!(images);
        let put =
            self.admin("PUT", &format!("/v1/admin/issuers/{ISSUER}"), &json!({ "policy": policy })).await;
        assert_eq!(put.status, 200, "{put:?}");
    }

    async fn images(&self) -> Vec<Value> {
        let answer = self.local("GET", "/v1/admin/images", b"").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["images"].as_array().unwrap().clone()
    }

    async fn gc(&self, body: Value) -> Value {
        let answer = self.admin("POST", "/v1/admin/images/gc", &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    fn image_files(&self) -> usize {
        std::fs::read_dir(self.dir.path().join("images")).unwrap().count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_no_record_speaks_of_is_gone_at_the_next_start() {
    let node = TestNode::new().await;
    let kept = node.build("stats", "1.2.0", 32).await;
    let before = node.image_files();
    let dir = node.stop().await;
    // as a daemon leaves it that is killed between the file and its record
    let left = dir.path().join("images").join(format!("{}.img", "7".repeat(64)));
    std::fs::write(&left, b"an image").unwrap();
    let node = TestNode::start(dir, Script::default(), Clock::default(), |_| {}).await;
    assert!(!left.exists());
    assert_eq!(node.image_files(), before);
    let digest = kept.rsplit(':').next().unwrap();
    assert_eq!(node.local("GET", &format!("/v1/admin/images/{digest}"), b"").await.status, 200);
    // a store that is gone may come back, and the files are its
    let dir = node.stop().await;
    std::fs::remove_file(dir.path().join("store.redb")).unwrap();
    let node = TestNode::start(dir, Script::default(), Clock::default(), |_| {}).await;
    assert_eq!(node.image_files(), before);
    assert_eq!(node.images().await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_says_when_it_came_and_whether_the_nodes_processor_runs_it() {
    let node = TestNode::new().await;
    let reference = node.build("stats", "1.2.0", 32).await;
    let listed = node.images().await;
    let shown = node.get("/v1/node").await.json();
    let of_node = of(shown["images"].as_array().unwrap(), &reference);
    let of_list = of(&listed, &reference);
    assert_eq!((&of_node["native"], &of_list["native"]), (&json!(true), &json!(true)));
    assert_eq!(of_node["added_at"], of_list["added_at"]);
}

fn of<'a>(images: &'a [Value], reference: &str) -> &'a Value {
    images.iter().find(|image| image["reference"] == reference).unwrap_or_else(|| panic!("no {reference}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn b2_an_image_below_its_floor_is_refused_and_none_starts() {
    let node = TestNode::new().await;
    let newer = node.build("stats", "1.2.0", 32).await;
    let submit = async |number: u32, image: &str| {
        node.submit(&node.signed(&id(number), |wrapper| wrapper["dmf"]["image"] = json!(image))).await
    };
    node.allow(&["stats:1.2.0+"]).await;
    let refused = submit(1, &node.image).await;
    assert_eq!((refused.status, refused.code().as_str()), (403, "E1510"), "{refused:?}");
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("version 1.0.0") && detail.contains("1.2.0 is the least"), "{detail}");
    // neither by another rule nor by its own digest
    node.allow(&["stats", &node.image, "stats:1.2.0+"]).await;
    assert_eq!(submit(2, &node.image).await.code(), "E1510");
    assert_eq!(submit(3, &format!("stats@sha256:{}", "0".repeat(64))).await.code(), "E1500");
    assert_eq!(node.backend.started(Role::Function), 0);
    assert_eq!(submit(4, &newer).await.status, 202);
    assert_eq!(node.ended(&id(4)).await["state"], "succeeded");
    let older = node.image.clone();
    let mut node = TestNode::start(node.stop().await, Script::default(), Clock::default(), |_| {}).await;
    node.image = older;
    node.until_ready().await;
    assert_eq!(node.submit(&node.signed(&id(5), |_| {})).await.code(), "E1510", "floors are stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_floor_is_a_name_and_a_version() {
    let node = TestNode::new().await;
    for text in ["stats:1.2.0", "stats:1.2+", "stats>=1.2.0", "stats:", ":1.0.0+", "st/ats:1.0.0+"] {
        let mut policy = policy();
        policy["images"] = json!([text]);
        let update = json!({ "policy": policy });
        let put = node.admin("PUT", &format!("/v1/admin/issuers/{ISSUER}"), &update).await;
        assert_eq!(put.code(), "E1314", "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_listed_with_who_needs_them() {
    let node = TestNode::with(Script::default().functions([FunctionAct::Loops]), |_| {}).await;
    let newer = node.build("stats", "1.10.0", 32).await;
    let middle = node.build("stats", "1.9.0", 32).await;
    node.allow(&["stats", "stats:1.9.0+"]).await;
    node.submit(&node.signed(&id(1), |wrapper| wrapper["dmf"]["image"] = json!(newer))).await;
    crate::support::eventually("started", async || node.backend.started(Role::Function) == 1).await;
    crate::support::eventually("noted", async || !of(&node.images().await, &newer)["used_at"].is_null())
        .await;
    let images = node.images().await;
    let order: Vec<&str> = images.iter().map(|image| image["version"].as_str().unwrap()).collect();
    assert_eq!(order, ["1.0.0", "1.10.0", "1.9.0", "1.0.0"], "drb, then stats from the newest on");
    assert_eq!((&images[0]["broker"], &images[0]["issuers"]), (&json!(true), &json!([])));
    let busy = of(&images, &newer);
    assert_eq!((&busy["tasks"], &busy["issuers"]), (&json!([id(1)]), &json!([ISSUER])));
    assert_eq!((&busy["signer_name"], &busy["architecture"]), (&json!("tests"), &json!("x86_64")));
    assert_eq!(busy["signer"], key(3).public().id().to_string());
    assert_eq!(busy["floors"], json!([{ "issuer": ISSUER, "version": "1.9.0" }]));
    assert_eq!(
        (&of(&images, &middle)["used_at"], &of(&images, &middle)["tasks"]),
        (&Value::Null, &json!([]))
    );
    assert_eq!(of(&images, &node.image)["issuers"], json!([]), "below the floor");
    // a signer that is trusted no longer has no name, and over TCP nobody is told any of it
    let signer = format!("/v1/admin/signers/{}", key(3).public().id());
    assert_eq!(node.local("DELETE", &signer, b"").await.status, 204);
    assert_eq!(of(&node.images().await, &newer)["signer_name"], Value::Null);
    for path in ["/v1/admin/images", &format!("/v1/admin/images/{}", newer.split(':').next_back().unwrap())] {
        assert_eq!(node.get(path).await.code(), "E1218");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_comes_back_as_it_was_added() {
    let node = TestNode::new().await;
    let bytes = image_of("other", "2.0.0", fades_pack::Role::Dmf, 64, &key(3));
    let added = node.local("POST", "/v1/admin/images", &bytes).await.json();
    let digest = added["reference"].as_str().unwrap().split(':').next_back().unwrap().to_owned();
    let path = format!("/v1/admin/images/{digest}");
    let file = node.local("GET", &path, b"").await;
    assert_eq!(file.header("content-type"), Some("application/octet-stream"));
    assert!(file.body == bytes);
    assert_eq!(node.local("GET", "/v1/admin/images/zz", b"").await.code(), "E1314");
    assert_eq!(node.local("GET", &format!("/v1/admin/images/{}", "0".repeat(64)), b"").await.code(), "E1500");
    assert_eq!(node.local("DELETE", &path, b"").await.status, 204);
    assert_eq!(node.local("GET", &path, b"").await.code(), "E1500");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_needs_is_let_go_and_nothing_else() {
    let node = TestNode::with(Script::default().functions([FunctionAct::Loops]), |_| {}).await;
    let busy = node.image.clone();
    for version in ["1.1.0", "1.2.0", "1.3.0"] {
        node.build("stats", version, 32).await;
    }
    let (old, _new) = (node.build("window", "1.0.0", 32).await, node.build("window", "1.1.0", 32).await);
    assert_eq!(node.submit(&node.signed(&id(1), |_| {})).await.status, 202);
    crate::support::eventually("started", async || node.backend.started(Role::Function) == 1).await;
    let versions = |report: &Value| -> Vec<String> {
        let removed = report["removed"].as_array().unwrap().iter();
        let word = |image: &Value| {
            format!(
                "{} {}",
                image["reference"].as_str().unwrap().split('@').next().unwrap(),
                image["version"]
            )
        };
        removed.map(|image| word(image).replace('"', "")).collect()
    };
    // nobody may run windows: the old one goes, the newest stays, and so does whatever the policy allows
    let asked = node.gc(json!({ "dry_run": true })).await;
    assert_eq!(versions(&asked), ["window 1.0.0"], "{asked}");
    assert_eq!((&asked["kept"], &asked["removed"][0]["why"]), (&json!(6), &json!("no policy allows it")));
    assert_eq!(node.image_files(), 7, "a dry run removes nothing");
    let done = node.gc(json!({})).await;
    assert_eq!((versions(&done), &done["bytes"]), (vec!["window 1.0.0".to_owned()], &asked["bytes"]));
    assert_eq!(done["bytes"], done["removed"][0]["size"]);
    assert_eq!(node.image_files(), 6);
    assert!(!node.images().await.iter().any(|image| image["reference"] == old.as_str()));
    // a floor leaves two behind, of which a task under way holds one
    node.allow(&["stats:1.2.0+"]).await;
    assert_eq!(versions(&node.gc(json!({})).await), ["stats 1.1.0"]);
    // of those that are left only one is to stay: the floor's own does too
    assert_eq!(versions(&node.gc(json!({ "keep": 1 })).await), Vec::<String>::new());
    node.allow(&["stats:1.1.0+"]).await;
    assert_eq!(versions(&node.gc(json!({ "keep": 1 })).await), ["stats 1.2.0"]);
    assert!(node.images().await.iter().any(|image| image["reference"] == busy.as_str()));
    // the task ends, and nothing holds its image any more
    node.local("DELETE", &format!("/v1/tasks/{}", id(1)), b"").await;
    node.ended(&id(1)).await;
    assert_eq!(versions(&node.gc(json!({})).await), ["stats 1.0.0"]);
    // a revoked issuer's policy needs nothing
    let other = node.build("stats", "1.4.0", 32).await;
    assert_eq!(node.local("DELETE", &format!("/v1/admin/issuers/{ISSUER}"), b"").await.status, 200);
    assert_eq!(versions(&node.gc(json!({})).await), ["stats 1.3.0"]);
    let left: Vec<Value> = node.images().await.iter().map(|image| image["reference"].clone()).collect();
    assert_eq!((left.len(), left.contains(&json!(other)), node.image_files()), (3, true, 3), "{left:?}");
    assert_eq!(node.admin("POST", "/v1/admin/images/gc", &json!({ "keeep": 1 })).await.code(), "E1301");
}
