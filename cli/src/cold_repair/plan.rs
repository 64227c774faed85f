//! What can be restored, and by which job. Pure.

use isotherm_cold_store::catalog::checks::OpenFinding;
use isotherm_cold_store::integrity::Fault;
use isotherm_cold_store::layout::Object;
use isotherm_control::jobs::Job;
use isotherm_types::{ChainId, Dataset, JobId};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::connected::unknown;

/// What is wrong with a file whose bytes are not those that were committed.
const REPAIRABLE: [Fault; 3] = [Fault::ObjectMissing, Fault::SizeDiffers, Fault::DigestDiffers];

/// A job that can restore files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IngestJob {
    pub(super) id: JobId,
    pub(super) name: String,
    config: IngestConfig,
}

/// What of the job's settings matters here.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct IngestConfig {
    chain_id: ChainId,
    chain: String,
    datasets: Vec<Dataset>,
}

/// An object with open findings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BrokenObject {
    /// The finding that is to be repaired, else the first.
    pub(super) finding_id: i64,
    pub(super) key: String,
    /// Stable names of what is wrong, the oldest first.
    pub(super) faults: Vec<String>,
}

/// What can be done about an object.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Remedy<'a> {
    /// A task of this job with this input.
    Task { job: &'a IngestJob, input: Value },
    /// Nothing by a task, for this reason.
    ByHand { reason: String },
}

/// The jobs that can restore files. One whose settings cannot be read cannot: its tasks say why.
pub(super) fn ingest_jobs(jobs: &[Job]) -> Vec<IngestJob> {
    let is_able = |job: &&Job| job.active && !job.always_on && job.operator == "cryo_ingest";
    let read = |job: &Job| {
        let config = IngestConfig::deserialize(&job.config).ok()?;
        Some(IngestJob { id: job.id, name: job.name.clone(), config })
    };
    jobs.iter().filter(is_able).filter_map(read).collect()
}

/// The chain of this name or chain id, and those of `jobs` that are for it.
///
/// # Errors
/// If there is none.
pub(super) fn of_chain(jobs: Vec<IngestJob>, word: &str) -> anyhow::Result<(ChainId, Vec<IngestJob>)> {
    let is_meant = |job: &&IngestJob| job.config.chain == word || job.config.chain_id.to_string() == word;
    let Some(chain_id) = jobs.iter().find(is_meant).map(|job| job.config.chain_id) else {
        let mut names: Vec<String> = jobs.into_iter().map(|job| job.config.chain).collect();
        names.sort();
        names.dedup();
        return Err(unknown("chain with an active job of cryo_ingest", word, &names));
    };
    Ok((chain_id, jobs.into_iter().filter(|job| job.config.chain_id == chain_id).collect()))
}

/// The objects of open findings, in the order of their oldest ones.
pub(super) fn broken_objects(open: &[OpenFinding]) -> Vec<BrokenObject> {
    let mut objects: Vec<BrokenObject> = Vec::new();
    for finding in open {
        let known = objects.iter().position(|object| object.key == finding.object_key);
        let index = known.unwrap_or_else(|| {
            let (finding_id, key) = (finding.id, finding.object_key.clone());
            objects.push(BrokenObject { finding_id, key, faults: Vec::new() });
            objects.len() - 1
        });
        let object = &mut objects[index];
        if is_repairable(&finding.fault) && !object.faults.iter().any(|fault| is_repairable(fault)) {
            object.finding_id = finding.id;
        }
        if !object.faults.contains(&finding.fault) {
            object.faults.push(finding.fault.clone());
        }
    }
    objects
}

fn is_repairable(fault: &str) -> bool {
    REPAIRABLE.iter().any(|repairable| repairable.name() == fault)
}

/// What can be done about `object` by `jobs`, which are those of its chain.
pub(super) fn remedy<'a>(object: &BrokenObject, jobs: &'a [IngestJob]) -> Remedy<'a> {
    let by_hand = |reason: String| Remedy::ByHand { reason };
    let (dataset, blocks) = match Object::parse(&object.key) {
        Ok(Object::Data { dataset, blocks, .. }) => (dataset, blocks),
        Ok(Object::Manifest { .. }) => {
            return by_hand(
                "a manifest is not made again from the chain: restore its version by hand, the one with the SHA-256 \
                 that its successor or cold.datasets names"
                    .to_owned(),
            );
        }
        Err(error) => return by_hand(error.to_string()),
    };
    if !object.faults.iter().any(|fault| is_repairable(fault)) {
        return by_hand(
            "its bytes are those that were committed, and a repair would put the same ones there: keep the file, \
             compare it with an explorer and report it"
                .to_owned(),
        );
    }
    match jobs.iter().find(|job| job.config.datasets.contains(&dataset)) {
        Some(job) => Remedy::Task { job, input: json!({ "repair": { "dataset": dataset, "blocks": blocks } }) },
        None => {
            by_hand(format!("no active job of cryo_ingest for this chain names {dataset} in `datasets`: add it to one"))
        }
    }
}

