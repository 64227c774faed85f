//! What the engine's locks refuse when no gate stands in front: files, addresses, other URLs, settings.

#[path = "session/driver.rs"]
#[expect(dead_code, reason = "shared with session.rs")]
mod driver;

use driver::query;

const SECRET: &str = "a planted secret";

/// Runs `sql` and returns what came out as one text, answer or failure.
fn outcome(sql: &str) -> String {
    match query(sql, None, vec![]) {
        Ok(answer) => format!("{:?}", answer.batches),
        Err(failure) => failure.message,
    }
}

#[test]
fn files_and_addresses_are_out_of_reach() {
    let folder = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let planted = folder.join("planted.csv");
    std::fs::write(&planted, format!("{SECRET}\n")).unwrap();
    let path = planted.display();
    let sources = [
        format!("'{path}'"),
        format!("read_csv('{path}')"),
        format!("read_text('{path}')"),
        format!("read_blob('{path}')"),
        format!("read_json('{path}')"),
        format!("sniff_csv('{path}')"),
        format!("glob('{}/*')", folder.display()),
        format!("query('from read_text(''{path}'')')"),
        format!("query_table('{path}')"),
        "read_text('/proc/self/environ')".to_owned(),
        "read_text('/proc/self/maps')".to_owned(),
        "'/etc/passwd'".to_owned(),
        "read_csv('/etc/passwd')".to_owned(),
        "read_text('http://127.0.0.1:9/x')".to_owned(),
        "read_parquet('https://example.com/x.parquet')".to_owned(),
        "read_parquet('s3://bucket/x.parquet')".to_owned(),
        "read_parquet('file:///etc/passwd')".to_owned(),
    ];
    for source in sources {
        let result = query(&format!("from {source}"), None, vec![]);
        let failure = result.expect_err(&format!("{source} was answered"));
        assert!(!failure.message.contains(SECRET) && !failure.message.contains("root:"), "{source}: {failure:?}");
    }
}

#[test]
fn the_environment_is_empty() {
    for name in ["PATH", "HOME", "AWS_SECRET_ACCESS_KEY", "DATABASE_URL"] {
        let text = outcome(&format!("select getenv('{name}')"));
        assert!(!text.contains('/'), "{name}: {text}");
    }
}

#[test]
fn the_configuration_is_locked() {
    let trees = [
        "select * from json_execute_serialized_sql(json_serialize_sql('select 1'))",
        "select * from duckdb_settings()",
    ];
    for sql in trees {
        let text = outcome(sql);
        assert!(!text.contains(SECRET), "{sql}: {text}");
    }
    let locked = outcome("select value from duckdb_settings() where name = 'lock_configuration'");
    assert!(locked.contains("true"), "{locked}");
    let access = outcome("select value from duckdb_settings() where name = 'enable_external_access'");
    assert!(access.contains("false"), "{access}");
}

#[test]
fn no_extension_comes_in() {
    for sql in
        ["from postgres_scan('host=127.0.0.1', 'public', 't')", "from sqlite_scan('x', 't')", "select st_point(1, 2)"]
    {
        query(sql, None, vec![]).expect_err(sql);
    }
}
