//! Finds the sandbox program that the workspace's build left beside the tests.

use std::path::PathBuf;

/// `ISOTHERM_SANDBOX_BIN`, else the program in the build folder that holds this test.
#[expect(clippy::disallowed_methods, reason = "tests have no configuration to read it from")]
pub(crate) fn path() -> PathBuf {
    if let Some(path) = std::env::var_os("ISOTHERM_SANDBOX_BIN") {
        return PathBuf::from(path);
    }
    let test = std::env::current_exe().unwrap();
    let build_folder = test.ancestors().nth(2).unwrap();
    let path = build_folder.join("isotherm-sql-sandbox");
    assert!(path.exists(), "{} is missing; run `cargo build -p isotherm-sql-sandbox`", path.display());
    path
}