#[cfg(test)]
mod tests {
    use isotherm_types::{BlockNumber, BlockRange};

    use super::*;

    const LOGS: &str = "cold/demo/logs/logs_0000000000_0000000009.parquet";
    const MANIFEST: &str = "cold/demo/logs/manifests/0000000001.json";

    fn job(id: i64, chain_id: u64, chain: &str, datasets: &[Dataset]) -> IngestJob {
        let config = IngestConfig { chain_id: ChainId(chain_id), chain: chain.to_owned(), datasets: datasets.to_vec() };
        IngestJob { id: JobId(id), name: format!("job-{id}"), config }
    }

    fn finding(id: i64, key: &str, fault: Fault) -> OpenFinding {
        OpenFinding {
            id,
            dataset: Dataset::Logs,
            object_key: key.to_owned(),
            blocks: BlockRange::new(BlockNumber(0), BlockNumber(10)).ok(),
            level: fault.level(),
            fault: fault.name().to_owned(),
        }
    }

    fn broken(key: &str, fault: Fault) -> BrokenObject {
        broken_objects(&[finding(1, key, fault)]).remove(0)
    }

    #[test]
    fn an_object_is_one_however_much_is_wrong_with_it() {
        let open = [
            finding(1, LOGS, Fault::ReceiptsRoot),
            finding(2, MANIFEST, Fault::ManifestAltered),
            finding(3, LOGS, Fault::DigestDiffers),
            finding(4, LOGS, Fault::ReceiptsRoot),
            finding(5, LOGS, Fault::SizeDiffers),
        ];
        let objects = broken_objects(&open);
        assert_eq!(objects.iter().map(|object| object.key.as_str()).collect::<Vec<_>>(), [LOGS, MANIFEST]);
        assert_eq!(objects[0].faults, ["receipts_root", "digest_differs", "size_differs"]);
        assert_eq!((objects[0].finding_id, objects[1].finding_id), (3, 2), "the one that a repair mends");
    }

    #[test]
    fn a_file_of_other_bytes_is_restored_by_a_job_that_names_its_dataset() {
        let jobs = [job(1, 5, "demo", &[Dataset::Blocks]), job(2, 5, "demo", &[Dataset::Blocks, Dataset::Logs])];
        for fault in REPAIRABLE {
            let input = json!({ "repair": { "dataset": "logs", "blocks": { "start": 0, "end": 10 } } });
            assert_eq!(remedy(&broken(LOGS, fault), &jobs), Remedy::Task { job: &jobs[1], input });
        }
    }

    #[test]
    fn what_cannot_be_repaired_is_told_with_the_reason() {
        let jobs = [job(2, 5, "demo", &[Dataset::Logs])];
        let reason = |key: &str, fault: Fault, jobs: &[IngestJob]| match remedy(&broken(key, fault), jobs) {
            Remedy::ByHand { reason } => reason,
            Remedy::Task { .. } => panic!("{key} with {fault} is repaired"),
        };
        assert!(reason(LOGS, Fault::DigestDiffers, &[]).contains("names logs in `datasets`"));
        assert!(reason(MANIFEST, Fault::ManifestMissing, &jobs).contains("restore its version by hand"));
        assert!(reason("cold/demo/x", Fault::ObjectMissing, &jobs).contains("cold/demo/x"));
        for fault in Fault::ALL.into_iter().filter(|fault| !REPAIRABLE.contains(fault)) {
            assert!(reason(LOGS, fault, &jobs).contains("those that were committed"), "{fault}");
        }
    }

    #[test]
    fn a_chain_is_named_by_its_name_or_its_id() {
        let jobs = || vec![job(1, 5, "demo", &[]), job(2, 6, "other", &[]), job(3, 5, "demo", &[])];
        for word in ["demo", "5"] {
            let (chain_id, found) = of_chain(jobs(), word).unwrap();
            assert_eq!((chain_id, found), (ChainId(5), vec![jobs()[0].clone(), jobs()[2].clone()]), "{word}");
        }
        let message = of_chain(jobs(), "nobody").unwrap_err().to_string();
        assert!(message.contains("there are: demo, other"), "{message}");
    }
}
