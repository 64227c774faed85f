//! The functions for chain data, in the real program and without a gate in front. Expected values are from Solidity's
//! own documentation and from transactions of Ethereum.

#[path = "session/driver.rs"]
#[expect(dead_code, reason = "shared with session.rs")]
mod driver;

use arrow::util::display::array_value_to_string;
use driver::{Sandbox, first_value, query};
use isotherm_types::sandbox::FailureReason;

const TRANSFER: &str = "'event Transfer(address indexed from, address indexed to, uint256 value)'";

/// Topics and data of the transfer of 24563041140 units of Tether by transaction
/// 0xac503dd98281d4d52c2043e297a6e684d175339a7ebf831605fe593f01ce82c3 of Ethereum.
const TRANSFER_LOG: &str = "unhex('ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef'),
    unhex('0000000000000000000000008e04af7f7c76daa9ab429b1340e0327b5b835748'),
    unhex('000000000000000000000000cc7785c4ae728a100cf08fd1a2be2e7f1830260d'), NULL,
    unhex('00000000000000000000000000000000000000000000000000000005b8124374')";

/// The call data of that transaction.
const TRANSFER_CALL: &str = "unhex('a9059cbb000000000000000000000000cc7785c4ae728a100cf08fd1a2be2e7f1830260d\
    00000000000000000000000000000000000000000000000000000005b8124374')";

/// The values of expressions as texts, of one query.
fn values(expressions: &[&str]) -> Vec<String> {
    let columns: Vec<String> =
        expressions.iter().map(|expression| format!("coalesce(({expression})::varchar, 'NULL')")).collect();
    let answer = query(&format!("select {}", columns.join(", ")), None, vec![]).unwrap();
    answer.batches[0].columns().iter().map(|column| array_value_to_string(column, 0).unwrap()).collect()
}

fn hold(table: &[(&str, &str)]) {
    let expressions: Vec<&str> = table.iter().map(|(expression, _)| *expression).collect();
    for ((expression, expected), value) in table.iter().zip(values(&expressions)) {
        assert_eq!(value, *expected, "{expression}");
    }
}

#[test]
fn amounts_are_exact() {
    hold(&[
        ("wei_to_eth(1500000000000000000)", "1.500000000000000000"),
        ("wei_to_eth(1)", "0.000000000000000001"),
        ("wei_to_eth(-1)", "-0.000000000000000001"),
        ("wei_to_eth(0)", "0.000000000000000000"),
        ("wei_to_eth(repeat('9', 38)::decimal(38,0))", "99999999999999999999.999999999999999999"),
        ("wei_to_eth('1500000000000000001')", "1.500000000000000001"),
        ("wei_to_eth('1500000000000000001'::bignum)", "1.500000000000000001"),
        ("wei_to_eth(7::ubigint)", "0.000000000000000007"),
        ("wei_to_eth(NULL)", "NULL"),
        ("typeof(wei_to_eth(1))", "DECIMAL(38,18)"),
        ("wei_to_gwei(1500000001)", "1.500000001"),
        ("wei_to_gwei(repeat('9', 38)::decimal(38,0))", "99999999999999999999999999999.999999999"),
        ("typeof(wei_to_gwei(1))", "DECIMAL(38,9)"),
    ]);
}

#[test]
fn numbers_of_256_bits_are_exact() {
    let max = "115792089237316195423570985008687907853269984665640564039457584007913129639935";
    let min = "-57896044618658097711785492504343953926634992332820282019728792003956564819968";
    hold(&[
        ("bytes_to_uint256(unhex(repeat('ff', 32)))", max),
        ("bytes_to_uint256('\\x01\\x00'::blob)", "256"),
        ("bytes_to_uint256(unhex(repeat('00', 32)))", "0"),
        ("bytes_to_uint256(''::blob)", "NULL"),
        ("bytes_to_uint256(unhex(repeat('00', 33)))", "NULL"),
        ("bytes_to_uint256(NULL)", "NULL"),
        ("typeof(bytes_to_uint256('\\x01'::blob))", "BIGNUM"),
        ("bytearray_to_uint256('\\x0A'::blob)", "10"),
        ("bytes_to_int256(unhex(repeat('ff', 32)))", "-1"),
        ("bytes_to_int256(unhex('80' || repeat('00', 31)))", min),
        ("bytes_to_int256('\\xFF'::blob)", "NULL"),
        ("bytearray_to_int256(unhex(repeat('ff', 32)))", "-1"),
        ("bytes_to_uint64(unhex(repeat('00', 24) || repeat('ff', 8)))", "18446744073709551615"),
        ("typeof(bytes_to_uint64('\\x01'::blob))", "UBIGINT"),
        ("bytes_to_uint64(''::blob)", "NULL"),
        ("to_hex_0x(uint256_to_bytes(258))", "0x0000000000000000000000000000000000000000000000000000000000000102"),
        (&format!("bytes_to_uint256(uint256_to_bytes('{max}'::bignum))"), max),
        ("bytes_to_uint256(uint256_to_bytes(5::decimal(38,0)))", "5"),
    ]);
}

