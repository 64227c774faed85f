//! The gate over trees of DuckDB's own parser: what must pass, and what must not.

#[path = "support/limits.rs"]
mod limits;
#[path = "support/sandbox_program.rs"]
mod sandbox_program;

use isotherm_query::gate::{self, CheckedTree, Given, Refusal};
use isotherm_query::literals;
use isotherm_query::parameters::Parameters;
use isotherm_query::sandbox_process::{SandboxProcess, StepError};
use isotherm_types::sandbox::{FailureReason, Request, Response};
use limits::limits;

/// What became of a text.
#[derive(Debug)]
enum Verdict {
    Passed(CheckedTree),
    Refused(Refusal),
    /// The parser itself takes SELECT only.
    NotParsed(FailureReason),
}

struct Parser(Option<SandboxProcess>);

impl Parser {
    async fn verdict(&mut self, sql: &str) -> Verdict {
        let mut sandbox = match self.0.take() {
            Some(sandbox) => sandbox,
            None => open().await,
        };
        let statement = literals::rewrite(sql).unwrap();
        let now = chrono::DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let given = Given { statement: &statement, parameters: &Parameters::default(), now };
        match sandbox.ask(&Request::Parse { sql: statement.text().to_owned() }).await {
            Ok(Response::Parsed { tree }) => {
                self.0 = Some(sandbox);
                gate::check(tree, &given).map_or_else(Verdict::Refused, Verdict::Passed)
            }
            Err(StepError::Failure(failure)) => Verdict::NotParsed(failure.reason),
            other => panic!("{sql}: {other:?}"),
        }
    }
}

async fn open() -> SandboxProcess {
    let mut sandbox = SandboxProcess::start(&sandbox_program::path(), 2 << 30).unwrap();
    let opened = sandbox.ask(&Request::Open(limits(256 << 20))).await;
    assert!(matches!(opened, Ok(Response::Opened { .. })), "{opened:?}");
    sandbox
}

#[tokio::test]
async fn ordinary_queries_pass() {
    let mut parser = Parser(None);
    for sql in GOOD {
        let verdict = parser.verdict(sql).await;
        assert!(matches!(verdict, Verdict::Passed(_)), "{sql}\n{verdict:?}");
    }
}

#[tokio::test]
async fn escapes_do_not_pass() {
    let mut parser = Parser(None);
    for sql in BAD {
        let verdict = parser.verdict(sql).await;
        assert!(!matches!(verdict, Verdict::Passed(_)), "{sql} passed");
    }
    for sql in NOT_SELECT {
        let verdict = parser.verdict(sql).await;
        assert!(
            matches!(verdict, Verdict::NotParsed(FailureReason::NotAQuery | FailureReason::Syntax)),
            "{sql}: {verdict:?}"
        );
    }
}

