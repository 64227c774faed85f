//! What follower and people tell each other through hot storage, on a real Postgres: gaps, disputed reorgs, status.

use alloy::primitives::B256;
use chrono::{DateTime, Utc};
use isotherm_hot_store::cursor::Halt;
use isotherm_hot_store::disputed_reorg::{self, DisputedReorg, Parting};
use isotherm_hot_store::follower_status::{self, EndpointStatus, Said, SeenHead};
use isotherm_hot_store::gaps::{self, GapKind, Page};
use isotherm_hot_store::{HotStoreError, cursor, known_hash, rows, stored_hash, take_back};
use isotherm_lab::postgres::TestDatabase;
use isotherm_types::{BlockNumber, BlockRange, BlockRef, ChainId, Dataset};
use sqlx::{Connection as _, PgConnection};

const CHAIN: ChainId = ChainId(31_337);

/// Leaves for all blocks, and `$N` blocks of two transactions with one log each. Hashes follow from numbers.
const BLOCKS: &str = "
    CREATE TABLE hot.blocks_31337_all PARTITION OF hot.blocks_31337 FOR VALUES FROM (0) TO (1000000);
    CREATE TABLE hot.transactions_31337_all PARTITION OF hot.transactions_31337 FOR VALUES FROM (0) TO (1000000);
    CREATE TABLE hot.logs_31337_all PARTITION OF hot.logs_31337 FOR VALUES FROM (0) TO (1000000);
    CREATE TABLE hot.traces_31337_all PARTITION OF hot.traces_31337 FOR VALUES FROM (0) TO (1000000);
    INSERT INTO hot.blocks (block_hash, author, block_number, gas_used, extra_data, timestamp, chain_id, parent_hash,
        uncles_hash, state_root, transactions_root, receipts_root, logs_bloom, difficulty, gas_limit, mix_hash, nonce,
        transaction_count)
    SELECT sha256(int8send(n)), '', n, 0, '', 0, 31337, sha256(int8send(n - 1)), '', '', '', '', '', '', 0, '', '', 2
      FROM generate_series(0, $N - 1) AS n;
    INSERT INTO hot.transactions (block_number, transaction_index, transaction_hash, nonce, from_address, value_binary,
        value_string, value_f64, input, gas_limit, gas_used, transaction_type, success, n_input_bytes,
        n_input_zero_bytes, n_input_nonzero_bytes, chain_id, block_hash, timestamp, signature_y_parity, signature_r,
        signature_s, cumulative_gas_used, log_count)
    SELECT n, i, '', 0, '', '', '0', 0, '', 0, 0, 2, true, 0, 0, 0, 31337, sha256(int8send(n)), 0, true, '', '', 0, 1
      FROM generate_series(0, $N - 1) AS n, generate_series(0, 1) AS i;
    INSERT INTO hot.logs (block_number, transaction_index, log_index, transaction_hash, address, data, chain_id,
        block_hash, timestamp)
    SELECT n, i, i, '', '', '', 31337, sha256(int8send(n)), 0
      FROM generate_series(0, $N - 1) AS n, generate_series(0, 1) AS i;
    UPDATE hot.cursors SET first_block = 0, tip_number = $N - 1, tip_hash = sha256(int8send($N - 1))";

async fn chain_of(blocks: u64) -> (TestDatabase, PgConnection) {
    let database = TestDatabase::migrated().await.unwrap();
    let mut conn = PgConnection::connect(&database.url).await.unwrap();
    cursor::ensure(&mut conn, CHAIN, "demo", 1_000_000).await.unwrap();
    let sql = BLOCKS.replace("$N", &blocks.to_string());
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut conn).await.unwrap();
    (database, conn)
}

fn range(start: u64, end: u64) -> BlockRange {
    BlockRange::new(BlockNumber(start), BlockNumber(end)).unwrap()
}

async fn block(conn: &mut PgConnection, number: u64) -> BlockRef {
    let number = BlockNumber(number);
    BlockRef { number, hash: stored_hash(conn, CHAIN, number).await.unwrap().unwrap() }
}

/// Looks at everything, page by page.
async fn pages(conn: &mut PgConnection) -> Vec<Page> {
    let mut left = gaps::hot_blocks(conn, CHAIN, None).await.unwrap();
    let mut pages = Vec::new();
    while let Some(within) = left {
        let page = gaps::look(conn, CHAIN, within, None).await.unwrap();
        left = page.below;
        pages.push(page);
    }
    pages
}

