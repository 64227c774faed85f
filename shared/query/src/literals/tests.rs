use proptest::prelude::*;

use super::*;

fn written(sql: &str) -> String {
    rewrite(sql).unwrap().text().to_owned()
}

#[test]
fn a_bare_literal_becomes_bytes_wherever_a_value_can_stand() {
    let table = [
        ("select 0xab", r"select CAST('\xAB' AS BLOB)"),
        ("select 0Xab12", r"select CAST('\xAB\x12' AS BLOB)"),
        ("a=0xab and b in (0x01)", r"a=CAST('\xAB' AS BLOB) and b in (CAST('\x01' AS BLOB))"),
        ("[0xab]", r"[CAST('\xAB' AS BLOB)]"),
        ("f(x,0xab)::text", r"f(x,CAST('\xAB' AS BLOB))::text"),
        ("1 -- 0xab\n,0xab", "1 -- 0xab\n,CAST('\\xAB' AS BLOB)"),
        ("/* 0xab /* 0xab */ 0xab */0xab", r"/* 0xab /* 0xab */ 0xab */CAST('\xAB' AS BLOB)"),
        ("'it''s 0xab'||0xab", r"'it''s 0xab'||CAST('\xAB' AS BLOB)"),
        (r"E'\' 0xab'||0xab", r"E'\' 0xab'||CAST('\xAB' AS BLOB)"),
        (r"'\'||0xab||'\'", r"'\'||CAST('\xAB' AS BLOB)||'\'"),
        ("$a$ 0xab $b$ $a$||0xab", r"$a$ 0xab $b$ $a$||CAST('\xAB' AS BLOB)"),
        ("$$ 0xab $$||0xab", r"$$ 0xab $$||CAST('\xAB' AS BLOB)"),
        ("\u{a0}0xab\u{3000}", "\u{a0}CAST('\\xAB' AS BLOB)\u{3000}"),
        ("l[1:0xab]", r"l[1:CAST('\xAB' AS BLOB)]"),
    ];
    for (sql, expected) in table {
        assert_eq!(written(sql), expected, "{sql}");
    }
}

#[test]
fn what_merely_holds_0x_stays_as_it_is() {
    for sql in [
        "select a0x1, _0xab, é0xab, a$0xab",
        "select 10xab, 1.0xab, .0xab, t.0xab, 00xab, 1_0xab",
        r#"select '0xab', "0xab", E'0xab', x'0xab', U&'0xab', b'0xab'"#,
        "select 'a''0xab', \"a\"\"0xab\"",
        r"select E'\\\' 0xab'",
        "select E'a' \n 'b\\' 0xab'",
        "select E'a' -- 'x'\n 'b\\' 0xab'",
        "select $0xab$",
        "select $tag$ 0xab $tag $tag$",
        "select $a0xab, $1",
        "select 1 -- 0xab",
        "select /* /* */ 0xab",
        "select 'open 0xab",
        "select \"open 0xab",
        "select E'open 0xab\\",
        "select $x$ open 0xab $y$",
        "select 0, 0.5, 0_1, 0e1, 0 xab",
        "",
        "0",
        "$",
        "é",
    ] {
        assert_eq!(written(sql), sql);
    }
}

#[test]
fn a_literal_joins_neither_what_stands_before_it_nor_after_it() {
    // Joined, the first would be one text, and the second a call.
    assert_eq!(written("'x'0xab"), r"'x'CAST('\xAB' AS BLOB)");
    assert_eq!(written("getenv 0xab"), r"getenv CAST('\xAB' AS BLOB)");
    assert_eq!(written("0xab'x'"), r"CAST('\xAB' AS BLOB)'x'");
}

#[test]
fn a_literal_that_is_none_is_an_error_with_its_place() {
    let table = [
        ("select 0xabc", LiteralError::Odd { digits: 3, position: 7 }),
        ("select 0x", LiteralError::Empty { position: 7 }),
        ("select 0x, 1", LiteralError::Empty { position: 7 }),
        ("select 0xabgh", LiteralError::NotHexadecimal { found: 'g', position: 11 }),
        ("select 0xab_cd", LiteralError::NotHexadecimal { found: '_', position: 11 }),
        ("select 0x01, 0xé", LiteralError::NotHexadecimal { found: 'é', position: 15 }),
    ];
    for (sql, expected) in table {
        assert_eq!(rewrite(sql).unwrap_err(), expected, "{sql}");
        assert_eq!(QueryError::from(expected).answer().position, Some(expected.position()));
    }
}

