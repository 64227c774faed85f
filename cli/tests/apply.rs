//! `isotherm plan` and `isotherm apply` as commands, on a real database and the real emulator's scheduler.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Stdio;

use isotherm_lab::ministack::{Ministack, MinistackOptions, REGION};
use isotherm_lab::postgres::TestDatabase;
use isotherm_local_stack::LocalAws;
use nix::fcntl::{Flock, FlockArg};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

const GROUP: &str = "isotherm-triggers";

const FILE: &str = "\
version: 1
jobs:
  - { name: beat, operator: noop }
triggers:
  - { name: hourly, job: beat, cron: { schedule: rate(1 hour) } }
  - { name: daily, job: beat, cron: { schedule: cron(0 8 * * ? *), timezone: Europe/Berlin } }
";

#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

async fn isotherm(folder: &TempDir, arguments: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_isotherm"));
    command.arg("--data").arg(folder.path().join("data")).args(arguments).current_dir(folder.path());
    let output = command.stdin(Stdio::null()).output().await.unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[tokio::test]
async fn a_file_alone_is_checked_without_a_stack_and_every_fault_has_a_line() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("good.yaml"), FILE).unwrap();
    fs::write(folder.path().join("bad.yaml"), FILE.replace("noop", "No").replace("job: beat", "jb: beat")).unwrap();
    let good = isotherm(&folder, &["plan", "--offline", "good.yaml"]).await;
    assert_eq!((good.code, good.stdout.as_str()), (Some(0), "good.yaml: no fault; jobs: 1, triggers: 2\n"), "{good:?}");
    for command in [&["plan", "--offline", "bad.yaml"][..], &["plan", "bad.yaml"], &["apply", "bad.yaml"]] {
        let bad = isotherm(&folder, command).await;
        assert_eq!((bad.code, bad.stdout.as_str()), (Some(1), ""), "{bad:?}");
        assert_eq!(
            bad.stderr.lines().collect::<Vec<_>>(),
            [
                "bad.yaml:3:29: operator of job \"beat\" is \"No\"; it must be 1 to 63 of a-z, 0-9 and _, \
                 starting with a letter or digit",
                "bad.yaml:5:21: unknown key \"jb\" of trigger \"hourly\"; did you mean `job`?",
                "bad.yaml:6:20: unknown key \"jb\" of trigger \"daily\"; did you mean `job`?",
            ]
        );
    }
    let none = isotherm(&folder, &["plan", "good.yaml"]).await;
    assert!(none.code == Some(1) && none.stderr.contains("no stack runs"), "{none:?}");
    let missing = isotherm(&folder, &["plan", "--offline", "none.yaml"]).await;
    assert!(missing.code == Some(1) && missing.stderr.contains("none.yaml"), "{missing:?}");
}

#[tokio::test]
async fn a_followers_profile_keeps_to_the_bounds_of_a_chains_file() {
    let file = "\
version: 1
jobs:
  - name: follow-five
    operator: block_follower
    always_on: true
    config:
      chain_id: 5
      chain: five
      start: latest
      profile:
        chain_id: 5
        name: five
        block_time_ms: 250
        finality: { kind: tags }
        checks: { sender: never }
";
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("good.yaml"), file).unwrap();
    let good = isotherm(&folder, &["plan", "--offline", "good.yaml"]).await;
    assert_eq!(good.code, Some(0), "{good:?}");
    let bad = file.replace("_ms: 250", "_ms: 0").replace("kind: tags", "kind: depth").replace("sender", "sendr");
    fs::write(folder.path().join("bad.yaml"), bad).unwrap();
    fs::write(folder.path().join("other.yaml"), file.replace("        chain_id: 5", "        chain_id: 6")).unwrap();
    for command in ["plan", "apply"] {
        let bad = isotherm(&folder, &[command, "bad.yaml"]).await;
        assert_eq!((bad.code, bad.stdout.as_str()), (Some(1), ""), "{bad:?}");
        assert_eq!(
            bad.stderr.lines().collect::<Vec<_>>(),
            [
                "bad.yaml:13:24: job \"follow-five\": block_time_ms of the profile is 0; \
                 it must be a whole number from 1 to 3600000",
                "bad.yaml:14:19: job \"follow-five\": finality by depth needs `blocks`",
                "bad.yaml:15:19: job \"follow-five\": unknown key \"sendr\" of checks of the profile; it may have \
                 header_hash, parent_hash, transactions_root, receipts_root, logs_bloom, gas_used, sender, \
                 effective_gas_price, contract_address, unknown_formats",
            ]
        );
        let other = isotherm(&folder, &[command, "other.yaml"]).await;
        assert_eq!(other.code, Some(1), "{other:?}");
        assert_eq!(
            other.stderr,
            "other.yaml:11:19: job \"follow-five\": it is for chain 5, but its profile is that of chain 6\n"
        );
    }
}