/// Number and kind of each gap, the highest first.
async fn found(conn: &mut PgConnection) -> Vec<(u64, GapKind)> {
    pages(conn).await.into_iter().flat_map(|page| page.gaps).map(|gap| (gap.number.0, gap.kind)).collect()
}

#[tokio::test]
async fn each_damage_is_found_where_it_is_and_a_whole_chain_has_none() {
    use GapKind::{Logs, Missing, OtherHash, Transactions};
    let (_database, mut conn) = chain_of(30).await;
    assert_eq!(found(&mut conn).await, []);
    let cases: [(&str, &[(u64, GapKind)]); 12] = [
        ("DELETE FROM hot.blocks WHERE block_number = 7", &[(7, Missing)]),
        ("DELETE FROM hot.blocks WHERE block_number IN (0, 29)", &[(29, Missing), (0, Missing)]),
        ("DELETE FROM hot.blocks WHERE block_number BETWEEN 4 AND 5", &[(5, Missing), (4, Missing)]),
        ("UPDATE hot.blocks SET block_hash = sha256('x') WHERE block_number = 9", &[(9, OtherHash)]),
        ("UPDATE hot.blocks SET parent_hash = sha256('x') WHERE block_number = 9", &[(8, OtherHash)]),
        ("UPDATE hot.cursors SET tip_hash = sha256('x')", &[(29, OtherHash)]),
        ("DELETE FROM hot.transactions WHERE block_number = 3 AND transaction_index = 1", &[(3, Transactions)]),
        ("DELETE FROM hot.transactions WHERE block_number = 3", &[(3, Transactions)]),
        ("UPDATE hot.transactions SET block_hash = sha256('x') WHERE block_number = 3", &[(3, Transactions)]),
        ("DELETE FROM hot.logs WHERE block_number = 3 AND log_index = 0", &[(3, Logs)]),
        ("DELETE FROM hot.logs WHERE block_number >= 28", &[(29, Logs), (28, Logs)]),
        ("UPDATE hot.logs SET block_hash = sha256('x') WHERE block_number = 3", &[(3, Logs)]),
    ];
    for (sql, expected) in cases {
        let mut db_tx = conn.begin().await.unwrap();
        sqlx::raw_sql(sql).execute(&mut *db_tx).await.unwrap();
        assert_eq!(found(&mut db_tx).await, expected, "{sql}");
        db_tx.rollback().await.unwrap();
    }
}

/// Of each transaction of the chain a top frame and one below it, and a reward in each block, from block 10 on.
const TRACES: &str = "
    INSERT INTO hot.traces (action_value, action_type, trace_address, subtraces, transaction_index, block_number,
        block_hash, chain_id, trace_index, timestamp)
    SELECT '0', 'call', CASE i % 2 WHEN 0 THEN '' ELSE '0' END, 1 - i % 2, i / 2, n, sha256(int8send(n)), 31337, i, 0
      FROM generate_series(10, 29) AS n, generate_series(0, 3) AS i
     UNION ALL
    SELECT '0', 'reward', '', 0, NULL, n, sha256(int8send(n)), 31337, 4, 0 FROM generate_series(10, 29) AS n;
    UPDATE hot.cursors SET first_traced_block = 10";

#[tokio::test]
async fn traces_are_looked_at_where_they_are_kept_and_hot() {
    use GapKind::{Missing, Traces};
    let (_database, mut conn) = chain_of(30).await;
    sqlx::raw_sql(TRACES).execute(&mut conn).await.unwrap();
    assert_eq!(found(&mut conn).await, []);
    let cases: [(&str, &[(u64, GapKind)]); 7] = [
        ("DELETE FROM hot.traces WHERE block_number IN (12, 29)", &[(29, Traces), (12, Traces)]),
        ("DELETE FROM hot.traces WHERE block_number = 12 AND trace_index = 2", &[(12, Traces)]),
        ("DELETE FROM hot.traces WHERE block_number = 12 AND trace_index = 1", &[(12, Traces)]),
        ("UPDATE hot.traces SET block_hash = sha256('x') WHERE block_number = 12", &[(12, Traces)]),
        ("DELETE FROM hot.blocks WHERE block_number = 12", &[(12, Missing)]),
        ("UPDATE hot.cursors SET first_traced_block = 9", &[(9, Traces)]),
        ("UPDATE hot.cursors SET first_traced_block = NULL; DELETE FROM hot.traces", &[]),
    ];
    for (sql, expected) in cases {
        let mut db_tx = conn.begin().await.unwrap();
        sqlx::raw_sql(sql).execute(&mut *db_tx).await.unwrap();
        assert_eq!(found(&mut db_tx).await, expected, "{sql}");
        db_tx.rollback().await.unwrap();
    }
    sqlx::raw_sql("DELETE FROM hot.traces WHERE block_number < 20").execute(&mut conn).await.unwrap();
    let missing = async |conn: &mut PgConnection, watermark: Option<u64>| {
        let page = gaps::look(conn, CHAIN, range(0, 30), watermark.map(BlockNumber)).await.unwrap();
        page.gaps.len()
    };
    assert_eq!((missing(&mut conn, None).await, missing(&mut conn, Some(14)).await), (10, 5));
    assert_eq!(missing(&mut conn, Some(19)).await, 0, "those that are cold may be gone");
    assert!(!rows::exist(&mut conn, CHAIN, Dataset::Traces, range(0, 20)).await.unwrap());
    assert!(rows::exist(&mut conn, CHAIN, Dataset::Traces, range(0, 21)).await.unwrap());
}

