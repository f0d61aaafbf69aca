//! The router against the table of routes: the same paths. That the methods agree too is shown over HTTP, in
//! `tests/daemon/routes.rs`.

use std::collections::BTreeSet;

use fades_api::routes::{self, Auth};

#[test]
fn the_router_has_the_paths_of_the_table() {
    let listed = |local: bool| -> BTreeSet<&str> {
        routes::all()
            .filter(|route| (route.auth == Auth::LocalSocket) == local)
            .map(|route| route.path)
            .collect()
    };
    let open: BTreeSet<&str> = super::open_routes().into_iter().map(|(path, _)| path).collect();
    let admin: BTreeSet<&str> = super::admin_routes().into_iter().map(|(path, _)| path).collect();
    assert_eq!(open, listed(false));
    assert_eq!(admin, listed(true));
}
