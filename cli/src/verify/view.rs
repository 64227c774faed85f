//! What a check has found, for people and for programs.

use std::time::Duration;

use isotherm_cold_store::Sha256Digest;
use isotherm_cold_store::integrity::{Level, Progress, Report};
use serde_json::{Value, json};

use super::manifest_place::ManifestPlace;
use crate::output::{grouped, say, table};

/// A check that was made.
pub(super) struct Verified<'a> {
    pub(super) place: &'a ManifestPlace,
    /// Digest of the manifest that was trusted.
    pub(super) sha256: Sha256Digest,
    pub(super) report: Report,
    pub(super) took: Duration,
}

/// How far a check is, as a line.
pub(super) fn progress(progress: Progress) -> String {
    let Progress { files, of_files, bytes, of_bytes, blocks } = progress;
    let [files, of_files, bytes, of_bytes, blocks] = [files, of_files, bytes, of_bytes, blocks].map(grouped);
    format!("files {files} of {of_files}, bytes {bytes} of {of_bytes}, blocks {blocks}")
}

pub(super) fn print(verified: &Verified<'_>) {
    let Report { findings, unverifiable, .. } = &verified.report;
    if !findings.is_empty() {
        let mut table = table(&["dataset", "blocks", "fault", "object", "what is wrong"], &[]);
        for finding in findings {
            table.add_row([
                finding.dataset.to_string(),
                finding.blocks.map_or_else(String::new, |blocks| blocks.to_string()),
                finding.fault.to_string(),
                finding.object.clone(),
                finding.message.clone(),
            ]);
        }
        say!("{table}");
    }
    if !unverifiable.is_empty() {
        let mut table = table(&["dataset", "blocks", "not verifiable, as"], &[]);
        for told in unverifiable {
            table.add_row([told.dataset.to_string(), told.blocks.to_string(), told.reason.clone()]);
        }
        say!("{table}");
    }
    say!("{} has SHA-256 {}", verified.place, verified.sha256);
    say!("{}", summary(verified));
}

/// The verdict, and what was read for it.
fn summary(verified: &Verified<'_>) -> String {
    let report = &verified.report;
    let verdict = match (report.findings.len(), report.unverifiable.len()) {
        (0, 0) => "sound".to_owned(),
        (0, _) => "sound as far as it can be verified".to_owned(),
        (findings, _) => format!("NOT sound, findings: {findings}"),
    };
    let [manifests, files, bytes] = [report.manifests, report.files, report.bytes].map(grouped);
    let mut line = format!("{verdict}; level {}, manifests {manifests}, files {files}, bytes {bytes}", report.level);
    if report.level > Level::File {
        let [blocks, speed] = [report.blocks, per_second(report.blocks, verified.took)].map(grouped);
        line.push_str(&format!(", blocks {blocks}, blocks/s {speed}"));
    }
    line
}

fn per_second(count: u64, took: Duration) -> u64 {
    let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    count.saturating_mul(1_000) / milliseconds.max(1)
}

pub(super) fn to_json(verified: &Verified<'_>) -> Value {
    let Verified { place, sha256, report, took } = verified;
    let mut json = json!(report);
    json["manifest"] = json!(place.to_string());
    json["manifest_sha256"] = json!(sha256);
    json["chain"] = json!(place.chain);
    json["dataset"] = json!(place.dataset);
    json["sound"] = json!(report.is_sound());
    json["seconds"] = json!(took.as_secs_f64());
    json
}

#[cfg(test)]
mod tests {
    use isotherm_cold_store::ChainName;
    use isotherm_cold_store::integrity::{Fault, Finding, Unverifiable};
    use isotherm_types::{BlockNumber, BlockRange, Dataset};

    use super::super::manifest_place::Storage;
    use super::*;
    use crate::golden;

    fn place() -> ManifestPlace {
        ManifestPlace {
            storage: Storage::Bucket("isotherm-cold".to_owned()),
            chain: ChainName::new("made").unwrap(),
            dataset: Dataset::Logs,
            version: 4,
        }
    }

    fn report(level: Level) -> Report {
        let blocks = BlockRange::new(BlockNumber(10), BlockNumber(20)).unwrap();
        let object = "cold/made/logs/logs_0000000010_0000000019.parquet".to_owned();
        Report {
            level,
            manifests: 15,
            files: 11,
            bytes: 123_456,
            blocks: if level == Level::File { 0 } else { 40 },
            findings: vec![Finding {
                dataset: Dataset::Logs,
                object: object.clone(),
                blocks: Some(blocks),
                fault: Fault::ObjectMissing,
                message: "the file is not there".to_owned(),
            }],
            unverifiable: vec![Unverifiable {
                dataset: Dataset::Logs,
                blocks,
                reason: format!("{object} cannot be used"),
                was_read: false,
            }],
            headers: Vec::new(),
        }
    }

    fn verified(place: &ManifestPlace, report: Report) -> Verified<'_> {
        Verified { place, sha256: Sha256Digest([0xab; 32]), report, took: Duration::from_millis(1_250) }
    }

    #[test]
    fn a_check_for_programs_is_the_golden_file() {
        let place = place();
        golden::check("verify", &to_json(&verified(&place, report(Level::Chain))));
    }

    #[test]
    fn the_last_line_is_the_verdict_and_what_was_read() {
        let place = place();
        let line = |report| summary(&verified(&place, report));
        let read = "manifests 15, files 11, bytes 123,456";
        let chain = format!("level chain, {read}, blocks 40, blocks/s 32");
        assert_eq!(line(report(Level::Chain)), format!("NOT sound, findings: 1; {chain}"));
        assert_eq!(line(report(Level::File)), format!("NOT sound, findings: 1; level file, {read}"));
        let open = Report { findings: Vec::new(), ..report(Level::Chain) };
        assert_eq!(line(open.clone()), format!("sound as far as it can be verified; {chain}"));
        assert_eq!(line(Report { unverifiable: Vec::new(), ..open }), format!("sound; {chain}"));
    }

    #[test]
    fn a_speed_needs_no_time_that_can_be_measured() {
        assert_eq!(per_second(40, Duration::from_secs(20)), 2);
        assert_eq!(per_second(40, Duration::ZERO), 40_000);
    }

    #[test]
    fn progress_is_a_line() {
        let line = progress(Progress { files: 3, of_files: 1_000, bytes: 4_096, of_bytes: 9_999_999, blocks: 12 });
        assert_eq!(line, "files 3 of 1,000, bytes 4,096 of 9,999,999, blocks 12");
    }
}
