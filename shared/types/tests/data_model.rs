//! `docs/data-model.md` shows the columns as the code defines them.
//!
//! `ISOTHERM_BLESS=1` rewrites the tables between the markers instead of comparing them.

use std::fmt::Write as _;
use std::path::Path;

use isotherm_types::Dataset;

fn table(dataset: Dataset) -> String {
    let mut text = String::from("| column | SQL type | may be absent | what it holds |\n| --- | --- | --- | --- |\n");
    for column in dataset.columns() {
        let absent = if column.nullable { "yes" } else { "" };
        writeln!(text, "| `{}` | {} | {absent} | {} |", column.name, column.column_type.sql(), column.doc).unwrap();
    }
    text
}

#[test]
fn the_data_model_page_lists_the_columns_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/data-model.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let mut expected = page.clone();
    for dataset in Dataset::ALL {
        let (begin, end) = (format!("<!-- columns of {dataset} -->\n"), format!("<!-- end of {dataset} -->"));
        let start = expected.find(&begin).unwrap_or_else(|| panic!("no marker {begin:?}")) + begin.len();
        let stop = expected.find(&end).unwrap_or_else(|| panic!("no marker {end:?}"));
        expected.replace_range(start..stop, &table(dataset));
    }
    #[expect(clippy::disallowed_methods, reason = "a switch for whoever changes a column, read by this test alone")]
    let bless = std::env::var("ISOTHERM_BLESS").is_ok();
    if bless {
        std::fs::write(&path, &expected).unwrap();
    }
    assert!(bless || page == expected, "docs/data-model.md is behind the code: run this test with ISOTHERM_BLESS=1");
}