/// A database and an emulator that look like a running stack to the command.
struct Scene {
    folder: TempDir,
    database: TestDatabase,
    aws: LocalAws,
    _emulator: Ministack,
    _lock: Flock<File>,
}

impl Scene {
    async fn new() -> Self {
        let database = TestDatabase::migrated().await.unwrap();
        let emulator = Ministack::start(MinistackOptions::default()).await.unwrap();
        let aws = LocalAws::new(&emulator.endpoint_url(), REGION, "000000000000").await;
        aws.scheduler().create_schedule_group().name(GROUP).send().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        let file = File::create(data.join("lock")).unwrap();
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).unwrap();
        let scene = Self { folder, database, aws, _emulator: emulator, _lock: lock };
        scene.announce(scene.aws.endpoint_url());
        scene
    }

    fn announce(&self, endpoint_url: &str) {
        let stack = json!({
            "pid": std::process::id(), "kind": "demo", "chain": "demo", "endpoint_url": endpoint_url,
            "api_url": "http://127.0.0.1:1", "database_url": self.database.url,
            "cron_target": {
                "group": GROUP, "function_arn": "arn:aws:lambda:us-east-1:000000000000:function:isotherm-trigger-cron",
                "role_arn": "arn:aws:iam::000000000000:role/isotherm-scheduler",
                "retry_attempts": 3, "max_event_age_seconds": 3600,
            },
        });
        fs::write(self.folder.path().join("data/running.json"), stack.to_string()).unwrap();
    }

    fn write(&self, text: &str) -> PathBuf {
        let path = self.folder.path().join("pipeline.yaml");
        fs::write(&path, text).unwrap();
        path
    }

    async fn run(&self, arguments: &[&str]) -> Ended {
        isotherm(&self.folder, arguments).await
    }

    async fn plan(&self) -> Value {
        let ended = self.run(&["plan", "--output", "json", "pipeline.yaml"]).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        serde_json::from_str(&ended.stdout).unwrap()
    }

    /// Expression and zone of each schedule, sorted.
    async fn schedules(&self) -> Vec<(String, String)> {
        let client = self.aws.scheduler();
        let listed = client.list_schedules().group_name(GROUP).send().await.unwrap();
        let mut found = Vec::new();
        for summary in listed.schedules() {
            let got = client.get_schedule().group_name(GROUP).name(summary.name().unwrap()).send().await.unwrap();
            let zone = got.schedule_expression_timezone().unwrap_or_default().to_owned();
            found.push((got.schedule_expression().unwrap().to_owned(), zone));
        }
        found.sort();
        found
    }
}

fn pair(schedule: &str, zone: &str) -> (String, String) {
    (schedule.to_owned(), zone.to_owned())
}

