//! How many new alerts a rule, and an organisation, may have on one day. Table `alerts.daily_counts`.
//!
//! The ledger is never deleted, and neither are messages: what bounds them is what goes in. Whose bound is reached is decided by pure code;
//! the rule that goes beyond is taken out of work, with nothing of the run that did it written down. A day is one of UTC.

use std::collections::BTreeMap;

use isotherm_types::{Classified, Disposition, OrgId, RuleId};
use sqlx::PgConnection;

use crate::index::RuleFault;
use crate::ledger::LedgerError;

/// New alerts of a rule on one day.
pub const MOST_OF_RULE: i64 = 20_000;
/// New alerts of an organisation's rules on one day.
pub const MOST_OF_ORG: i64 = 200_000;

/// Why a rule has no more alerts today.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum TooManyAlerts {
    #[error("the rule would have more than {most} new alerts today; let it find less, then resume it")]
    Rule { most: i64 },
    #[error(
        "the organisation's rules would have more than {most} new alerts today, and this one adds the most; let it find less, then resume it"
    )]
    Org { most: i64 },
}

impl Classified for TooManyAlerts {
    fn disposition(&self) -> Disposition {
        Disposition::GiveUp
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Rule { .. } | Self::Org { .. } => "alerts.too_many_alerts",
        }
    }
}

/// Alerts of a day, and the most that there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Day {
    count: i64,
    most: i64,
}

/// What was counted today.
#[derive(Debug)]
struct Counted {
    rules: BTreeMap<RuleId, Day>,
    org: Day,
}

/// What rules may have of the alerts that they are about to have.
#[derive(Debug, Default)]
pub struct Shares {
    /// Rules that may not have theirs.
    pub beyond: Vec<RuleFault>,
    /// New alerts of the others, to be counted by [`add`].
    pub kept: BTreeMap<RuleId, i64>,
}

/// Which rules of `org_id` may have the alerts that they are about to have. The caller holds the cursor, so nobody else counts for the
/// same rules.
///
/// # Errors
/// What Postgres reports.
pub async fn share(conn: &mut PgConnection, org_id: OrgId, new: &BTreeMap<RuleId, i64>) -> Result<Shares, LedgerError> {
    if new.is_empty() {
        return Ok(Shares::default());
    }
    let counted = read(conn, org_id, new).await?;
    let refused = refused(new, &counted);
    let kept = new
        .iter()
        .filter(|(rule_id, _)| !refused.contains_key(rule_id))
        .map(|(rule_id, added)| (*rule_id, *added))
        .collect();
    let fault = |(rule_id, trouble): (RuleId, TooManyAlerts)| RuleFault {
        rule_id,
        code: trouble.code(),
        message: trouble.to_string(),
    };
    Ok(Shares { beyond: refused.into_iter().map(fault).collect(), kept })
}

/// Counts new alerts. The last of the caller's transaction: the organisation's row is locked until that is over, and evaluators of its
/// other chains wait for it.
///
/// # Errors
/// [`LedgerError::CountedMeanwhile`] if evaluators of its other chains have counted since [`share`] was asked, and these would be too many
/// now: the caller rolls back, and the next turn asks anew. What Postgres reports.
pub async fn add(conn: &mut PgConnection, org_id: OrgId, kept: &BTreeMap<RuleId, i64>) -> Result<(), LedgerError> {
    if kept.is_empty() {
        return Ok(());
    }
    let counted = sqlx::query(include_str!("../queries/daily_counts/add.sql"))
        .bind(org_id.0)
        .bind(kept.keys().map(|rule_id| rule_id.0).collect::<Vec<_>>())
        .bind(kept.values().copied().collect::<Vec<_>>())
        .bind(MOST_OF_ORG)
        .execute(conn)
        .await?;
    // A row of each rule, and the organisation's.
    if counted.rows_affected() == kept.len() as u64 + 1 {
        Ok(())
    } else {
        Err(LedgerError::CountedMeanwhile { org_id })
    }
}

async fn read(conn: &mut PgConnection, org_id: OrgId, new: &BTreeMap<RuleId, i64>) -> Result<Counted, LedgerError> {
    let rows: Vec<(String, i64, i64, Option<i64>)> = sqlx::query_as(include_str!("../queries/daily_counts/read.sql"))
        .bind(org_id.0)
        .bind(new.keys().map(|rule_id| rule_id.0).collect::<Vec<_>>())
        .fetch_all(conn)
        .await?;
    let mut counted = Counted { rules: BTreeMap::new(), org: Day { count: 0, most: MOST_OF_ORG } };
    for (scope, id, count, most) in rows {
        if scope == "org" {
            counted.org = Day { count, most: most.unwrap_or(MOST_OF_ORG) };
        } else {
            counted.rules.insert(RuleId(id), Day { count, most: most.unwrap_or(MOST_OF_RULE) });
        }
    }
    Ok(counted)
}

/// Which rules may not have their alerts: each that goes beyond its own bound; and while all together go beyond the organisation's, the
/// one that adds most, of several the youngest.
fn refused(new: &BTreeMap<RuleId, i64>, counted: &Counted) -> BTreeMap<RuleId, TooManyAlerts> {
    let mut refused = BTreeMap::new();
    let mut kept = Vec::with_capacity(new.len());
    for (rule_id, added) in new {
        let day = counted.rules.get(rule_id).copied().unwrap_or(Day { count: 0, most: MOST_OF_RULE });
        if day.count + added > day.most {
            refused.insert(*rule_id, TooManyAlerts::Rule { most: day.most });
        } else {
            kept.push((*added, *rule_id));
        }
    }
    kept.sort_unstable();
    let mut total = counted.org.count + kept.iter().map(|(added, _)| added).sum::<i64>();
    while total > counted.org.most
        && let Some((added, rule_id)) = kept.pop()
    {
        total -= added;
        refused.insert(rule_id, TooManyAlerts::Org { most: counted.org.most });
    }
    refused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_has_as_many_as_it_may_and_an_organisation_loses_the_rule_that_adds_most() {
        let day = |count, most| Day { count, most };
        let refused = |rules: &[(i64, i64, Day)], org| {
            let new = rules.iter().map(|(rule_id, added, _)| (RuleId(*rule_id), *added)).collect();
            let of_rules = rules.iter().map(|(rule_id, _, day)| (RuleId(*rule_id), *day)).collect();
            let refused = refused(&new, &Counted { rules: of_rules, org });
            refused.into_iter().map(|(rule_id, trouble)| (rule_id.0, trouble)).collect::<Vec<_>>()
        };
        let plenty = day(0, 1_000);
        assert_eq!(refused(&[(1, 5, day(5, 10)), (2, 5, day(0, 10))], plenty), []);
        assert_eq!(refused(&[(1, 6, day(5, 10)), (2, 5, day(0, 10))], plenty), [(1, TooManyAlerts::Rule { most: 10 })]);
        let three = [(1, 5, day(0, 10)), (2, 7, day(0, 10)), (3, 7, day(0, 10))];
        assert_eq!(refused(&three, day(81, 100)), []);
        assert_eq!(refused(&three, day(82, 100)), [(3, TooManyAlerts::Org { most: 100 })]);
        let two = [(2, TooManyAlerts::Org { most: 100 }), (3, TooManyAlerts::Org { most: 100 })];
        assert_eq!(refused(&three, day(95, 100)), two);
        // What its own bound keeps out does not count for the organisation's.
        let own = [(1, 5, day(0, 10)), (2, 11, day(0, 10))];
        assert_eq!(refused(&own, day(95, 100)), [(2, TooManyAlerts::Rule { most: 10 })]);
    }
}