#[test]
fn addresses_topics_and_digits_are_turned_into_each_other() {
    let digits = "dac17f958d2ee523a2206206994597c13d831ec7";
    let address = format!("unhex('{digits}')");
    hold(&[
        (&format!("to_hex_0x(address_to_topic({address}))"), &format!("0x{digits:0>64}")),
        (&format!("to_hex_0x(topic_to_address(address_to_topic({address})))"), &format!("0x{digits}")),
        ("to_hex_0x(topic_to_address(unhex('01' || repeat('00', 31))))", "NULL"),
        (&format!("to_hex_0x(topic_to_address({address}))"), "NULL"),
        ("to_hex_0x(''::blob)", "0x"),
        ("to_hex_0x(from_hex_0x('0xAb01'))", "0xab01"),
        ("to_hex_0x(from_hex_0x('ab01'))", "0xab01"),
        ("to_hex_0x(bytes_substring('\\x01\\x02\\x03'::blob, 2, 2))", "0x0203"),
        ("to_hex_0x(bytearray_substring('\\x01\\x02\\x03'::blob, 1, 3))", "0x010203"),
        ("to_hex_0x(bytes_substring('\\x01\\x02\\x03'::blob, 3, 2))", "NULL"),
        ("to_hex_0x(bytes_substring('\\x01\\x02\\x03'::blob, 0, 1))", "NULL"),
        ("to_hex_0x(bytes_substring('\\x01\\x02\\x03'::blob, 1, -1))", "NULL"),
        ("to_hex_0x(bytes_substring('\\x01'::blob, 9223372036854775807, 9223372036854775807))", "NULL"),
    ]);
}

