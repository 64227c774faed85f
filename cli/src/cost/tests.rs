//! The whole bill: figures worked out by hand, and what must hold whatever the load.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::bill::{Bill, Line, Sum};
use super::reckon;
use super::scene::Scene;

fn line<'a>(bill: &'a Bill, service: &str, item: &str) -> &'a Line {
    let mut found = bill.lines.iter().filter(|line| line.service == service && line.item == item);
    let line = found.next().unwrap_or_else(|| panic!("there is no line {service}, {item}"));
    assert!(found.next().is_none(), "{service}, {item} is there twice");
    line
}

fn assert_costs(bill: &Bill, service: &str, item: &str, fixed: f64, grows: f64) {
    let sum = line(bill, service, item).sum();
    let is_near = |found: f64, expected: f64| (found - expected).abs() < 0.005;
    assert!(
        is_near(sum.fixed, fixed) && is_near(sum.grows, grows),
        "{service}, {item}: {sum:?}, not {fixed} and {grows}"
    );
}

#[test]
fn what_is_always_there_is_paid_by_the_hour() {
    let (lean, full) = (Scene::by_the_second("dev", 0).bill(), Scene::by_the_second("prod", 0).bill());
    assert_costs(&lean, "VPC", "NAT gateway", 730.0 * 0.045, line(&lean, "VPC", "NAT gateway").sum().grows);
    assert_costs(&lean, "VPC", "public addresses", 3.65, 0.0);
    assert_costs(
        &full,
        "Network Firewall",
        "firewall",
        576.70,
        line(&full, "Network Firewall", "firewall").sum().grows,
    );
    // Nine services in two zones.
    let endpoints = line(&full, "VPC", "interface endpoints").sum();
    assert_costs(&full, "VPC", "interface endpoints", 131.40, endpoints.grows);
    assert_costs(&full, "VPC", "public addresses", 7.30, 0.0);
    assert_costs(&lean, "RDS", "instances", 11.68, 0.0);
    assert_costs(&full, "RDS", "instances", 245.28, 0.0);
    assert_costs(&full, "RDS", "disks", 46.00, 0.0);
    // A quarter of a core and half a GB, 30 GB of disk less 20 that are free: 7.3876, 1.622425 and 0.8103 USD.
    assert_costs(&lean, "Fargate", "block_follower", 9.82, 0.0);
    // Six schedules a minute, and a check a day.
    assert_costs(&lean, "EventBridge Scheduler", "ticks", 0.26, 0.0);
}

#[test]
fn what_grows_follows_blocks_and_transactions() {
    let bill = Scene::by_the_second("dev", 1_000).bill();
    // 2,628,000 messages, each sent, received and deleted; five receives wait 20 s each.
    assert_costs(&bill, "SQS", "thresholds", 0.3285, 3.942);
    // A run a block of 0.05 s and 0.25 GB, and a sweep a minute: 2,628,000 and 43,800 runs.
    assert_costs(&bill, "Lambda", "trigger_threshold", 0.00876 + 0.009125, 0.5256 + 0.5475);
    // 262.8 partitions, each 75 s around 10 million transactions of 19 µs: 19.345 h of a core, 2 GB and 10 GB of disk.
    assert_costs(&bill, "Fargate", "parquet_compact", 0.0, 19.345 * (0.04048 + 2.0 * 0.004_445 + 10.0 * 0.000_111));
    // 0.15 cores are needed at seven tenths: the quarter that the stack file gives is enough.
    assert_costs(&bill, "Fargate", "block_follower", 9.82, 0.0);
    // 29.56 h of 1,237,000 bytes a second, with a fifth of the disk free: 164.52 GB, of which 20 are bought.
    assert_costs(&bill, "RDS", "disks", 2.30, 144.521 * 0.115);
    // 2,628 million transactions of 234 bytes with 1.125 logs of 144.5, and 348.3 bytes a block.
    let gb = 2_628.0 * (0.234 + 1.125 * 0.1445) + 2.628 * 0.3483;
    let calls = 788.4 * (2.0 * 0.005 + 4.0 * 0.0004) / 1e3 + 30_416.67 * 60.0 * 0.0004 / 1e3;
    assert_costs(&bill, "S3", "cold", 0.0, gb * 0.023 + calls);
}

#[test]
fn what_comes_from_the_endpoint_is_paid_for_as_it_comes_over_the_wire() {
    let bill = Scene::by_the_second("prod", 1_000).bill();
    // 2,628 million transactions of 2,740 bytes in gzip, and three headers of 1,600 bytes and a thousand hashes each, asked
    // for four times a second, in gzip.
    let blocks = 2_628.0 * 2.74 / 3.73;
    let headers = 4.0 * 2.628 * 3.0 * (1_600.0 + 69_000.0) / 1e3 / 1.8;
    assert_costs(&bill, "Network Firewall", "firewall", 576.70, (blocks + headers) * 0.065);
}

#[test]
fn a_follower_without_room_is_reckoned_larger_and_said_to_be() {
    let bill = Scene::by_the_second("prod", 10_000).bill();
    // 1.05 cores at seven tenths are 1.5: two cores and 4 GB instead of a quarter and half a GB.
    let sum = line(&bill, "Fargate", "block_follower").sum();
    assert!((sum.grows - 730.0 * (1.75 * 0.04048 + 3.5 * 0.004_445)).abs() < 0.005, "{sum:?}");
    assert!(bill.findings.iter().any(|finding| finding.contains("cpu 2048 and memory_mb 4096")), "{:?}", bill.findings);
    let small = Scene::by_the_second("prod", 20).bill();
    assert!(!small.findings.iter().any(|finding| finding.contains("block_follower")), "{:?}", small.findings);
}