#[tokio::test]
async fn a_refusal_names_the_culprit_and_its_place() {
    let mut parser = Parser(None);
    let table = [
        ("select 1, getenv('HOME')", "the function \"getenv\" is not allowed", Some(10)),
        (
            "select * from 'a.parquet'",
            "there is no relation \"a.parquet\"; the relations are blocks, transactions, logs and traces, \
             each also of one chain, as in monad.logs, and those of schema isotherm, as isotherm.tasks",
            Some(14),
        ),
        (
            "select * from main.blocks",
            "there is no relation \"main.blocks\"; the relations are blocks, transactions, logs and traces, \
             each also of one chain, as in monad.logs, and those of schema isotherm, as isotherm.tasks",
            Some(14),
        ),
        (
            "from read_csv('x')",
            "the table function \"read_csv\" is not allowed; allowed are range, generate_series and unnest",
            Some(5),
        ),
        ("select $1", "the statement has the parameter $1, but no value is given for it", None),
        ("select 0xab, 0xab, getenv('HOME')", "the function \"getenv\" is not allowed", Some(19)),
        ("select 1; select 2", "a query is one statement; this text has 2", None),
        ("", "a query is one statement; this text has 0", None),
    ];
    for (sql, message, position) in table {
        match parser.verdict(sql).await {
            Verdict::Refused(refusal) => {
                assert_eq!((refusal.to_string().as_str(), refusal.position()), (message, position), "{sql}");
            }
            other => panic!("{sql}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_name_from_an_error_is_found_in_the_text() {
    let mut parser = Parser(None);
    let Verdict::Passed(tree) = parser.verdict("select a, b.c, sum(d) from blocks b").await else { panic!() };
    assert_eq!(tree.position_of("b.c"), Some(10));
    assert_eq!(tree.position_of("SUM"), Some(15));
    assert_eq!(tree.position_of("blocks"), Some(27));
    assert_eq!(tree.position_of("nowhere"), None);
}

const GOOD: &[&str] = &[
    "select count(*) from transactions",
    "FROM Blocks",
    "select * from \"blocks\"",
    "select block_number, count(*) from transactions group by 1 order by 1 desc limit 5",
    "select t.* exclude (input) replace (value / 1e18 as value) from transactions t",
    "select columns('gas.*') from blocks",
    "select columns(c -> c like 'gas%') from blocks",
    "select * from blocks b join transactions t using (block_number) left join logs l on l.transaction_hash = t.transaction_hash",
    "from traces join monad.logs using (transaction_hash)",
    "select input ->> 'x', json_extract(output, '$.y') from isotherm.tasks t join Isotherm.JOBS j on j.id = t.job_id",
    "from \"monad-testnet\".blocks, Monad.BLOCKS b",
    "from blocks, lateral (select count(*) from logs where logs.block_number = blocks.block_number) c",
    "from blocks asof join logs on blocks.timestamp >= logs.timestamp",
    "from blocks semi join logs using (block_number)",
    "with c as (select 1 x), d as (from c) select * from d, c",
    "with recursive n(i) as (select 1 union all select i + 1 from n where i < 5) from n",
    "with blocks as (select 1 a) from blocks",
    "with c as materialized (from blocks) select (select max(gas_used) from c) from c",
    "select * from (with c as (from blocks) from c)",
    "select 1 union all by name select 2 union select 3 except select 4 intersect select 5",
    "select * from range(10) r(i), generate_series(1, 3), unnest([1, 2]) u(v)",
    "select unnest([1, 2]), unnest({'a': 1})",
    "values (1, 'a'), (2, 'b')",
    "select case when success then 1 else 0 end, case gas_used when 1 then 2 end from transactions",
    "select sum(gas_used) over (partition by to_address order by block_number rows between 3 preceding and current row) from transactions",
    "select row_number() over (order by block_number), lag(gas_used, 1, 0) over (order by 1), ntile(4) over () from blocks",
    "select * from blocks qualify row_number() over (partition by author order by block_number) = 1",
    "select count(*) filter (where success), count(distinct from_address), string_agg(x, ',' order by x) from transactions",
    "select author, gas_used, count(*) from blocks group by grouping sets ((author), (gas_used), ())",
    "select author, grouping(author) from blocks group by rollup (author)",
    "select distinct on (author) author, block_number from blocks order by author, block_number",
    "select * from blocks limit 10% offset 3",
    "select * from blocks tablesample 10%",
    "select * from transactions where to_address = unhex('dac17f958d2ee523a2206206994597c13d831ec7')",
    "select * from logs where topic0 = '\\xDD\\xF2'::blob and topic1 is not null",
    "select * from transactions where block_number between 1 and 2 or block_number in (4, 5) and not success",
    "select * from logs where (transaction_hash, log_index) in (select transaction_hash, 0 from transactions)",
    "select exists (from blocks), 1 = any([1, 2]), 3 > all (select 1)",
    "select value::hugeint, cast(value as double), try_cast('x' as integer), x::decimal(10, 2), y::int[], z::struct(a int) from transactions",
    "select to_timestamp(timestamp), date_trunc('hour', to_timestamp(timestamp)), interval 3 days, current_date, now() from blocks",
    "select hex(block_hash), lower('A') || 'b', substring('abc' from 1 for 2), 'x' like 'y%', 'a' similar to 'b', 'a' ilike 'b' from blocks",
    "select list_transform([1, 2], x -> x + 1), [x * 2 for x in [1, 2] if x > 1], {'a': 1}.a, map {'a': 1}['a'], [1, 2, 3][1:2]",
    "select coalesce(null, 1), nullif(1, 2), ifnull(1, 2), greatest(1, 2), 7 // 2, 2 ** 3, 5 % 2, 1 << 3, ~1, -1, 3 & 1",
    "select quantile_cont(gas_used, [0.5, 0.9]), approx_count_distinct(author), arg_max(block_hash, gas_used), histogram(gas_used) from blocks",
    "select '{\"a\": 1}'::json -> 'a', json_extract_string('{}', '$.a')",
    "select a.block_number from (blocks a join blocks b on a.block_hash = b.parent_hash)",
    "select block_number from blocks order by all desc nulls last",
    "select * from transactions where to_address = 0xdac17f958d2ee523a2206206994597c13d831ec7",
    "select 0xab || 0xCD, '0xab', 0 as xab, 0 xb from blocks where author in (0x00, 0x01)",
    "select wei_to_eth(value), wei_to_gwei(gas_price), uint256_to_bytes(value), topic_to_address(from_address) from transactions",
    "select decode_log('Transfer(address indexed a, uint256 b)', topic0, topic1, topic2, topic3, data) ->> 'a' from logs",
    "select decode_call('transfer(address to, uint256 amount)', input), function_selector('f()') from transactions",
    "select bytes_to_uint256(data), bytes_to_int256(data), bytes_to_uint64(data), keccak256(data), event_topic('E()') from logs",
    "select 'getenv(''x'')', 'from read_csv(''/etc/passwd'')' -- getenv('HOME')",
];

const BAD: &[&str] = &[
    // Files and addresses as relations.
    "from 'x.csv'",
    "from \"/etc/passwd\"",
    "select * from 's3://bucket/key.parquet'",
    "select * from 'https://example.com/x.parquet'",
    "from blocks, 'x.json'",
    "from blocks join 'x.parquet' using (a)",
    "select (select max(a) from 'x.csv')",
    "with c as (from 'x.csv') from c",
    "select 1 union all from 'x.csv'",
    "select * from blocks where block_number in (from 'x.csv')",
    "select exists (from 'x.csv')",
    "select * from (select * from (from 'x.csv'))",
    "with recursive c as (select 1 union all select 1 from 'x.csv') from c",
    "select list_transform([1], x -> (select a from 'x.csv'))",
    "from blocks order by (select a from 'x.csv')",
    "from blocks limit (select a from 'x.csv')",
    "select case when true then (select a from 'x.csv') end",
    "from blocks group by (select a from 'x.csv')",
    "select max(a) filter (where a in (from 'x.csv')) from blocks",
    "select max(a order by (select b from 'x.csv')) from blocks",
    "select sum(a) over (order by (select b from 'x.csv')) from blocks",
    "select sum(a) over (rows between (select b from 'x.csv') preceding and current row) from blocks",
    "select distinct on ((select b from 'x.csv')) a from blocks",
    "select * replace ((select b from 'x.csv') as a) from blocks",
    "select columns(c -> (select true from 'x.csv')) from blocks",
    "from blocks having (select true from 'x.csv')",
    "from blocks qualify (select true from 'x.csv')",
    "values ((select a from 'x.csv'))",
    "from range((select a from 'x.csv'))",
    "from blocks asof join 'x.csv' on a >= b",
    "from blocks positional join 'x.csv'",
    // Names that hide behind common tables.
    "with \"x.csv\" as (from \"x.csv\") from \"x.csv\"",
    "with \"x.csv\" as (select 1) from \"x.csv\"",
    "with duckdb_views as (from duckdb_views) from duckdb_views",
    "with a as (from b), b as (select 1) from a",
    "select * from (with c as (select 1) from c), c",
    "with recursive pg_class as (from pg_class union all from pg_class) from pg_class",
    // The sign of the kelvin, whose lower case is a k to Unicode and not to DuckDB.
    "with \"duc\u{212A}db_views\" as (select 1) select sql from duckdb_views",
    "with recursive \"duc\u{212A}db_views\" as (select '' union all select sql from duckdb_views) select 1",
    // Catalogues.
    "from duckdb_settings()",
    "from duckdb_secrets()",
    "from duckdb_views",
    "from information_schema.tables",
    "from pg_catalog.pg_settings",
    "from sqlite_master",
    "from pragma_database_list",
    "from isotherm_hot.blocks",
    "from isotherm_hot.platform_tasks",
    "from isotherm.blocks",
    "from isotherm.orgs",
    "from memory.isotherm.tasks",
    "from \"isotherm.tasks\"",
    "from isotherm_stub.logs",
    "from memory.blocks",
    "from temp.logs",
    "from system.traces",
    "from pg_catalog.blocks",
    "from information_schema.logs",
    "from \"../x\".logs",
    "from monad.tables",
    "from memory.main.blocks",
    "from main.blocks",
    "from pragma_table_info('blocks')",
    "from duckdb_external_file_cache()",
    "from duckdb_variables()",
    "from pragma_user_agent()",
    // Table functions.
    "from read_csv('x')",
    "from read_text('/proc/self/environ')",
    "from READ_BLOB('/etc/passwd')",
    "from read_json_auto('x')",
    "from read_parquet(['x'])",
    "from parquet_metadata('x')",
    "from parquet_scan('x')",
    "from glob('/*')",
    "from sniff_csv('x')",
    "from query('from ''x.csv''')",
    "from query_table('x.csv')",
    "from json_execute_serialized_sql('{}')",
    "from which_secret('s3://x', 's3')",
    "from postgres_scan('host=x', 'public', 't')",
    "from postgres_query('pg', 'select 1')",
    "from sqlite_scan('x', 't')",
    "from main.read_csv('x')",
    "from enable_logging(storage = 'file')",
    "from checkpoint()",
    "from repeat('x', 1000000000)",
    "from seq_scan('blocks')",
    "from test_all_types()",
    "from blocks, lateral (from read_text(blocks.extra_data))",
    // Functions.
    "select getenv('HOME')",
    "select GetEnv('HOME')",
    "select main.getenv('HOME')",
    "select system.main.getenv('HOME')",
    "select current_setting('allowed_paths')",
    "select getvariable('x')",
    "select current_query()",
    "select current_database(), current_schemas(true)",
    "select version()",
    "select list_transform([1], x -> getenv('HOME'))",
    "select * from blocks where getenv('HOME') = 'x'",
    "select max(getenv('HOME')) from blocks",
    "select sum(1) over (order by getenv('HOME')) from blocks",
    "select [getenv(x) for x in ['HOME']]",
    "select {'a': getenv('HOME')}",
    "select 'HOME'.getenv()",
    "from range(length(getenv('HOME')))",
    "select json_serialize_sql('select 1')",
    "select json_deserialize_sql('{}')",
    "select write_log('x')",
    "select sleep_ms(100000)",
    "select nextval('s')",
    "select error('x')",
    "select pg_get_viewdef(1)",
    "select in_search_path('a', 'b')",
    "select txid_current()",
    "select st_read('x')",
    "select nobody_wrote_this(1)",
    // Parts of SQL that are not offered.
    "describe blocks",
    "summarize blocks",
    "show tables",
    "show all tables",
    "from (describe select 1)",
    "from (show tables)",
    "from blocks pivot (sum(gas_used) for author in (1, 2))",
    "from blocks unpivot (a for b in (c, d))",
    "from blocks at (version => 3)",
    "select ?",
    "select $name",
    "select default",
    "select 1; select 2",
    "select getenv 0xab",
    "from 'x'0xab",
    "",
    "-- nothing",
];

const NOT_SELECT: &[&str] = &[
    "insert into blocks values (1)",
    "update blocks set a = 1",
    "delete from blocks",
    "create table x (a int)",
    "create view v as from blocks",
    "create macro m() as 1",
    "create secret s (type s3)",
    "drop view blocks",
    "copy blocks to 'x.csv'",
    "copy (select 1) to 's3://x/y'",
    "attach 'x.db'",
    "detach x",
    "use x",
    "set threads = 1",
    "set variable x = 1",
    "reset all",
    "pragma database_list",
    "pragma enable_profiling",
    "call enable_logging()",
    "install httpfs",
    "load httpfs",
    "export database 'x'",
    "import database 'x'",
    "explain select 1",
    "explain analyze select 1",
    "checkpoint",
    "vacuum",
    "begin",
    "prepare p as select 1",
    "execute p",
    "pivot blocks on author using sum(gas_used)",
    "with c as (insert into blocks values (1) returning 1) from c",
    "select 1; drop view blocks",
];