#[tokio::test]
async fn blocks_are_taken_back_to_one_whose_row_is_missing_but_that_is_known() {
    let (_database, mut conn) = chain_of(20).await;
    let mut blocks = Vec::new();
    for number in 0..20 {
        blocks.push(block(&mut conn, number).await);
    }
    cursor::set_finalized(&mut conn, CHAIN, blocks[11]).await.unwrap();
    let gone = "DELETE FROM hot.blocks WHERE block_number IN (0, 11, 12, 13, 15, 19)";
    sqlx::raw_sql(gone).execute(&mut conn).await.unwrap();
    // By the block above, by the cursor's finalized block, and by its tip; nothing names 12.
    for (number, is_known) in [(0, true), (11, true), (12, false), (13, true), (14, true), (15, true), (19, true)] {
        let known = known_hash(&mut conn, CHAIN, BlockNumber(number)).await.unwrap();
        let expected = blocks.iter().find(|block| block.number.0 == number && is_known).map(|block| block.hash);
        assert_eq!(known, expected, "block {number}");
    }
    assert_eq!(known_hash(&mut conn, CHAIN, BlockNumber(20)).await.unwrap(), None);
    let new_tip = BlockRef { number: BlockNumber(21), hash: B256::repeat_byte(21) };
    let unknown = BlockRef { hash: B256::repeat_byte(15), ..blocks[15] };
    for ancestor in [blocks[12], unknown] {
        let refused = take_back(&mut conn, CHAIN, ancestor, new_tip).await.unwrap_err();
        assert!(matches!(refused, HotStoreError::NotStored { .. }), "{refused}");
    }
    assert_eq!(take_back(&mut conn, CHAIN, blocks[15], new_tip).await.unwrap(), range(16, 20));
    assert_eq!(cursor::read(&mut conn, CHAIN).await.unwrap().unwrap().tip, Some(blocks[15]));
    assert_eq!(take_back(&mut conn, CHAIN, blocks[11], new_tip).await.unwrap(), range(12, 16));
}

#[tokio::test]
async fn a_gap_tells_what_belongs_there_as_far_as_anything_does() {
    let (_database, mut conn) = chain_of(10).await;
    let (five, six) = (block(&mut conn, 5).await, block(&mut conn, 6).await);
    let tip = block(&mut conn, 9).await;
    sqlx::raw_sql("DELETE FROM hot.blocks WHERE block_number IN (4, 5, 9)").execute(&mut conn).await.unwrap();
    let gaps = pages(&mut conn).await.remove(0).gaps;
    let told: Vec<_> = gaps.iter().map(|gap| (gap.number.0, gap.named_hash, gap.above_hash)).collect();
    assert_eq!(told, [(9, Some(tip.hash), None), (5, Some(five.hash), Some(six.hash)), (4, None, None)]);
    assert!(gaps.iter().all(|gap| gap.stored_hash.is_none()));
}

