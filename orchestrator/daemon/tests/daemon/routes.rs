//! The router answers what the table of routes says, method by method.

use fades_api::routes::{self, Auth};

use crate::http::{over_unix, request};
use crate::support::TestNode;

#[tokio::test(flavor = "multi_thread")]
async fn the_router_is_the_table() {
    let node = TestNode::new().await;
    let mut paths: Vec<&str> = routes::all().map(|route| route.path).collect();
    paths.dedup();
    for path in paths {
        let concrete = path
            .replace("{id}", &crate::support::id(404))
            .replace("{name}", "nobody")
            .replace("{key_id}", &"0".repeat(64))
            .replace("{digest}", &"0".repeat(64));
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            let listed = routes::find(method, path);
            // An event stream does not end; a number that is none makes it.
            let headers: &[(&str, &str)] =
                if path == "/v1/events" { &[("Last-Event-ID", "none")] } else { &[] };
            let answer = over_unix(&node.socket, &request(method, &concrete, headers, b"")).await;
            let refused = answer.status == 405;
            assert_eq!(refused, listed.is_none(), "{method} {path}: {answer:?}");
            if refused {
                assert_eq!(answer.code(), "E1001", "{method} {path}");
                assert!(answer.header("allow").is_some(), "{method} {path}");
            } else {
                assert!(
                    answer.status != 404
                        || !answer.json()["detail"].as_str().unwrap().starts_with("there is no")
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_routes_are_not_on_the_network() {
    let node = TestNode::new().await;
    for route in routes::all().filter(|route| route.auth == Auth::LocalSocket) {
        let bytes = request(route.method, route.path, &[], b"");
        let answer = crate::http::over_tcp(node.tcp, &bytes).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (403, "E1218"),
            "{} {}",
            route.method,
            route.path
        );
    }
    let nowhere = node.get("/v2/tasks").await;
    assert_eq!((nowhere.status, nowhere.code().as_str()), (404, "E1000"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_interface_is_served_as_generated() {
    let node = TestNode::new().await;
    assert_eq!(node.get("/openapi.json").await.body, fades_api::schema::openapi_json());
    let info = node.get("/v1/node").await;
    let info: fades_api::http::NodeInfo = serde_json::from_slice(&info.body).unwrap();
    assert_eq!((info.node.as_str(), info.broker.state.as_str()), ("edge-1", "ready"));
    // The port that the system gave for port 0.
    assert_eq!(info.listen, Some(node.tcp.to_string()));
    assert_eq!(info.images.len(), 2);
    assert_eq!(info.sources[0].name.as_str(), "edison");
    assert!(info.warnings.is_empty(), "{:?}", info.warnings);
}
