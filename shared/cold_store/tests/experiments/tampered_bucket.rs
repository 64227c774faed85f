//! Bytes that are altered at random places, and manifests that are deleted, exchanged, replaced or rolled back: the
//! check must name exactly the objects that are not what they were, and of files the blocks.

use isotherm_cold_store::integrity::{Level, Report};
use isotherm_cold_store::layout::manifest_key;
use isotherm_cold_store::{ChainName, DataFile, Sha256Digest};
use isotherm_lab::experiment::Experiment;
use isotherm_types::{BlockRange, Dataset};
use rand::Rng;

use crate::sealed::World;

/// An object as it was written.
struct Object {
    dataset: Dataset,
    key: String,
    /// `None` of a manifest.
    blocks: Option<BlockRange>,
    bytes: Vec<u8>,
}

impl Object {
    async fn restore(&self, world: &World) {
        world.bucket.overwrite(&self.key, &self.bytes).await;
    }

    /// The object and its blocks, as a finding has them.
    fn name(&self) -> Name<'_> {
        (&self.key, self.blocks)
    }
}

type Name<'a> = (&'a str, Option<BlockRange>);

/// All data files and manifests; of a dataset the manifests are in the order of their versions.
async fn objects(world: &World) -> Vec<Object> {
    let mut objects = Vec::new();
    for dataset in Dataset::ALL {
        let newest = &world.newest[&dataset];
        let files = newest.files.iter().map(|file| (file.key.clone(), Some(file.blocks)));
        let manifests = (1..=newest.manifest_version).map(|version| (key_of(dataset, version), None));
        for (key, blocks) in files.chain(manifests) {
            let bytes = world.read(&key).await;
            objects.push(Object { dataset, key, blocks, bytes });
        }
    }
    objects
}

fn key_of(dataset: Dataset, version: u64) -> String {
    manifest_key(&ChainName::new("made").unwrap(), dataset, version)
}

/// What somebody does to the manifests of a dataset.
#[derive(Clone, Copy, Debug)]
enum Tampering {
    Deleted {
        version: u64,
    },
    Exchanged {
        left: u64,
        right: u64,
    },
    /// The newest one has the bytes of an older one.
    Replaced {
        by: u64,
    },
    /// All after this version are deleted: the bucket is as it once was.
    RolledBack {
        to: u64,
    },
}

impl Tampering {
    /// Each kind in turn.
    fn draw(turn: usize, newest: u64, random: &mut impl Rng) -> Self {
        match turn % 4 {
            0 => Self::Deleted { version: random.random_range(1..=newest) },
            1 => {
                let left = random.random_range(1..newest);
                Self::Exchanged { left, right: random.random_range(left + 1..=newest) }
            }
            2 => Self::Replaced { by: random.random_range(1..newest) },
            _ => Self::RolledBack { to: random.random_range(1..newest) },
        }
    }

    /// Returns the versions that are not what they were.
    async fn carry_out(self, world: &World, dataset: Dataset, newest: u64) -> Vec<u64> {
        let (bucket, key) = (&world.bucket, |version| key_of(dataset, version));
        match self {
            Self::Deleted { version } => {
                bucket.delete(&key(version)).await;
                vec![version]
            }
            Self::Exchanged { left, right } => {
                let (left_bytes, right_bytes) = (world.read(&key(left)).await, world.read(&key(right)).await);
                bucket.overwrite(&key(left), &right_bytes).await;
                bucket.overwrite(&key(right), &left_bytes).await;
                vec![left, right]
            }
            Self::Replaced { by } => {
                bucket.overwrite(&key(newest), &world.read(&key(by)).await).await;
                vec![newest]
            }
            Self::RolledBack { to } => {
                let later: Vec<u64> = (to + 1..=newest).collect();
                for version in &later {
                    bucket.delete(&key(*version)).await;
                }
                later
            }
        }
    }
}

/// Whether the findings are about these objects and their blocks, each once, and about nothing else.
fn names_exactly(report: &Report, expected: &[Name<'_>]) -> bool {
    let mut found: Vec<Name<'_>> =
        report.findings.iter().map(|finding| (finding.object.as_str(), finding.blocks)).collect();
    found.sort_by_key(|(object, _)| *object);
    found == expected
}

/// Lists `files` anew, so that every manifest fits them and the catalogue names the last.
async fn list_anew(world: &mut World, dataset: Dataset, files: &[DataFile]) {
    world.newest.remove(&dataset);
    for file in files {
        world.list(file.clone()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_tampered_bucket() {
    let mut experiment = Experiment::begin("tampered_bucket", &["digest", "catalogue"]);
    let (flips, tamperings): (i64, usize) = experiment.scaled((20, 8), (1_000, 50));
    let (without_digest, without_catalogue) = (experiment.lacks("digest"), experiment.lacks("catalogue"));
    let mut world = World::whole().await;
    let objects = objects(&world).await;

    let (mut random, mut flips_found) = (experiment.random(1), 0);
    let total: usize = objects.iter().map(|object| object.bytes.len()).sum();
    for _ in 0..flips {
        let (object, place) = at(&objects, random.random_range(0..total));
        let mut altered = object.bytes.clone();
        let mask: u8 = random.random_range(1..=u8::MAX);
        altered[place] ^= mask;
        world.bucket.overwrite(&object.key, &altered).await;
        let sound_files = world.newest[&object.dataset].files.clone();
        let is_listed = object.blocks.is_some();
        if without_digest && is_listed {
            let mut files = sound_files.clone();
            let file = files.iter_mut().find(|file| file.key == object.key).unwrap();
            file.sha256 = Sha256Digest::of(&altered);
            list_anew(&mut world, object.dataset, &files).await;
        }
        let report = world.check(Level::File).await;
        flips_found += i64::from(names_exactly(&report, &[object.name()]));
        object.restore(&world).await;
        if without_digest && is_listed {
            list_anew(&mut world, object.dataset, &sound_files).await;
        }
    }

    let (mut random, mut tamperings_found) = (experiment.random(2), 0);
    for turn in 0..tamperings {
        let dataset = Dataset::ALL[random.random_range(0..Dataset::ALL.len())];
        let newest = world.newest[&dataset].manifest_version;
        let versions = Tampering::draw(turn, newest, &mut random).carry_out(&world, dataset, newest).await;
        let keys: Vec<String> = versions.into_iter().map(|version| key_of(dataset, version)).collect();
        let expected: Vec<Name<'_>> = keys.iter().map(|key| (key.as_str(), None)).collect();
        let report = world
            .check_as(Level::File, |plan| {
                if without_catalogue {
                    plan.heads.clear();
                }
            })
            .await;
        tamperings_found += i64::from(names_exactly(&report, &expected));
        for object in objects.iter().filter(|object| object.dataset == dataset && object.blocks.is_none()) {
            object.restore(&world).await;
        }
    }
    let unsound_after = world.check(Level::Chain).await.findings.len();

    experiment.figure("bytes", total);
    experiment.equal("flips_found", flips_found, flips);
    experiment.equal("manifests_found", tamperings_found, i64::try_from(tamperings).unwrap());
    experiment.zero("unsound_after", i64::try_from(unsound_after).unwrap());
    experiment.finish();
}

/// The object that has the byte at `offset` of all, and where in it.
fn at(objects: &[Object], mut offset: usize) -> (&Object, usize) {
    for object in objects {
        if offset < object.bytes.len() {
            return (object, offset);
        }
        offset -= object.bytes.len();
    }
    panic!("the offset is below the sum of all lengths")
}