#[tokio::test]
async fn pages_tile_from_the_tip_down_and_are_bounded_in_blocks_and_in_rows() {
    let (_database, mut conn) = chain_of(2_500).await;
    let blocks = |pages: Vec<Page>| pages.into_iter().map(|page| page.blocks).collect::<Vec<_>>();
    assert_eq!(blocks(pages(&mut conn).await), [range(1_500, 2_500), range(500, 1_500), range(0, 500)]);
    assert_eq!(gaps::hot_blocks(&mut conn, CHAIN, Some(BlockNumber(99))).await.unwrap(), Some(range(100, 2_500)));
    assert_eq!(gaps::hot_blocks(&mut conn, CHAIN, Some(BlockNumber(2_499))).await.unwrap(), None);
    let large = "UPDATE hot.blocks SET transaction_count = 15000 WHERE block_number >= 2495;
                 DELETE FROM hot.blocks WHERE block_number = 2496";
    sqlx::raw_sql(large).execute(&mut conn).await.unwrap();
    let heavy = blocks(pages(&mut conn).await);
    assert_eq!(heavy[..3], [range(2_498, 2_500), range(2_495, 2_498), range(1_495, 2_495)]);
    assert_eq!(heavy.iter().copied().map(BlockRange::block_count).sum::<u64>(), 2_500);
    assert!(heavy.windows(2).all(|two| two[1].is_followed_by(two[0])));
}

/// A reorg of the stored tip whose branches part above block 13.
async fn disputed(conn: &mut PgConnection) -> DisputedReorg {
    DisputedReorg {
        tip: block(conn, 19).await,
        head: BlockRef { number: BlockNumber(21), hash: B256::repeat_byte(21) },
        found: BlockRef { number: BlockNumber(16), hash: B256::repeat_byte(16) },
        stored_hash: Some(block(conn, 16).await.hash),
        parting: Some(Parting { ancestor: block(conn, 13).await, first_hash: B256::repeat_byte(14) }),
    }
}

async fn halt(conn: &mut PgConnection, reorg: &DisputedReorg) {
    let halt = Halt { code: "chain.reorg_below_finalized".to_owned(), message: "…".to_owned() };
    assert!(cursor::halt(conn, CHAIN, &halt).await.unwrap());
    disputed_reorg::record(conn, CHAIN, reorg).await.unwrap();
}

#[tokio::test]
async fn a_permission_is_used_up_by_its_own_reorg_and_takes_the_finalized_block_back() {
    let (_database, mut conn) = chain_of(20).await;
    let finalized = block(&mut conn, 16).await;
    cursor::set_finalized(&mut conn, CHAIN, finalized).await.unwrap();
    let reorg = disputed(&mut conn).await;
    let Parting { ancestor, .. } = reorg.parting.unwrap();
    let first = reorg.parting.unwrap().first();
    halt(&mut conn, &reorg).await;
    assert_eq!(disputed_reorg::read(&mut conn, CHAIN).await.unwrap().unwrap().reorg, reorg);
    let accepted = disputed_reorg::accept(&mut conn, CHAIN, Some(BlockNumber(13)), None, "ann", "why").await.unwrap();
    assert_eq!(accepted, Ok(reorg));

    for (ancestor, first) in [(block(&mut conn, 12).await, first), (ancestor, reorg.found), (ancestor, reorg.head)] {
        assert_eq!(disputed_reorg::use_up(&mut conn, CHAIN, ancestor, first).await.unwrap(), None);
        let refused = take_back(&mut conn, CHAIN, ancestor, reorg.head).await.unwrap_err();
        assert!(matches!(refused, HotStoreError::BelowFinalized { .. }), "{refused}");
    }
    let mut db_tx = conn.begin().await.unwrap();
    let used = disputed_reorg::use_up(&mut db_tx, CHAIN, ancestor, first).await.unwrap().unwrap();
    assert_eq!((used.accepted_by.as_str(), used.reason.as_str()), ("ann", "why"));
    assert_eq!(take_back(&mut db_tx, CHAIN, ancestor, reorg.head).await.unwrap(), range(14, 20));
    assert_eq!(cursor::read(&mut db_tx, CHAIN).await.unwrap().unwrap().finalized, Some(ancestor));
    assert_eq!(disputed_reorg::use_up(&mut db_tx, CHAIN, ancestor, first).await.unwrap(), None, "it was for once");
    db_tx.commit().await.unwrap();
    assert_eq!(disputed_reorg::read(&mut conn, CHAIN).await.unwrap(), None);
}