#[tokio::test]
async fn a_file_is_planned_and_applied_once_with_its_schedules() {
    let scene = Scene::new().await;
    scene.write(FILE);
    let planned = scene.run(&["plan", "--exit-code", "pipeline.yaml"]).await;
    assert_eq!(planned.code, Some(2), "{planned:?}");
    assert_eq!(
        planned.stdout.lines().collect::<Vec<_>>(),
        [
            "+ create     job beat",
            "+ create     trigger hourly",
            "+ create     trigger daily",
            "+ create     schedule of hourly: rate(1 hour) in UTC",
            "+ create     schedule of daily: cron(0 8 * * ? *) in Europe/Berlin",
            "organisation default: 3 to create, 0 to change, 0 to deactivate, 0 left; \
             schedules: 2 to create, 0 to change, 0 to remove, 0 left",
        ]
    );
    assert_eq!(scene.schedules().await, [], "a plan changes nothing");

    let applied = scene.run(&["apply", "pipeline.yaml"]).await;
    assert_eq!(applied.code, Some(0), "{applied:?}");
    assert_eq!(applied.stdout, format!("{}applied\n", planned.stdout));
    let both = [pair("cron(0 8 * * ? *)", "Europe/Berlin"), pair("rate(1 hour)", "UTC")];
    assert_eq!(scene.schedules().await, both);

    let again = scene.run(&["apply", "pipeline.yaml"]).await;
    let last = "nothing to do in organisation default: 1 job(s), 2 trigger(s) and 2 schedule(s) are as the file says";
    assert_eq!((again.code, again.stdout.lines().last()), (Some(0), Some(last)), "{again:?}");
    assert_eq!(scene.run(&["plan", "--exit-code", "pipeline.yaml"]).await.code, Some(0));

    // A bad file changes nothing, however good the rest of it is.
    scene.write(&FILE.replace("rate(1 hour)", "rate(2 hours)").replace("Europe/Berlin", "Europe/Bern"));
    assert_eq!(scene.run(&["apply", "pipeline.yaml"]).await.code, Some(1));
    assert_eq!(scene.schedules().await, both);

    scene.write(
        &FILE
            .replace("daily", "nightly")
            .replace("Europe/Berlin", "Asia/Kolkata")
            .replace("rate(1 hour)", "rate(2 hours)"),
    );
    let plan = scene.plan().await;
    let changes = |of: &str| {
        let rows = plan[of].as_array().unwrap().iter();
        rows.map(|row| row["change"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(changes("triggers"), ["changed", "created", "deactivated"], "{plan:#}");
    assert_eq!(changes("schedules"), ["create", "change", "remove"], "{plan:#}");
    assert_eq!(scene.run(&["apply", "pipeline.yaml"]).await.code, Some(0));
    assert_eq!(scene.schedules().await, [pair("cron(0 8 * * ? *)", "Asia/Kolkata"), pair("rate(2 hours)", "UTC")]);
    assert_eq!(scene.plan().await["has_changes"], json!(false));

    let unknown = scene.run(&["plan", "--org", "nobody", "pipeline.yaml"]).await;
    assert!(unknown.code == Some(1) && unknown.stderr.contains("nobody"), "{unknown:?}");
}

#[tokio::test]
async fn an_apply_leaves_the_schedules_of_other_organisations_alone() {
    let scene = Scene::new().await;
    let mut conn = scene.database.connect().await.unwrap();
    sqlx::query("INSERT INTO control.orgs (name) VALUES ('other')").execute(&mut conn).await.unwrap();
    scene.write(FILE);
    assert_eq!(scene.run(&["apply", "--org", "other", "pipeline.yaml"]).await.code, Some(0));
    scene.write(&FILE.replace("rate(1 hour)", "rate(3 hours)"));
    assert_eq!(scene.run(&["apply", "pipeline.yaml"]).await.code, Some(0));
    assert_eq!(scene.schedules().await.len(), 4);
    scene.write("{ version: 1, jobs: [] }");
    let applied = scene.run(&["apply", "pipeline.yaml"]).await;
    assert_eq!(applied.code, Some(0), "{applied:?}");
    assert_eq!(scene.schedules().await, [pair("cron(0 8 * * ? *)", "Europe/Berlin"), pair("rate(1 hour)", "UTC")]);
}

#[tokio::test]
async fn a_schedule_that_could_not_be_set_is_set_by_applying_again() {
    let scene = Scene::new().await;
    scene.write(FILE);
    // The group is gone between the plan and the schedules' creation only in life; here it is gone from the start, which
    // listing takes for empty and creating does not.
    scene.aws.scheduler().delete_schedule_group().name(GROUP).send().await.unwrap();
    let failed = scene.run(&["apply", "pipeline.yaml"]).await;
    assert_eq!(failed.code, Some(1), "{failed:?}");
    assert!(failed.stderr.contains("run the command again to complete it"), "{failed:?}");

    scene.aws.scheduler().create_schedule_group().name(GROUP).send().await.unwrap();
    let completed = scene.run(&["apply", "pipeline.yaml"]).await;
    assert_eq!(completed.code, Some(0), "{completed:?}");
    assert!(
        completed.stdout.contains("0 to create, 0 to change, 0 to deactivate, 3 left; schedules: 2 to create"),
        "{completed:?}"
    );
    assert_eq!(scene.schedules().await.len(), 2);
}

#[tokio::test]
async fn stopping_a_running_source_is_warned_of() {
    let scene = Scene::new().await;
    let follower = "{ version: 1, jobs: [{ name: follow-demo, operator: block_follower, always_on: true }] }";
    scene.write(follower);
    assert_eq!(scene.run(&["apply", "pipeline.yaml"]).await.code, Some(0));
    scene.write(FILE);
    assert_eq!(scene.plan().await["warnings"], json!([]), "it does not run yet");
    let mut conn = scene.database.connect().await.unwrap();
    let task = "INSERT INTO control.tasks (org_id, job_id, idempotency_key, always_on, input, attempts_left)
                SELECT org_id, id, 'source', true, '{}', 1 FROM control.jobs WHERE name = 'follow-demo'";
    sqlx::query(task).execute(&mut conn).await.unwrap();
    let warnings = scene.plan().await["warnings"].clone();
    assert!(
        warnings[0].as_str().unwrap().contains("`isotherm demo` made it, from a pipeline built in code"),
        "{warnings}"
    );
    scene.write(&follower.replace("always_on: true", "always_on: true, config: { chain_id: 1 }"));
    let warnings = scene.plan().await["warnings"].clone();
    assert!(warnings[0].as_str().unwrap().contains("started anew"), "{warnings}");
}
