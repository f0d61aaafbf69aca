//! What `cargo xtask prepush` holds of layers and documents, as tests. The checks are in the library.

use anyhow::Result;
use xtask::layers;

#[test]
fn every_arrow_runs_down() -> Result<()> {
    layers::every_arrow_runs_down()
}

#[test]
fn guest_and_host_meet_in_the_contracts_only() -> Result<()> {
    layers::guest_and_host_meet_in_the_contracts_only()
}

#[test]
fn core_knows_no_runtime_no_files_no_clock() -> Result<()> {
    layers::core_knows_no_runtime_no_files_no_clock()
}

#[test]
fn no_backend_knows_another_and_only_wiring_names_them() -> Result<()> {
    layers::no_backend_knows_another_and_only_wiring_names_them()
}

#[test]
fn documents_name_files_that_exist() -> Result<()> {
    layers::documents_name_files_that_exist()
}

#[test]
fn every_build_is_locked() -> Result<()> {
    layers::every_build_is_locked()
}

#[test]
fn unsafe_code_is_counted() -> Result<()> {
    layers::unsafe_code_is_counted()
}

#[test]
fn every_threat_has_its_tests() -> Result<()> {
    layers::every_threat_has_its_tests()
}