#[tokio::test]
async fn a_refusal_changes_nothing_and_a_new_halt_voids_the_permission() {
    let (_database, mut conn) = chain_of(20).await;
    let reorg = disputed(&mut conn).await;
    halt(&mut conn, &reorg).await;
    let refused = disputed_reorg::accept(&mut conn, CHAIN, Some(BlockNumber(14)), None, "ann", "why").await.unwrap();
    assert_eq!(refused.unwrap_err().as_str(), "cold");
    assert!(cursor::read(&mut conn, CHAIN).await.unwrap().unwrap().halted.is_some());
    let other = Some(B256::repeat_byte(99));
    let refused = disputed_reorg::accept(&mut conn, CHAIN, None, other, "ann", "why").await.unwrap();
    assert_eq!(refused.unwrap_err().as_str(), "other_branch");

    disputed_reorg::accept(&mut conn, CHAIN, None, Some(reorg.found.hash), "ann", "why").await.unwrap().unwrap();
    assert!(disputed_reorg::read(&mut conn, CHAIN).await.unwrap().unwrap().permission.is_some());
    let deeper = DisputedReorg { parting: None, ..reorg };
    halt(&mut conn, &deeper).await;
    let again = disputed_reorg::read(&mut conn, CHAIN).await.unwrap().unwrap();
    assert_eq!((again.reorg, again.permission), (deeper, None));
    assert!(cursor::resume(&mut conn, CHAIN).await.unwrap() && !cursor::resume(&mut conn, CHAIN).await.unwrap());
}

#[tokio::test]
async fn what_is_committed_elsewhere_holds_the_block_that_it_rests_on() {
    let (database, mut conn) = chain_of(20).await;
    let last = block(&mut conn, 9).await;
    let mut db_tx = conn.begin().await.unwrap();
    assert_eq!(cursor::hold_hash(&mut db_tx, CHAIN, last.number).await.unwrap(), Some(last.hash));
    let mut other = PgConnection::connect(&database.url).await.unwrap();
    sqlx::raw_sql("SET lock_timeout = '200ms'").execute(&mut other).await.unwrap();
    cursor::hold(&mut other, CHAIN).await.unwrap_err();
    db_tx.commit().await.unwrap();
    assert!(cursor::hold(&mut other, CHAIN).await.unwrap().is_some());
    assert_eq!(cursor::hold_hash(&mut conn, CHAIN, BlockNumber(1_000)).await.unwrap(), None);
}

#[tokio::test]
async fn a_status_is_read_as_it_was_written_and_replaces_the_one_before() {
    let (_database, mut conn) = chain_of(5).await;
    assert_eq!(follower_status::read(&mut conn, CHAIN).await.unwrap(), None);
    follower_status::write(&mut conn, CHAIN, &Said::default()).await.unwrap();
    let endpoint = |name: &str, last_error_code: Option<&str>| EndpointStatus {
        name: name.to_owned(),
        state: "cooling".to_owned(),
        last_head: last_error_code.is_none().then_some(BlockNumber(7)),
        last_error_code: last_error_code.map(str::to_owned),
        requests: 12,
        failures: 3,
    };
    let served_at: DateTime<Utc> = "2026-11-26T10:00:00Z".parse().unwrap();
    let said = Said {
        head: Some(SeenHead { number: BlockNumber(7), served_at }),
        blocks_per_second: 3.5,
        head_blocks_per_second: 2.5,
        // Two keys of one provider have one name.
        endpoints: vec![endpoint("https://a:443", None), endpoint("https://a:443", Some("chain.unreachable"))],
    };
    follower_status::write(&mut conn, CHAIN, &said).await.unwrap();
    let read = follower_status::read(&mut conn, CHAIN).await.unwrap().unwrap();
    assert_eq!(read.said, said);
    assert!(read.age.as_secs() < 60, "{read:?}");
    let fewer = Said { endpoints: said.endpoints[1..].to_vec(), ..said };
    follower_status::write(&mut conn, CHAIN, &fewer).await.unwrap();
    assert_eq!(follower_status::read(&mut conn, CHAIN).await.unwrap().unwrap().said, fewer);
}

#[tokio::test]
async fn a_request_for_a_look_is_taken_once() {
    let (_database, mut conn) = chain_of(1).await;
    assert!(!gaps::take_request(&mut conn, CHAIN).await.unwrap());
    gaps::ask(&mut conn, CHAIN, "ann").await.unwrap();
    gaps::ask(&mut conn, CHAIN, "bob").await.unwrap();
    let request = gaps::asked(&mut conn, CHAIN).await.unwrap().unwrap();
    assert_eq!(request.asked_by, "bob");
    assert!(gaps::take_request(&mut conn, CHAIN).await.unwrap());
    assert_eq!(gaps::asked(&mut conn, CHAIN).await.unwrap(), None);
}
