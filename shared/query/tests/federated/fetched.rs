//! Of hot rows those alone are fetched whose bytes are asked for.

use super::*;

#[tokio::test]
async fn hot_rows_with_other_bytes_stay_where_they_are() {
    let platform = half_cold().await;
    let transaction = |block: u64, index: u64| hash(block * 100 + index);
    let (one, two, cold) = (transaction(34, 0), transaction(20, 2), transaction(3, 1));
    let all_hot = 15 * TRANSACTIONS;
    let by = |condition: String| format!("select block_number from transactions where {condition} order by 1");
    let table: [(String, u64, &[u64]); 7] = [
        (by(format!("transaction_hash = {one}")), 1, &[34]),
        (by(format!("transaction_hash in ({one}, {two}, {cold})")), 2, &[3, 20, 34]),
        (by(format!("transaction_hash = {cold}")), 0, &[3]),
        (by(format!("transaction_hash = {one} and block_number < 30")), 0, &[]),
        // Each scan asks for its own.
        (
            format!(
                "select a.block_number + b.block_number from transactions a, transactions b \
                 where a.transaction_hash = {one} and b.transaction_hash = {two}"
            ),
            2,
            &[54],
        ),
        // Whatever else a scan lets through has to be there.
        (
            format!("select count(*) from transactions a, transactions b where b.transaction_hash = {one}"),
            all_hot,
            &[35 * TRANSACTIONS],
        ),
        (by(format!("transaction_hash = {one} or block_number = 33")), all_hot, &[33, 33, 33, 34]),
    ];
    for (sql, expected_hot_rows, expected) in table {
        let answer = run(&platform, &sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let expected: Vec<Vec<Value>> = expected.iter().map(|&number| vec![json!(number)]).collect();
        assert_eq!(rows_of(&answer), expected, "{sql}");
        assert_eq!(answer.summary.hot_rows_fetched, expected_hot_rows, "{sql}");
    }
}
