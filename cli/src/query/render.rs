//! Rows that came with the answer, as they are written.

use anyhow::{Context, bail};

use super::reply::Answer;
use super::table;
use crate::args::Format;
use crate::output;

/// The rows in `format`; `width` is the terminal's, if that is where they go.
///
/// # Errors
/// If they cannot be written so.
pub(super) fn bytes(answer: &Answer, format: Format, width: Option<usize>) -> anyhow::Result<Vec<u8>> {
    Ok(match format {
        Format::Table => format!("{}\n", table::table(answer, width)).into_bytes(),
        Format::Expanded if answer.rows.is_empty() => Vec::new(),
        Format::Expanded => format!("{}\n", table::expanded(answer)).into_bytes(),
        Format::Json => {
            let text = serde_json::to_string_pretty(&answer.to_json()).context("could not write JSON")?;
            format!("{text}\n").into_bytes()
        }
        Format::Csv => match &answer.csv {
            Some(text) => text.clone().into_bytes(),
            None => csv(answer).context("could not write CSV")?,
        },
        Format::Parquet => bail!("the server has answered without a Parquet file; ask again with --mode batch"),
    })
}

fn csv(answer: &Answer) -> anyhow::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(answer.columns.iter().map(|column| &column.name))?;
    for row in &answer.rows {
        writer.write_record(row.iter().map(output::cell))?;
    }
    // The error holds the writer, which is of no use to anybody.
    writer.into_inner().map_err(|error| anyhow::anyhow!("{}", error.error()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::query::reply::tests::{answer, rows};

    fn text(answer: &Answer, format: Format) -> String {
        String::from_utf8(bytes(answer, format, None).unwrap()).unwrap()
    }

    #[test]
    fn every_format_has_every_row() {
        let answer = answer(&rows());
        assert_eq!(text(&answer, Format::Csv), "n\n7\n\"\"\n");
        assert_eq!(serde_json::from_str::<Value>(&text(&answer, Format::Json)).unwrap(), rows());
        assert_eq!(text(&answer, Format::Expanded), "─[ row 1 ]─\nn │ 7\n─[ row 2 ]─\nn │ NULL\n");
        assert!(text(&answer, Format::Table).contains("NULL"));
        assert!(bytes(&answer, Format::Parquet, None).is_err());
    }

    #[test]
    fn the_servers_own_csv_is_passed_on_as_it_is() {
        let answer = answer(&json!({ "columns": [{ "name": "n", "type": "BIGINT" }], "csv": "n\r\n7\r\n" }));
        assert_eq!(text(&answer, Format::Csv), "n\r\n7\r\n");
    }
}
