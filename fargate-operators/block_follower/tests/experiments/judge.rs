//! What is wrong in the store, by the chain's own word and by the store's own rules.

use isotherm_lab::oracle::Oracle;

use crate::stage::Stage;

/// Blocks that are missing or stored twice, that do not follow the one before, that are not where the cursor says, and rows
/// of transactions and logs whose block is not stored; from block `$1` on.
const BROKEN_RULES: &str = "
    WITH b AS MATERIALIZED (SELECT block_number, block_hash, parent_hash FROM hot.blocks WHERE block_number >= $1)
    SELECT (SELECT coalesce(abs(max(block_number) - min(block_number) + 1 - count(*)), 0) FROM b)
         + (SELECT count(*) FROM b JOIN b AS p ON p.block_number = b.block_number - 1 WHERE p.block_hash <> b.parent_hash)
         + (SELECT count(*) FROM hot.cursors c
             WHERE (c.tip_number >= $1
                    AND NOT EXISTS (SELECT 1 FROM b WHERE b.block_number = c.tip_number AND b.block_hash = c.tip_hash))
                OR EXISTS (SELECT 1 FROM b WHERE b.block_number > coalesce(c.tip_number, -1)))
         + (SELECT count(*) FROM hot.transactions t
             WHERE block_number >= $1
               AND NOT EXISTS (SELECT 1 FROM b WHERE b.block_number = t.block_number AND b.block_hash = t.block_hash))
         + (SELECT count(*) FROM hot.logs l
             WHERE block_number >= $1
               AND NOT EXISTS (SELECT 1 FROM b WHERE b.block_number = l.block_number AND b.block_hash = l.block_hash))";
/// One line for each block, each transaction, and each block's number of logs, from block `$1` on.
const STORED: &str = "
    SELECT concat_ws(' ', 'block', block_number, '0x' || encode(block_hash, 'hex')) FROM hot.blocks WHERE block_number >= $1
     UNION ALL
    SELECT concat_ws(' ', 'transaction', block_number, '0x' || encode(transaction_hash, 'hex'))
      FROM hot.transactions WHERE block_number >= $1
     UNION ALL
    SELECT concat_ws(' ', 'logs', block_number, count(*)) FROM hot.logs WHERE block_number >= $1 GROUP BY block_number";

/// How often the store breaks its own rules, from block `start` on.
pub(crate) async fn broken_rules(stage: &Stage, start: i64) -> i64 {
    sqlx::query_scalar(BROKEN_RULES).bind(start.max(0)).fetch_one(&stage.pool).await.unwrap()
}

/// Rows that are stored and should not be, and rows that should be and are not, from block `start` on.
pub(crate) async fn differences(stage: &Stage, start: i64) -> i64 {
    let start = start.max(0);
    let oracle = Oracle::walk(stage.chain.rpc(), "latest", start.cast_unsigned()).await.unwrap();
    let mut expected = Vec::new();
    for block in oracle.blocks().values() {
        expected.push(format!("block {} {}", block.number, block.hash));
        expected.extend(block.transaction_hashes.iter().map(|hash| format!("transaction {} {hash}", block.number)));
        if block.log_count > 0 {
            expected.push(format!("logs {} {}", block.number, block.log_count));
        }
    }
    let stored: Vec<String> = sqlx::query_scalar(STORED).bind(start).fetch_all(&stage.pool).await.unwrap();
    i64::try_from(lines_in_one_only(expected, stored)).unwrap()
}

/// Lines that one of the lists has more often than the other.
fn lines_in_one_only(mut left: Vec<String>, mut right: Vec<String>) -> usize {
    left.sort_unstable();
    right.sort_unstable();
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    let mut count = 0;
    loop {
        match (left.peek(), right.peek()) {
            (None, None) => return count,
            (Some(ours), Some(theirs)) if ours == theirs => {
                left.next();
                right.next();
            }
            (Some(ours), theirs) if theirs.is_none_or(|theirs| ours < theirs) => {
                left.next();
                count += 1;
            }
            _ => {
                right.next();
                count += 1;
            }
        }
    }
}

#[test]
fn a_line_too_many_on_either_side_is_counted() {
    let lines = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lines_in_one_only(lines("c a b"), lines("a b c")), 0);
    assert_eq!(lines_in_one_only(lines("a b b"), lines("a b")), 1);
    assert_eq!(lines_in_one_only(lines("a d"), lines("b c d d")), 4);
}
