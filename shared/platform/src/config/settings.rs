//! The variables of the platform, by one rule from the keys of `terraform/stack.yaml`: a queue `events` is
//! `ISOTHERM_QUEUE_EVENTS_URL`, a bucket `cold` is `ISOTHERM_BUCKET_COLD`, a secret `database` is
//! `ISOTHERM_SECRET_DATABASE_ARN`.
//!
//! Each function here reads one group of variables that belong together.

use std::collections::BTreeMap;

use isotherm_types::event::Queue;

use super::{Environment, Reading};

/// URLs of the queues that carry events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventQueues {
    /// Read by `dispatcher`.
    pub events: String,
    /// Read by `trigger_threshold`.
    pub thresholds: String,
    /// Read by people.
    pub dead_letters: String,
    /// Read by `alert_evaluate`.
    pub alerts: String,
    /// Read by `alert_deliver`.
    pub deliveries: String,
}

impl EventQueues {
    /// URL of `queue`.
    pub fn url(&self, queue: Queue) -> &str {
        match queue {
            Queue::Events => &self.events,
            Queue::Thresholds => &self.thresholds,
            Queue::DeadLetters => &self.dead_letters,
            Queue::Alerts => &self.alerts,
            Queue::Deliveries => &self.deliveries,
        }
    }
}

/// URLs of the queues that wake workers, by operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskQueues(pub BTreeMap<String, String>);

impl TaskQueues {
    /// URL of the queue of `operator`; `None` for an operator that is not deployed.
    pub fn url(&self, operator: &str) -> Option<&str> {
        self.0.get(operator).map(String::as_str)
    }
}

/// Where Fargate capacity is launched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fargate {
    /// Name of the ECS cluster.
    pub cluster: String,
    /// The task definition's family is this and the operator's name with dashes.
    pub task_definition_prefix: String,
    /// Private subnets; empty on one machine.
    pub subnets: Vec<String>,
    /// Security groups; empty on one machine.
    pub security_groups: Vec<String>,
}

impl Fargate {
    /// Family of the task definition of `operator`, such as `isotherm-block-follower`.
    pub fn task_definition(&self, operator: &str) -> String {
        format!("{}{}", self.task_definition_prefix, operator.replace('_', "-"))
    }
}

impl Environment {
    /// `ISOTHERM_QUEUE_EVENTS_URL`, and likewise of the other queues that carry events ([`Queue::ALL`]).
    pub fn event_queues(&mut self) -> Reading<EventQueues> {
        let events = self.queue_url("events");
        let thresholds = self.queue_url("thresholds");
        let dead_letters = self.queue_url("dead_letters");
        let of_alerts = self.queue_url("alerts").and(self.queue_url("deliveries"));
        let queues = events.and(thresholds).and(dead_letters).and(of_alerts);
        queues.map(|(((events, thresholds), dead_letters), (alerts, deliveries))| EventQueues {
            events,
            thresholds,
            dead_letters,
            alerts,
            deliveries,
        })
    }

    /// Every `ISOTHERM_QUEUE_TASKS_<OPERATOR>_URL` that is set.
    pub fn task_queues(&mut self) -> Reading<TaskQueues> {
        self.family("ISOTHERM_QUEUE_TASKS_", "_URL").map(TaskQueues)
    }

    /// `ISOTHERM_QUEUE_<NAME>_URL` of one queue, by its key in the stack file.
    pub fn queue_url(&mut self, queue: &str) -> Reading<String> {
        self.text(&format!("ISOTHERM_QUEUE_{}_URL", queue.to_ascii_uppercase()))
    }

    /// `ISOTHERM_BUCKET_<NAME>` of one bucket, by its key in the stack file.
    pub fn bucket(&mut self, bucket: &str) -> Reading<String> {
        self.text(&format!("ISOTHERM_BUCKET_{}", bucket.to_ascii_uppercase()))
    }

    /// `ISOTHERM_FUNCTION_<NAME>`: the name of a function to invoke, by its key in the stack file.
    pub fn function(&mut self, function: &str) -> Reading<String> {
        self.text(&format!("ISOTHERM_FUNCTION_{}", function.to_ascii_uppercase()))
    }

    /// `ISOTHERM_SECRET_DATABASE_ARN`: the secret that holds `{"url": "postgres://…"}`.
    pub fn database_secret_arn(&mut self) -> Reading<String> {
        self.text("ISOTHERM_SECRET_DATABASE_ARN")
    }

    /// `ISOTHERM_CLUSTER`: all that is needed to stop an ECS task.
    pub fn cluster(&mut self) -> Reading<String> {
        self.text("ISOTHERM_CLUSTER")
    }

    /// `ISOTHERM_CLUSTER`, `ISOTHERM_TASK_DEFINITION_PREFIX`, `ISOTHERM_SUBNETS` and `ISOTHERM_SECURITY_GROUPS`.
    pub fn fargate(&mut self) -> Reading<Fargate> {
        let names = self.cluster().and(self.text("ISOTHERM_TASK_DEFINITION_PREFIX"));
        let network = self.list("ISOTHERM_SUBNETS").and(self.list("ISOTHERM_SECURITY_GROUPS"));
        names.and(network).map(|((cluster, task_definition_prefix), (subnets, security_groups))| Fargate {
            cluster,
            task_definition_prefix,
            subnets,
            security_groups,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_from_the_keys_of_the_stack_file() {
        let mut environment = Environment::from_pairs([
            ("ISOTHERM_QUEUE_EVENTS_URL", "http://q/events.fifo"),
            ("ISOTHERM_QUEUE_THRESHOLDS_URL", "http://q/thresholds.fifo"),
            ("ISOTHERM_QUEUE_DEAD_LETTERS_URL", "http://q/dead_letters.fifo"),
            ("ISOTHERM_QUEUE_ALERTS_URL", "http://q/alerts.fifo"),
            ("ISOTHERM_QUEUE_DELIVERIES_URL", "http://q/deliveries.fifo"),
            ("ISOTHERM_QUEUE_TASKS_BLOCK_FOLLOWER_URL", "http://q/tasks-block_follower.fifo"),
            ("ISOTHERM_BUCKET_COLD", "cold-1"),
            ("ISOTHERM_FUNCTION_QUERY", "isotherm-query"),
            ("ISOTHERM_CLUSTER", "isotherm"),
            ("ISOTHERM_TASK_DEFINITION_PREFIX", "isotherm-"),
            ("ISOTHERM_SUBNETS", ""),
        ]);
        let queues = environment.event_queues();
        let tasks = environment.task_queues();
        let bucket = environment.bucket("cold");
        let function = environment.function("query");
        let fargate = environment.fargate();
        let checked = environment.check().unwrap();
        let queues = queues.open(&checked);
        for queue in Queue::ALL {
            assert_eq!(queues.url(queue), format!("http://q/{}.fifo", queue.as_str()));
        }
        let tasks = tasks.open(&checked);
        assert_eq!(tasks.url("block_follower"), Some("http://q/tasks-block_follower.fifo"));
        assert_eq!(tasks.url("events"), None);
        assert_eq!(bucket.open(&checked), "cold-1");
        assert_eq!(function.open(&checked), "isotherm-query");
        assert_eq!(fargate.open(&checked).task_definition("block_follower"), "isotherm-block-follower");
    }

    #[test]
    fn every_variable_of_a_group_is_named_when_all_are_missing() {
        let mut environment = Environment::from_pairs([("X", "y")]);
        let _ = environment.event_queues();
        let _ = environment.fargate();
        let error = environment.check().unwrap_err();
        assert_eq!(error.faults.len(), 7, "{error}");
    }
}
