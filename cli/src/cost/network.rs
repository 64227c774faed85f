//! The network: ways out, endpoints of AWS services, names, and what crosses from zone to zone. Pure.

use std::collections::BTreeSet;

use isotherm_local_stack::stack_file::Notifier;

use super::Inputs;
use super::bill::{Line, Term};
use super::environment::Mode;
use super::load::{GB, HOURS, SECONDS};

/// Shortest and longest pause between two questions for the newest block, in seconds, and its part of the time of a
/// block.
/// Source: `ChainProfile::poll_interval`.
const POLL: (f64, f64, f64) = (0.1, 1.0, 0.25);

/// Lines of the network. `aws_bytes` go to AWS services other than S3, which costs nothing.
pub(super) fn lines(inputs: &Inputs<'_>, aws_bytes: f64) -> Vec<Line> {
    let (counts, prices) = (inputs.counts, inputs.prices);
    let zones = f64::from(inputs.figures.network.zones);
    let rpc = rpc_gb(inputs);
    let mut lines = match inputs.figures.network.mode {
        Mode::Lean => vec![
            Line::of(
                "VPC",
                "NAT gateway",
                vec![
                    Term::of(&prices.nat_gateway_hours, HOURS, 0.0),
                    Term::of(&prices.nat_gateway_gb, 0.0, rpc + aws_bytes / GB),
                ],
                "one; blocks, receipts and headers from the endpoint in gzip, calls of AWS services",
            ),
            Line::of("VPC", "public addresses", vec![Term::of(&prices.public_address_hours, HOURS, 0.0)], "one"),
        ],
        Mode::Full => vec![
            Line::of(
                "Network Firewall",
                "firewall",
                vec![Term::of(&prices.firewall_hours, zones * HOURS, 0.0), Term::of(&prices.firewall_gb, 0.0, rpc)],
                "one a zone; blocks, receipts and headers from the endpoint in gzip",
            ),
            Line::of(
                "VPC",
                "interface endpoints",
                vec![
                    Term::of(&prices.endpoint_hours, zones * services(inputs) * HOURS, 0.0),
                    Term::of(&prices.endpoint_gb, 0.0, aws_bytes / GB),
                ],
                "services that something inside calls × zones; calls of them",
            ),
            Line::of(
                "VPC",
                "public addresses",
                vec![Term::of(&prices.public_address_hours, zones * HOURS, 0.0)],
                "one a zone",
            ),
        ],
    };
    // Written once, and read once by compaction.
    let hot = 2.0 * inputs.month.transactions * counts.hot_bytes_per_transaction / GB;
    lines.push(Line::of(
        "Data transfer",
        "between zones",
        vec![Term::of(&prices.zone_crossing_gb, 0.0, hot * counts.zone_crossing_part)],
        "hot rows written and read again × zone_crossing_part",
    ));
    let names = counts.names_per_second * SECONDS;
    lines.push(Line::of(
        "Route 53 Resolver",
        "DNS Firewall",
        vec![Term::of(&prices.dns_firewall_queries, names, 0.0)],
        "names_per_second",
    ));
    lines
}

/// GB that come from the chain's endpoint, which compresses its answers: it is asked to.
fn rpc_gb(inputs: &Inputs<'_>) -> f64 {
    let (month, counts) = (inputs.month, inputs.counts);
    let (shortest, longest, part) = POLL;
    let polls = SECONDS / (month.block_seconds * part).clamp(shortest, longest);
    let hashes = month.transactions_per_block * counts.rpc_bytes_per_hash;
    let headers = polls * counts.rpc_headers_per_poll * (counts.rpc_bytes_per_header + hashes);
    let blocks = month.transactions * counts.rpc_bytes_per_transaction;
    (blocks / counts.rpc_gzip_of_blocks + headers / counts.rpc_gzip_of_headers) / GB
}

/// Services with an interface endpoint in full mode. Source: `services` in terraform/modules/platform/stack.tf.
fn services(inputs: &Inputs<'_>) -> f64 {
    let mut services = BTreeSet::from(["logs", "secretsmanager", "sqs", "ecr.api", "ecr.dkr"]);
    for function in inputs.stack.functions.values() {
        if !(function.run_operators.is_empty() && function.stop_operators.is_empty()) {
            services.insert("ecs");
        }
        if !function.invoke.is_empty() {
            services.insert("lambda");
        }
        services.extend(function.notify.iter().map(|notifier| match notifier {
            Notifier::Email => "email",
            Notifier::Sms => "sns",
        }));
    }
    services.len() as f64
}