#[test]
fn what_an_environment_cannot_bear_is_said() {
    let findings = Scene::of("dev", 10_000).bill().findings.join("\n");
    for word in ["storage_limit_gb", "instance_class", "monthly_budget_usd"] {
        assert!(findings.contains(word), "{word}: {findings}");
    }
}

#[test]
fn each_function_queue_operator_errand_and_bucket_is_in_exactly_one_line() {
    let scene = Scene::of("dev", 20);
    let bill = scene.bill();
    let stack = &scene.stack;
    let mut expected: Vec<String> = stack.functions.keys().map(|key| format!("function/{key}")).collect();
    expected.extend(stack.queues.keys().map(|key| format!("queue/{key}")));
    expected.extend(stack.operators.keys().map(|key| format!("operator/{key}")));
    expected.extend(stack.errands.keys().map(|key| format!("errand/{key}")));
    expected.extend(stack.buckets.keys().map(|key| format!("bucket/{key}")));
    expected.sort();
    let mut counted: Vec<String> = bill.lines.iter().filter_map(|line| line.member.clone()).collect();
    counted.sort();
    assert_eq!(counted, expected);
}

#[test]
fn an_entry_of_the_stack_file_that_the_model_does_not_know_is_refused() {
    let refused = |change: fn(&mut Scene)| {
        let mut scene = Scene::of("dev", 20);
        change(&mut scene);
        scene.with(reckon).unwrap_err().to_string()
    };
    let function = refused(|scene| {
        let like = scene.stack.functions["reaper"].clone();
        scene.stack.functions.insert("new".to_owned(), like);
    });
    let queue = refused(|scene| {
        let like = scene.stack.queues["events"].clone();
        scene.stack.queues.insert("new".to_owned(), like);
    });
    let operator = refused(|scene| {
        let like = scene.stack.operators["noop"].clone();
        scene.stack.operators.insert("new".to_owned(), like);
    });
    let errand = refused(|scene| {
        let like = scene.stack.errands["migrate"].clone();
        scene.stack.errands.insert("new".to_owned(), like);
    });
    let bucket = refused(|scene| {
        let like = scene.stack.buckets["cold"].clone();
        scene.stack.buckets.insert("new".to_owned(), like);
    });
    let class = refused(|scene| scene.figures.database.instance_class = "db.new".to_owned());
    for (said, what) in [
        (function, "function \"new\""),
        (queue, "queue \"new\""),
        (operator, "operator \"new\""),
        (errand, "errand \"new\""),
        (bucket, "bucket \"new\""),
        (class, "no price of \"db.new\""),
    ] {
        assert!(said.contains(what), "{said}");
    }
}

#[test]
fn more_deploys_cost_more() {
    let mut scene = Scene::of("dev", 20);
    scene.counts.deploys_per_month = 0.0;
    let none = scene.bill();
    assert_eq!(line(&none, "Fargate", "migrate").sum(), Sum::default());
    // Two tasks a deploy, each 105 s of a quarter of a core, half a GB and 10 GB of disk. Eight deploys are too few to be seen in cents.
    scene.counts.deploys_per_month = 8_000.0;
    let many = scene.bill();
    let hours = 466.67;
    assert_costs(&many, "Fargate", "migrate", hours * (0.25 * 0.04048 + 0.5 * 0.004_445 + 10.0 * 0.000_111), 0.0);
    let logs = |bill: &Bill| line(bill, "CloudWatch", "logs").sum().fixed;
    assert!(logs(&many) > logs(&none), "their logs are counted too");
}

#[test]
fn more_memory_in_the_stack_file_costs_more() {
    let mut scene = Scene::of("dev", 200);
    let before = line(&scene.bill(), "Lambda", "query").sum().grows;
    scene.stack.functions.get_mut("query").unwrap().memory_mb *= 2;
    let after = line(&scene.bill(), "Lambda", "query").sum().grows;
    assert!(after > before * 1.9, "{before} {after}");
}

/// Read once for all cases.
static ENVIRONMENTS: LazyLock<[Scene; 2]> = LazyLock::new(|| ["dev", "prod"].map(|name| Scene::of(name, 0)));

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn more_transactions_never_cost_less(
        tps in 0_u32..100_000,
        more in 1_u32..100_000,
        block_time_ms in 10_u64..15_000,
        partition_blocks in 1_u64..100_000,
        rules in 0_u32..10_000,
    ) {
        for environment in ENVIRONMENTS.iter() {
            let of = |transactions_per_second| {
                let mut scene = environment.clone();
                scene.load.transactions_per_second = transactions_per_second;
                scene.load.block_time_ms = block_time_ms;
                scene.load.partition_blocks = partition_blocks;
                scene.load.rules = rules;
                scene.bill().sum()
            };
            let (Sum { fixed, grows }, greater) = (of(tps), of(tps + more));
            prop_assert!(greater.grows > grows, "{} {}", grows, greater.grows);
            prop_assert!((greater.fixed - fixed).abs() < 1e-9, "{} {}", fixed, greater.fixed);
        }
    }
}