#[test]
fn hashes_are_those_of_ethereum() {
    hold(&[
        ("to_hex_0x(keccak256(''))", "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
        ("to_hex_0x(keccak256('abc'))", "0x4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"),
        ("keccak256('abc') = keccak256('\\x61\\x62\\x63'::blob)", "true"),
        ("to_hex_0x(function_selector('transfer(address,uint256)'))", "0xa9059cbb"),
        ("to_hex_0x(function_selector('function balanceOf(address owner) view returns (uint256)'))", "0x70a08231"),
        (
            "to_hex_0x(event_topic('Transfer(address indexed from, address indexed to, uint256 value)'))",
            "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef",
        ),
        (
            "to_hex_0x(event_topic('Approval(address,address,uint256)'))",
            "0x8c5be1e5ebec7d5bd14f71427d1e84f3dd0314c0f7b2291e5b200ac8c7c3b925",
        ),
    ]);
}

#[test]
fn a_real_transfer_is_decoded() {
    let (from, to) = ("0x8e04af7f7c76daa9ab429b1340e0327b5b835748", "0xcc7785c4ae728a100cf08fd1a2be2e7f1830260d");
    let log = format!(r#"{{"from":"{from}","to":"{to}","value":24563041140}}"#);
    let call = format!(r#"{{"to":"{to}","amount":24563041140}}"#);
    hold(&[
        (&format!("decode_log({TRANSFER}, {TRANSFER_LOG})"), &log),
        (&format!("decode_log({TRANSFER}, {TRANSFER_LOG}) ->> 'to'"), to),
        (&format!("decode_call('transfer(address to, uint256 amount)', {TRANSFER_CALL})"), &call),
    ]);
}

/// The example of the ABI specification: `f(uint256,uint32[],bytes10,bytes)` with `(0x123, [0x456, 0x789],
/// "1234567890", "Hello, world!")`.
#[test]
fn the_example_of_the_specification_is_decoded() {
    let word = |digits: &str| format!("{digits:0>64}");
    let data = [
        "8be65246".to_owned(),
        word("123"),
        word("80"),
        format!("{:0<64}", "31323334353637383930"),
        word("e0"),
        word("2"),
        word("456"),
        word("789"),
        word("d"),
        format!("{:0<64}", "48656c6c6f2c20776f726c6421"),
    ];
    let call = format!("decode_call('f(uint256,uint32[],bytes10,bytes)', unhex('{}'))", data.concat());
    let expected =
        r#"{"arg0":291,"arg1":[1110,1929],"arg2":"0x31323334353637383930","arg3":"0x48656c6c6f2c20776f726c6421"}"#;
    hold(&[(&call, expected)]);
}

#[test]
fn logs_and_calls_of_something_else_are_null() {
    let other_event = "'Transfer(address indexed a, address indexed b, uint128 c)'";
    let three_indexed = "'Transfer(address indexed a, address indexed b, uint256 indexed c)'";
    let none_indexed = "'Transfer(address a, address b, uint256 c)'";
    hold(&[
        (&format!("decode_log({other_event}, {TRANSFER_LOG})"), "NULL"),
        (&format!("decode_log({three_indexed}, {TRANSFER_LOG})"), "NULL"),
        (&format!("decode_log({none_indexed}, {TRANSFER_LOG})"), "NULL"),
        (&format!("decode_log({TRANSFER}, event_topic({TRANSFER}), NULL, NULL, NULL, ''::blob)"), "NULL"),
        (&format!("decode_log({TRANSFER}, NULL, NULL, NULL, NULL, ''::blob)"), "NULL"),
        (
            "decode_log('event E(uint256 indexed a) anonymous', uint256_to_bytes(5), NULL, NULL, NULL, ''::blob)",
            r#"{"a":5}"#,
        ),
        (
            "decode_log('E(string indexed a)', event_topic('E(string)'), keccak256('x'), NULL, NULL, ''::blob)",
            r#"{"a":"0x7521d1cadbcfa91eec65aa16715b94ffc1c9654ba57ea2ef1a2127bca1127a83"}"#,
        ),
        ("decode_call('f()', function_selector('f()'))", "{}"),
        ("decode_call('f(uint8)', function_selector('f(uint8)'))", "NULL"),
        ("decode_call('f(uint8)', function_selector('f(uint8)') || uint256_to_bytes(256))", "NULL"),
        ("decode_call('f()', '\\x01'::blob)", "NULL"),
        ("decode_call('f()', NULL)", "NULL"),
    ]);
}

#[test]
fn rows_and_nulls_keep_their_places_over_many_vectors() {
    let count = |sql: &str| first_value(&query(sql, None, vec![]).unwrap());
    let there_and_back = "select count(*) from range(7000) t(i) where bytes_to_uint64(uint256_to_bytes(i)) = i";
    assert_eq!(count(there_and_back), "7000");
    let with_nulls = "with numbers as (
            select i, case when i % 3 <> 0 then uint256_to_bytes(i) end as b from range(6000) t(i)
        ), calls as (
            select *, decode_call('f(uint256 a)', function_selector('f(uint256)') || b) ->> 'a' as a from numbers
        )
        select count(*) from calls
        where (bytes_to_uint256(b) is null) = (i % 3 = 0)
          and a is not distinct from (case when i % 3 <> 0 then i::varchar end)";
    assert_eq!(count(with_nulls), "6000");
    let signatures =
        "select count(distinct event_topic('E' || (i % 10)::varchar || '(uint256)')) from range(5000) t(i)";
    assert_eq!(count(signatures), "10");
}

#[test]
fn wrong_arguments_are_errors_that_say_so() {
    let table = [
        ("wei_to_eth('170141183460469231731687303715884105727'::hugeint)", "DECIMAL(38,18)"),
        ("address_to_topic('\\x01'::blob)", "address_to_topic: an address has 20 bytes, and this one 1"),
        ("from_hex_0x('0xabc')", "from_hex_0x: the text is not an even number of hexadecimal digits"),
        ("bytes_to_uint64(unhex(repeat('ff', 9)))", "bytes_to_uint64: a number does not fit into 64 bits"),
        ("uint256_to_bytes(-1)", "uint256_to_bytes: only a whole number from 0"),
        ("uint256_to_bytes(1.5)", "uint256_to_bytes: only a whole number from 0"),
        ("uint256_to_bytes(bytes_to_uint256(unhex(repeat('ff', 32))) + 1::bignum)", "uint256_to_bytes: only"),
        ("event_topic('Transfer(adress)')", "event_topic: the signature is wrong after 9 bytes: no type of the ABI"),
        ("decode_log('Transfer(', NULL, NULL, NULL, NULL, ''::blob)", "decode_log: the signature is wrong after 9"),
        ("decode_call('', ''::blob)", "decode_call: the signature is wrong after 0 bytes: a name is expected"),
    ];
    for (expression, message) in table {
        let failure = query(&format!("select {expression}"), None, vec![]).expect_err(expression);
        assert_eq!(failure.reason, FailureReason::Execution, "{expression}: {failure:?}");
        assert!(failure.message.contains(message), "{expression}: {failure:?}");
    }
}

#[test]
fn the_planner_knows_them_too() {
    let mut sandbox = Sandbox::open();
    let sql = "select wei_to_eth(gas_used), to_hex_0x(block_hash) from blocks where block_number > 5";
    let tree = sandbox.parse(sql).unwrap();
    let scans = sandbox.plan(&tree).unwrap();
    assert_eq!(scans[0].filters, ["block_number>5"], "{scans:?}");
}
