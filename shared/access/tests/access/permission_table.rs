//! `docs/access.md` shows the table of permissions as the code has it.
//!
//! `ISOTHERM_BLESS=1` rewrites the table between the markers instead of comparing it.

use std::fmt::Write as _;
use std::path::Path;

use isotherm_access::{Permission, Role};

const BEGIN: &str = "<!-- permissions -->\n";
const END: &str = "<!-- end of permissions -->";

fn table() -> String {
    let mut text =
        String::from("| permission | lets one | reader | writer | admin |\n| --- | --- | --- | --- | --- |\n");
    for permission in Permission::ALL {
        let [reader, writer, admin] = Role::ALL.map(|role| if role.may(permission) { "yes" } else { "" });
        writeln!(text, "| `{permission}` | {} | {reader} | {writer} | {admin} |", permission.meaning()).unwrap();
    }
    text
}

#[test]
fn the_page_about_access_shows_the_table_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/access.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let start = page.find(BEGIN).unwrap_or_else(|| panic!("no marker {BEGIN:?}")) + BEGIN.len();
    let stop = page.find(END).unwrap_or_else(|| panic!("no marker {END:?}"));
    let expected = format!("{}{}{}", &page[..start], table(), &page[stop..]);
    #[expect(clippy::disallowed_methods, reason = "a switch for whoever changes a permission, read by this test alone")]
    let bless = std::env::var("ISOTHERM_BLESS").is_ok();
    if bless {
        std::fs::write(&path, &expected).unwrap();
    }
    assert!(bless || page == expected, "docs/access.md is behind the code: run this test with ISOTHERM_BLESS=1");
}
