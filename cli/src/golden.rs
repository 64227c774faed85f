//! What programs are given: each shape has a file in `events-fixtures/cli/`.
//!
//! `ISOTHERM_BLESS=1` rewrites the files instead of comparing with them. A field may be added; none may go or change.

use std::path::Path;

use serde_json::Value;

/// Compares `value` with the file called `name`.
#[expect(clippy::disallowed_methods, reason = "a switch for the person who runs the test")]
pub(crate) fn check(name: &str, value: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../events-fixtures/cli").join(format!("{name}.json"));
    let text = format!("{}\n", serde_json::to_string_pretty(value).unwrap());
    if std::env::var("ISOTHERM_BLESS").is_ok() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, golden, "the output of `{name}` has changed; if it should, run this test with ISOTHERM_BLESS=1");
}
