//! What has to be done so that the schedules of cron triggers are as they should be. Pure.

use std::collections::BTreeMap;

use super::CronSchedule;
use crate::names;
use crate::provision::Change;

/// A schedule of the cron triggers' group as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundSchedule {
    /// Its name.
    pub name: String,
    /// The trigger that its name stands for; `None` if it stands for none.
    pub trigger_id: Option<i64>,
    /// `rate(…)`, `cron(…)` or `at(…)`.
    pub expression: String,
    /// Time zone in which it is read.
    pub timezone: String,
    /// Whether it invokes what it should, as it should.
    pub target_is_right: bool,
}

/// What becomes of one schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronStep {
    /// Its name.
    pub name: String,
    /// The trigger that its name stands for; `None` if it stands for none.
    pub trigger_id: Option<i64>,
    /// What is to be done.
    pub change: Change,
    /// What there is.
    pub old: Option<FoundSchedule>,
    /// What is wanted.
    pub new: Option<CronSchedule>,
}

/// Compares what there is with what is wanted: a step for each schedule of either, in the order of `wanted`, then those that
/// go. `wanted` names the cron triggers of all organisations.
pub fn plan_cron(found: &[FoundSchedule], wanted: &[CronSchedule]) -> Vec<CronStep> {
    let mut left: BTreeMap<&str, &FoundSchedule> =
        found.iter().map(|schedule| (schedule.name.as_str(), schedule)).collect();
    let mut steps = Vec::new();
    for schedule in wanted {
        let name = names::trigger_schedule(schedule.trigger_id);
        let old = left.remove(name.as_str());
        let change = match old {
            None => Change::Created,
            Some(old) if is_same(old, schedule) => Change::Unchanged,
            Some(_) => Change::Updated,
        };
        let trigger_id = Some(schedule.trigger_id);
        steps.push(CronStep { name, trigger_id, change, old: old.cloned(), new: Some(schedule.clone()) });
    }
    for old in left.into_values() {
        let (name, trigger_id) = (old.name.clone(), old.trigger_id);
        steps.push(CronStep { name, trigger_id, change: Change::Removed, old: Some(old.clone()), new: None });
    }
    steps
}

fn is_same(found: &FoundSchedule, wanted: &CronSchedule) -> bool {
    found.expression == wanted.expression && found.timezone == wanted.timezone && found.target_is_right
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(trigger_id: i64, expression: &str, timezone: &str) -> CronSchedule {
        CronSchedule { trigger_id, expression: expression.to_owned(), timezone: timezone.to_owned() }
    }

    fn found(schedule: &CronSchedule) -> FoundSchedule {
        FoundSchedule {
            name: names::trigger_schedule(schedule.trigger_id),
            trigger_id: Some(schedule.trigger_id),
            expression: schedule.expression.clone(),
            timezone: schedule.timezone.clone(),
            target_is_right: true,
        }
    }

    fn changes(steps: &[CronStep]) -> Vec<(&str, Change)> {
        steps.iter().map(|step| (step.name.as_str(), step.change)).collect()
    }

    #[test]
    fn each_schedule_is_created_changed_left_or_removed() {
        let same = wanted(1, "rate(1 hour)", "UTC");
        let moved = wanted(2, "cron(0 8 * * ? *)", "Europe/Berlin");
        let other_zone = FoundSchedule { timezone: "UTC".to_owned(), ..found(&moved) };
        let redirected = wanted(3, "rate(1 minute)", "UTC");
        let wrong_target = FoundSchedule { target_is_right: false, ..found(&redirected) };
        let strange = FoundSchedule { name: "by-hand".to_owned(), trigger_id: None, ..found(&same) };
        let there = [found(&same), other_zone, wrong_target, found(&wanted(9, "rate(1 day)", "UTC")), strange];
        let steps = plan_cron(&there, &[same, moved, redirected, wanted(4, "rate(5 minutes)", "UTC")]);
        assert_eq!(
            changes(&steps),
            [
                ("trigger-1", Change::Unchanged),
                ("trigger-2", Change::Updated),
                ("trigger-3", Change::Updated),
                ("trigger-4", Change::Created),
                ("by-hand", Change::Removed),
                ("trigger-9", Change::Removed),
            ]
        );
    }

    #[test]
    fn what_was_carried_out_needs_nothing_more() {
        let all = [wanted(1, "rate(1 hour)", "UTC"), wanted(2, "rate(2 hours)", "Asia/Kolkata")];
        let there: Vec<FoundSchedule> = all.iter().map(found).collect();
        assert!(plan_cron(&there, &all).iter().all(|step| step.change == Change::Unchanged));
        assert_eq!(plan_cron(&[], &[]), []);
    }
}