#[test]
fn a_place_in_the_rewritten_text_is_found_in_the_users() {
    let sql = "select 0xab, 0xcd, foo";
    let rewritten = rewrite(sql).unwrap();
    let find = |part: &str| rewritten.text().find(part).unwrap() as u64;
    assert_eq!(rewritten.original_position(find("foo")), 19);
    assert_eq!(rewritten.original_position(find("CAST")), 7);
    assert_eq!(rewritten.original_position(find("xAB")), 7);
    assert_eq!(rewritten.original_position(find("'\\xCD")), 13);
    assert_eq!(rewritten.original_position(rewritten.text().len() as u64), sql.len() as u64);
    assert!(rewritten.original_position(u64::MAX) > sql.len() as u64);
}

/// A part of a text and what must become of it.
fn part() -> impl Strategy<Value = (String, String)> {
    fn same(text: String) -> (String, String) {
        (text.clone(), text)
    }
    let inside = "[ a-z0-9x$/*\u{e9}-]{0,6}0x[0-9a-f]{0,4}[ a-z]{0,3}";
    prop_oneof![
        "[a-wyz_\u{e9}][a-z0-9_]{0,8}".prop_map(same),
        "[1-9][0-9]{0,3}(\\.[0-9]{1,3})?".prop_map(same),
        inside.prop_map(|inside| same(format!("'{inside}''{inside}'"))),
        inside.prop_map(|inside| same(format!("\"{inside}\""))),
        inside.prop_map(|inside| same(format!("E'{inside}\\'{inside}'"))),
        inside.prop_map(|inside| same(format!("$t${}$t$", inside.replace('$', "")))),
        inside.prop_map(|inside| same(format!("/* {} */", inside.replace(['/', '*'], "")))),
        inside.prop_map(|inside| same(format!("--{inside}\n"))),
        proptest::collection::vec(any::<u8>(), 1..5).prop_map(|bytes| {
            let constant: String = bytes.iter().map(|byte| format!("\\x{byte:02X}")).collect();
            (format!("0x{}", hex::encode(bytes)), format!("CAST('{constant}' AS BLOB)"))
        }),
    ]
}

proptest! {
    #[test]
    fn a_text_without_a_bare_literal_comes_back_unchanged(sql in "\\PC*") {
        prop_assume!(!sql.to_lowercase().contains("0x"));
        let rewritten = rewrite(&sql).unwrap();
        prop_assert_eq!(rewritten.text(), &sql);
        for position in 0..=sql.len() as u64 {
            prop_assert_eq!(rewritten.original_position(position), position);
        }
    }

    #[test]
    fn literals_alone_change_and_every_place_maps_back(parts in proptest::collection::vec(part(), 0..8)) {
        let (mut sql, mut expected, mut places) = (String::new(), String::new(), Vec::new());
        for (original, written) in &parts {
            let is_literal = original != written;
            let place = |offset: usize| sql.len() + if is_literal { 0 } else { offset };
            places.extend((0..written.len()).map(|offset| (expected.len() + offset, place(offset))));
            sql.push_str(original);
            expected.push_str(written);
            places.push((expected.len(), sql.len()));
            sql.push(' ');
            expected.push(' ');
        }
        let rewritten = rewrite(&sql).unwrap();
        prop_assert_eq!(rewritten.text(), &expected);
        for (written, original) in places {
            prop_assert_eq!(rewritten.original_position(written as u64), original as u64);
        }
    }

    #[test]
    fn no_text_makes_it_panic(sql in any::<String>()) {
        drop(rewrite(&sql));
    }
}

#[test]
fn comments_stand_within_each_other_as_deep_as_anybody_writes_them() {
    let nested = |depth: usize| format!("select {} 1 {}", "/*".repeat(depth), "*/".repeat(depth));
    assert_eq!(written(&nested(64)), nested(64));
    assert_eq!(rewrite(&nested(65)).unwrap_err(), LiteralError::Comments { position: 7 });
    assert_eq!(
        rewrite(&"/*".repeat(100_000)).unwrap_err().to_string(),
        "more than 64 comments stand within each other: end some with */"
    );
    let beside = "/* 1 */ ".repeat(1_000);
    assert_eq!(written(&beside), beside);
    assert_eq!(written(&format!("select '{}'", "/*".repeat(100))), format!("select '{}'", "/*".repeat(100)));
}
