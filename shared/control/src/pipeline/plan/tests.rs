use serde_json::json;

use super::*;
use crate::pipeline::parse;

const FILE: &str = "\
version: 1
jobs:
  - { name: follow, operator: block_follower, always_on: true, heartbeat_timeout_seconds: 10, config: { poll: { ms: 100, list: [1, 2.0] } } }
  - { name: beat, operator: noop }
triggers:
  - { name: hourly, job: beat, cron: { schedule: rate(1 hour), timezone: Europe/Berlin } }
  - { name: called, job: beat, webhook: { secret: hook } }
";

fn pipeline(text: &str) -> Pipeline {
    parse(text).unwrap_or_else(|error| panic!("{error}"))
}

/// What the tables would hold after `text` was applied, numbers as Postgres writes them.
fn after(text: &str) -> Stored {
    let pipeline = pipeline(text);
    let row = |id: i64, definition: Value| {
        let hash = config_hash(&definition).to_vec();
        let text = definition.to_string().replace("10.0", "10").replace("30.0", "30").replace("2.0", "2");
        (id, hash, serde_json::from_str::<Value>(&text).unwrap())
    };
    let jobs = pipeline.jobs.iter().zip(1..).map(|(job, id)| {
        let (id, config_hash, definition) = row(id, to_json(job).unwrap());
        let (name, active, is_running_source) = (job.name.clone(), true, job.always_on);
        StoredJob { id: JobId(id), name, active, config_hash, definition, is_running_source }
    });
    let triggers = pipeline.triggers.iter().zip(1..).map(|(trigger, id)| {
        let (id, config_hash, definition) = row(id, to_json(trigger).unwrap());
        StoredTrigger { id: TriggerId(id), name: trigger.name.clone(), active: true, config_hash, definition }
    });
    Stored { jobs: jobs.collect(), triggers: triggers.collect() }
}

fn fields(fields: &[FieldChange]) -> Vec<(&str, Value, Value)> {
    let value = |side: &Option<Value>| side.clone().unwrap_or(Value::Null);
    fields.iter().map(|field| (field.field.as_str(), value(&field.old), value(&field.new))).collect()
}

#[test]
fn the_same_file_changes_nothing() {
    let stored = after(FILE);
    let plan = super::plan(&stored, &pipeline(FILE)).unwrap();
    assert!(plan.is_empty(), "{plan:?}");
    assert_eq!(plan.jobs.iter().map(|job| job.id).collect::<Vec<_>>(), [Some(JobId(1)), Some(JobId(2))]);
}

#[test]
fn a_hash_of_another_program_alone_changes_nothing() {
    let mut stored = after(FILE);
    stored.jobs.iter_mut().for_each(|job| job.config_hash = vec![0; 32]);
    stored.triggers.iter_mut().for_each(|trigger| trigger.config_hash = vec![0; 32]);
    assert!(super::plan(&stored, &pipeline(FILE)).unwrap().is_empty());
}

#[test]
fn an_empty_database_gets_everything() {
    let plan = super::plan(&Stored::default(), &pipeline(FILE)).unwrap();
    assert!(plan.changes().all(|change| change == ChangeKind::Created));
    assert_eq!(plan.changes().count(), 4);
    assert_eq!(plan.triggers[0].schedule.as_ref().unwrap().timezone, "Europe/Berlin");
    assert_eq!(plan.triggers[1].schedule, None);
}

#[test]
fn a_change_is_told_field_by_field() {
    let text = FILE
        .replace("ms: 100, list: [1, 2.0]", "ms: 50, list: [1, 3]")
        .replace("operator: noop", "operator: noop, run_timeout_seconds: 5")
        .replace("cron: { schedule: rate(1 hour), timezone: Europe/Berlin }", "webhook: { secret: other }");
    let plan = super::plan(&after(FILE), &pipeline(&text)).unwrap();
    let changed: Vec<_> = plan.jobs.iter().map(|job| (job.change, fields(&job.fields), job.stops_source)).collect();
    let follow = vec![("config.poll.list", json!([1, 2]), json!([1, 3])), ("config.poll.ms", json!(100), json!(50))];
    let beat = vec![("run_timeout_seconds", json!(null), json!(5.0))];
    assert_eq!(changed, [(ChangeKind::Changed, follow, true), (ChangeKind::Changed, beat, false)]);
    let hourly: Vec<_> = plan.triggers[0].fields.iter().map(|field| field.field.as_str()).collect();
    let all = [
        "cron.catch_up_seconds",
        "cron.overlap",
        "cron.schedule",
        "cron.timezone",
        "webhook.max_body_bytes",
        "webhook.parameters",
        "webhook.secret",
        "webhook.tolerance_seconds",
    ];
    assert_eq!(hourly, all);
    assert_eq!(plan.triggers[1].change, ChangeKind::Unchanged);
}

#[test]
fn what_left_the_file_is_deactivated_once_and_what_comes_back_is_a_change() {
    let mut stored = after(FILE);
    let plan = super::plan(&stored, &pipeline("{ version: 1, jobs: [] }")).unwrap();
    assert!(plan.changes().all(|change| change == ChangeKind::Deactivated));
    assert_eq!(plan.jobs.iter().map(|job| job.stops_source).collect::<Vec<_>>(), [true, false]);

    stored.jobs.iter_mut().for_each(|job| job.active = false);
    stored.triggers.iter_mut().for_each(|trigger| trigger.active = false);
    assert_eq!(super::plan(&stored, &pipeline("{ version: 1, jobs: [] }")).unwrap(), Plan::default());
    let plan = super::plan(&stored, &pipeline(FILE)).unwrap();
    assert!(plan.changes().all(|change| change == ChangeKind::Changed));
    assert_eq!(fields(&plan.jobs[1].fields), [("active", json!(false), json!(true))]);
}

proptest::proptest! {
    #[test]
    fn a_plan_is_empty_exactly_for_the_same_definitions(
        before in proptest::collection::btree_map("[a-d]", (0u32..3, 1u32..3), 0..4),
        file in proptest::collection::btree_map("[a-d]", (0u32..3, 1u32..3), 0..4),
    ) {
        let text = |jobs: &std::collections::BTreeMap<String, (u32, u32)>| {
            let jobs: Vec<String> = jobs.iter().map(|(name, (config, attempts))| {
                format!("{{ name: {name}, operator: noop, max_attempts: {attempts}, config: {{ x: {config} }} }}")
            }).collect();
            format!("{{ version: 1, jobs: [{}] }}", jobs.join(", "))
        };
        let plan = super::plan(&after(&text(&before)), &pipeline(&text(&file))).unwrap();
        proptest::prop_assert_eq!(plan.is_empty(), before == file);
        for job in &plan.jobs {
            let wanted = match (before.get(&job.name), file.get(&job.name)) {
                (None, Some(_)) => ChangeKind::Created,
                (Some(_), None) => ChangeKind::Deactivated,
                (old, new) if old == new => ChangeKind::Unchanged,
                _ => ChangeKind::Changed,
            };
            proptest::prop_assert_eq!(job.change, wanted);
        }
    }
}
