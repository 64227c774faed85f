//! An answer on its way to people or a file.

use anyhow::{Context, bail};
use uuid::Uuid;

use super::ask::{Interrupts, Spinner};
use super::reply::{Answer, StoredResult};
use super::request::Settings;
use super::target::Target;
use super::{download, render, table};
use crate::args::Format;
use crate::output::{grouped, say};

/// Writes the rows of `answer` to `target`, and below them what there is to say of them. `width` is the terminal's.
///
/// # Errors
/// If the rows cannot be fetched or written, or are too many to be shown.
pub(super) async fn deliver(
    answer: &Answer,
    query_id: Uuid,
    settings: &Settings,
    target: Target<'_>,
    width: Option<usize>,
    interrupts: &mut Interrupts,
) -> anyhow::Result<()> {
    match &answer.result {
        Some(result) => {
            check_place(result, query_id, settings.format, target)?;
            fetch(result, settings, target, interrupts).await.with_context(|| again(query_id))?;
        }
        None => {
            let width = width.filter(|_| matches!(target, Target::Screen));
            target.write(&render::bytes(answer, settings.format, width)?)?;
        }
    }
    if !settings.quiet {
        tell(answer, settings.format, target);
    }
    Ok(())
}

/// Rows are shown as people read them only if they came with the answer, and Parquet is nothing to be shown.
fn check_place(result: &StoredResult, query_id: Uuid, format: Format, target: Target<'_>) -> anyhow::Result<()> {
    let for_people = matches!(format, Format::Table | Format::Expanded);
    let for_a_file = result.format == "parquet";
    let StoredResult { row_count, bytes, .. } = result;
    if !matches!(target, Target::File(_)) && (for_people || for_a_file) {
        bail!(
            "the answer is a {} file of {} rows and {} bytes, which is not shown; `isotherm query --resume {query_id} \
             --output FILE` fetches it",
            result.format,
            grouped(*row_count),
            grouped(*bytes),
        );
    }
    Ok(())
}

async fn fetch(
    result: &StoredResult,
    settings: &Settings,
    target: Target<'_>,
    interrupts: &mut Interrupts,
) -> anyhow::Result<()> {
    let mut file = target.temporary()?;
    let mut spinner = Spinner::new(settings.quiet);
    let total = grouped(result.bytes);
    tokio::select! {
        fetched = download::fetch(result, &mut file, |bytes| {
            spinner.show(&format!("fetching, {} of {total} bytes", grouped(bytes)));
        }) => fetched?,
        () = interrupts.next() => bail!("the download was given up"),
    }
    drop(spinner);
    target.place(file)
}

fn again(query_id: Uuid) -> String {
    format!("the query is done; `isotherm query --resume {query_id}` asks for its answer again")
}

/// The line below a table stands with it; of rows that went elsewhere it tells on standard error.
fn tell(answer: &Answer, format: Format, target: Target<'_>) {
    let footer = table::footer(answer);
    match target {
        Target::Screen if matches!(format, Format::Table | Format::Expanded) => say!("{footer}"),
        Target::Screen => {}
        Target::File(path) | Target::Behind(path, _) => {
            let kind = answer.result.as_ref().map_or(format.as_str(), |result| result.format.as_str());
            eprintln!("{footer}, written to {} as {kind}", path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_file_is_never_poured_over_a_terminal() {
        let result = |format: &str| StoredResult {
            format: format.to_owned(),
            url: "http://secret".to_owned(),
            bytes: 5_000_000,
            row_count: 1_000,
            sha256: String::new(),
        };
        let check = |stored, format, target| check_place(&result(stored), Uuid::nil(), format, target);
        for (stored, format) in [("json", Format::Table), ("json", Format::Expanded), ("parquet", Format::Json)] {
            let error = check(stored, format, Target::Screen).unwrap_err().to_string();
            assert!(error.contains("--resume 0000") && !error.contains("secret"), "{error}");
            assert!(check(stored, format, Target::File(Path::new("x"))).is_ok());
        }
        for (stored, format) in [("csv", Format::Csv), ("json", Format::Json)] {
            assert!(check(stored, format, Target::Screen).is_ok());
        }
    }
}
