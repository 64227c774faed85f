//! Objects that somebody replaces or removes between a crash and the next run, which must notice it and commit nothing.

use aws_sdk_s3::primitives::ByteStream;
use isotherm_lab::experiment::Experiment;
use isotherm_platform::crash_points::CRASH_POINT_VARIABLE;
use isotherm_types::{CrashPoint, Disposition};

use crate::program::{Program, claim};
use crate::rows::range;
use crate::world::{PARTITION_BLOCKS, World};

const DATA: &str = "cold/made/blocks/blocks_0000000000_0000000009.parquet";
const MANIFEST: &str = "cold/made/blocks/manifests/0000000001.json";

/// How far a run got, what is done to which of its objects, and how the next one calls it.
const CASES: [(CrashPoint, Tampering, &str, &str); 6] = [
    (CrashPoint::CompactStored, Tampering::Replaced, DATA, "cold_store.object_conflict"),
    (CrashPoint::CompactListed, Tampering::Replaced, DATA, "cold_store.object_conflict"),
    (CrashPoint::CompactListed, Tampering::Replaced, MANIFEST, "cold_store.manifest_format"),
    (CrashPoint::CompactCommitting, Tampering::Replaced, MANIFEST, "cold_store.manifest_format"),
    (CrashPoint::CompactCommitted, Tampering::Replaced, MANIFEST, "cold_store.object_altered"),
    (CrashPoint::CompactCommitted, Tampering::Removed, MANIFEST, "cold_store.object_missing"),
];

#[derive(Clone, Copy)]
enum Tampering {
    Replaced,
    Removed,
}

impl Tampering {
    async fn carry_out(self, world: &World, key: &str) {
        let (s3, bucket) = (&world.s3, world.objects.bucket());
        match self {
            Self::Replaced => {
                let body = ByteStream::from_static(b"something else");
                s3.put_object().bucket(bucket).key(key).body(body).send().await.unwrap();
            }
            Self::Removed => {
                s3.delete_object().bucket(bucket).key(key).send().await.unwrap();
            }
        }
    }
}

async fn committed(world: &World) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM cold.data_partitions").fetch_one(&world.pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_tampered_objects() {
    let mut experiment = Experiment::begin("tampered_objects", &["tampering"]);
    // The second partition takes on from the first one's manifest.
    let blocks = range(0, 2 * PARTITION_BLOCKS);
    let (mut cases, mut aborted, mut noticed, mut committed_after) = (0, 0, 0, 0);
    for (point, tampering, key, expected) in CASES {
        cases += 1;
        let world = World::create(blocks, blocks.last().0).await;
        let program = Program::of(&world);
        let doomed = program.clone().with(CRASH_POINT_VARIABLE, point.as_str());
        aborted += i64::from(doomed.run(&claim(&world, blocks).await).await.was_aborted());
        if !experiment.lacks("tampering") {
            tampering.carry_out(&world, key).await;
        }
        let before = committed(&world).await;
        let ended = program.run(&claim(&world, blocks).await).await;
        let failure = ended.failure();
        noticed += i64::from(failure.is_some_and(|(code, message, disposition)| {
            code == expected && message.contains(key) && disposition == Disposition::GiveUp
        }));
        committed_after += committed(&world).await - before;
    }
    experiment.equal("aborted_there", aborted, cases);
    experiment.equal("noticed", noticed, cases);
    experiment.zero("committed_after", committed_after);
    experiment.finish();
}
