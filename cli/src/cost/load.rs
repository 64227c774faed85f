//! What a month brings: blocks, transactions, partitions, messages, queries, alerts. Pure.

use super::counts::Counts;

/// Hours of a month, as AWS reckons: a twelfth of 8,760.
pub(crate) const HOURS: f64 = 730.0;
/// Seconds of a month.
pub(crate) const SECONDS: f64 = HOURS * 3_600.0;
/// Days of a month.
pub(crate) const DAYS: f64 = HOURS / 24.0;
/// Bytes of a GB, as AWS bills most of it.
pub(crate) const GB: f64 = 1e9;

/// What is asked of the platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) transactions_per_second: u32,
    pub(crate) block_time_ms: u64,
    pub(crate) partition_blocks: u64,
    pub(crate) rules: u32,
    pub(crate) queries_per_day: u32,
    /// Hours for which rows stay hot after they have become cold.
    pub(crate) hot_hours: u32,
    /// Months of the chain that lie in cold storage.
    pub(crate) history_months: u32,
}

/// A month of a load.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Month {
    pub(crate) block_seconds: f64,
    pub(crate) blocks: f64,
    pub(crate) transactions: f64,
    pub(crate) transactions_per_block: f64,
    pub(crate) logs: f64,
    pub(crate) partitions: f64,
    pub(crate) partition_seconds: f64,
    pub(crate) checks: f64,
    pub(crate) queries: f64,
    /// Queries that run as tasks; the others are answered at once.
    pub(crate) batch_queries: f64,
    pub(crate) alerts: f64,
    /// Messages of the queue `events`: a firing for each partition, a commit for each dataset of it, a task for each
    /// batch query and each check.
    pub(crate) event_messages: f64,
}

impl Month {
    pub(crate) fn of(load: &Load, counts: &Counts) -> Self {
        let per_second = f64::from(load.transactions_per_second);
        let block_seconds = load.block_time_ms as f64 / 1_000.0;
        let partition_seconds = block_seconds * load.partition_blocks as f64;
        let partitions = SECONDS / partition_seconds;
        let transactions = SECONDS * per_second;
        let queries = f64::from(load.queries_per_day) * DAYS;
        let batch_queries = queries * counts.batch_part_of_queries;
        let checks = counts.checks_per_day * DAYS;
        Self {
            block_seconds,
            blocks: SECONDS / block_seconds,
            transactions,
            transactions_per_block: per_second * block_seconds,
            logs: transactions * counts.logs_per_transaction,
            partitions,
            partition_seconds,
            checks,
            queries,
            batch_queries,
            alerts: f64::from(load.rules) * counts.alerts_per_rule_per_day * DAYS,
            event_messages: partitions * (1.0 + counts.datasets) + batch_queries + checks,
        }
    }

    /// Blocks that one invocation deals with that takes `seconds`: one, or those that came meanwhile. A chain is one
    /// message group, so its messages are never read by two invocations at once.
    pub(crate) fn blocks_per_run(&self, seconds: f64, batch_size: i32) -> f64 {
        (seconds / self.block_seconds).clamp(1.0, f64::from(batch_size).max(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::counts;

    #[test]
    fn a_month_is_2_628_000_seconds() {
        let load = Load {
            transactions_per_second: 1_000,
            block_time_ms: 400,
            partition_blocks: 10_000,
            rules: 24,
            queries_per_day: 240,
            hot_hours: 24,
            history_months: 1,
        };
        let month = Month::of(&load, &counts::read().unwrap());
        assert_eq!(month.blocks, 6_570_000.0);
        assert_eq!((month.partition_seconds, month.partitions), (4_000.0, 657.0));
        assert_eq!(month.transactions, 2_628_000_000.0);
        assert_eq!(month.transactions_per_block, 400.0);
        assert_eq!((month.alerts, month.queries, month.batch_queries), (730.0, 7_300.0, 73.0));
    }

    #[test]
    fn blocks_that_come_while_one_is_dealt_with_are_dealt_with_together() {
        let load = |block_time_ms| Load {
            transactions_per_second: 1,
            block_time_ms,
            partition_blocks: 1,
            rules: 0,
            queries_per_day: 0,
            hot_hours: 1,
            history_months: 1,
        };
        let counts = counts::read().unwrap();
        let per_run = |block_time_ms| Month::of(&load(block_time_ms), &counts).blocks_per_run(0.05, 10);
        assert_eq!([12_000, 50, 25, 1].map(per_run), [1.0, 1.0, 2.0, 10.0]);
    }
}
