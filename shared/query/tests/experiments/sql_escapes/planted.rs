//! What is there to be stolen: secrets in files, in the parent's environment, memory and open files, in another org's
//! object and row. And the judge, who looks for them in whatever came out.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use isotherm_cold_store::Sha256Digest;
use isotherm_lab::tools;
use isotherm_query::cold_server::{FileId, Lease, LentFile};
use isotherm_types::Dataset;
use isotherm_types::sandbox::{ColdGroup, Limits, Part, Relation, RelationColumn, Source, Spill, port_of};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use tempfile::TempDir;

use super::listener::Listener;
use crate::made_chain::{CHAIN, compact, follow, range};
use crate::platform::Platform;

/// Blocks in the cold file that every query may read.
pub(crate) const OWN_BLOCKS: u64 = 10;

/// The cold file of the query itself.
const OWN_KEY: &str = "cold/made/blocks/blocks_0000000000_0000000009.parquet";
/// An object of another org, which is lent to a query of theirs.
const OTHERS_KEY: &str = "cold/other/logs/secret.csv";

/// Where a secret is, by which it is named.
const SECRETS: [&str; 10] = [
    "file",
    "filename",
    "descriptor",
    "heap",
    "password",
    "accesskeyid",
    "secretaccesskey",
    "sessiontoken",
    "otherobject",
    "otherrow",
];

/// The secret of one place: lower-case letters and digits, so that it is found in any spelling.
fn secret(mark: &str, place: &str) -> String {
    format!("planted{place}{mark}")
}

/// Variables of the parent's environment.
pub(crate) fn environment(mark: &str) -> [(&'static str, String); 4] {
    let url = format!("postgres://isotherm:{}@127.0.0.1:5432/isotherm", secret(mark, "password"));
    [
        ("DATABASE_URL", url),
        ("AWS_ACCESS_KEY_ID", secret(mark, "accesskeyid")),
        ("AWS_SECRET_ACCESS_KEY", secret(mark, "secretaccesskey")),
        ("AWS_SESSION_TOKEN", secret(mark, "sessiontoken")),
    ]
}

/// The places whose secret stands in `text`: as it is, as hexadecimal digits, backwards, or with anything in between.
pub(crate) fn revealed(mark: &str, text: &str) -> Vec<&'static str> {
    let squeezed: String =
        text.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect();
    let stands = |place: &&str| {
        let secret = secret(mark, place);
        let backwards: String = secret.chars().rev().collect();
        [hex::encode(&secret), backwards, secret].iter().any(|spelling| squeezed.contains(spelling.as_str()))
    };
    SECRETS.into_iter().filter(stands).collect()
}

/// Everything that was planted, and what an attempt is tried with.
pub(crate) struct Planted {
    pub(crate) mark: String,
    pub(crate) platform: Platform,
    pub(crate) limits: Limits,
    pub(crate) sources: Vec<Source>,
    pub(crate) listener: Listener,
    /// Place to what stands for it.
    places: Vec<(&'static str, String)>,
    /// The files to read and the folder to write to.
    folder: TempDir,
    /// The only folder to which a sandbox may write.
    _spill: TempDir,
    _lent: [Lease; 2],
    _held: File,
    _heap: Box<str>,
}

impl Planted {
    pub(crate) async fn new(mark: &str) -> Self {
        let platform = Platform::start().await;
        own_file(&platform).await;
        let (folder, spill) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        plant_files(mark, folder.path());
        let held = held_file(mark, folder.path());
        let other_target = format!("/{OTHERS_KEY}");
        let others = format!("a\n{}\n", secret(mark, "otherobject"));
        put(&platform, OTHERS_KEY, others.into_bytes()).await;
        let cold = &platform.engine.cold;
        let own = cold.lend(&platform.objects, vec![looked_up(&platform, OWN_KEY).await]).await.unwrap();
        let theirs = cold.lend(&platform.objects, vec![looked_up(&platform, OTHERS_KEY).await]).await.unwrap();
        assert_eq!(
            read(&theirs.url(0)).await.matches(&secret(mark, "otherobject")).count(),
            1,
            "it is there to be had"
        );
        let own_url = own.url(0);
        let (own_loan_url, _) = own_url.rsplit_once('/').unwrap();
        let (store_url, own_loan) = own_loan_url.rsplit_once('/').unwrap();
        let (store_url, own_loan) = (store_url.to_owned(), format!("/{own_loan}"));
        let listener = Listener::start();
        let (postgres_port, postgres_database) = plant_row(mark, &platform).await;
        let text = |path: &Path| path.display().to_string();
        let name = folder.path().file_name().unwrap().to_string_lossy().into_owned();
        let extension = tools::postgres_scanner().unwrap_or_else(|_| PathBuf::from("/nowhere/postgres_scanner"));
        let places = vec![
            ("file", text(&folder.path().join("planted.csv"))),
            ("json", text(&folder.path().join("planted.json"))),
            ("database", text(&folder.path().join("planted.duckdb"))),
            ("folder", text(folder.path())),
            ("name", name),
            ("out", text(&folder.path().join("out"))),
            ("parent", std::process::id().to_string()),
            ("descriptor", std::os::fd::AsRawFd::as_raw_fd(&held).to_string()),
            ("listener_port", listener.address.rsplit(':').next().unwrap().to_owned()),
            ("listener", listener.address.clone()),
            ("store", store_url.trim_start_matches("http://").to_owned()),
            ("store_url", store_url),
            ("own_url", own_url.clone()),
            ("own_loan", own_loan),
            ("other_target", other_target),
            ("postgres_port", postgres_port),
            ("postgres_database", postgres_database),
            ("postgres_extension", text(&extension)),
        ];
        let limits = Limits {
            memory_bytes: 256 << 20,
            writable_bytes: 4 << 30,
            address_space_bytes: 8 << 30,
            cpu_seconds: 3_600,
            threads: 2,
            spill: Some(Spill { folder: text(spill.path()), bytes: 64 << 20 }),
            httpfs: Some(text(&tools::httpfs().unwrap().canonicalize().unwrap())),
            ports: vec![port_of(&own_url).expect("an address with a port")],
        };
        let sources = vec![source(own_url)];
        let heap = secret(mark, "heap").into_boxed_str();
        let mark = mark.to_owned();
        let _lent = [own, theirs];
        Self {
            mark,
            platform,
            limits,
            sources,
            listener,
            places,
            folder,
            _spill: spill,
            _lent,
            _held: held,
            _heap: heap,
        }
    }

    /// `sql` with every place filled in.
    pub(crate) fn text(&self, sql: &str) -> String {
        let filled =
            self.places.iter().fold(sql.to_owned(), |sql, (place, text)| sql.replace(&format!("@{place}@"), text));
        let mut parts = filled.split('@').skip(1);
        let of_a_name = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        let is_place = |part: &str| !part.is_empty() && part.bytes().all(of_a_name);
        assert!(parts.all(|part| !is_place(part)), "a place of {sql:?} is not known");
        filled
    }

    pub(crate) fn place(&self, name: &str) -> &str {
        let found = self.places.iter().find(|(place, _)| *place == name);
        &found.expect("the place is among those that are planted").1
    }

    /// Every file of the watched folder with its bytes.
    pub(crate) fn listing(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        list(self.folder.path(), &mut found);
        found
    }
}

fn list(folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.insert(path.clone(), Vec::new());
            list(&path, found);
        } else {
            found.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
}

async fn own_file(platform: &Platform) {
    let mut conn = platform.connect().await;
    follow(&mut conn, range(0, 35)).await;
    compact(&mut conn, &platform.objects, platform.scratch.path(), range(0, OWN_BLOCKS)).await;
}

async fn put(platform: &Platform, key: &str, bytes: Vec<u8>) {
    let put = platform.client.put_object().bucket(platform.objects.bucket()).key(key);
    put.body(bytes.into()).send().await.unwrap();
}

/// An object as it is lent.
async fn looked_up(platform: &Platform, key: &str) -> Arc<LentFile> {
    let head = platform.objects.head(key).await.unwrap().expect("the object was written");
    let id = FileId { sha256: Sha256Digest::of(key.as_bytes()), e_tag: head.e_tag.unwrap().into() };
    Arc::new(LentFile { key: key.to_owned(), size_bytes: head.size_bytes, id })
}

async fn read(url: &str) -> String {
    reqwest::get(url).await.unwrap().text().await.unwrap()
}

fn plant_files(mark: &str, folder: &Path) {
    let inside = secret(mark, "file");
    let files = [
        ("planted.csv".to_owned(), format!("planted,{inside}\n1,{inside}\n")),
        ("planted.json".to_owned(), format!("{{\"planted\": \"{inside}\"}}\n")),
        ("planted.duckdb".to_owned(), inside.clone()),
        ("planted.duckdb_extension".to_owned(), inside.clone()),
        (format!("{}.txt", secret(mark, "filename")), inside),
    ];
    for (name, text) in files {
        std::fs::write(folder.join(name), text).unwrap();
    }
    std::fs::create_dir(folder.join("out")).unwrap();
}

/// A file that only its descriptor leads to, which children inherit as a careless library leaves it.
fn held_file(mark: &str, folder: &Path) -> File {
    let path = folder.join("held");
    std::fs::write(&path, secret(mark, "descriptor")).unwrap();
    let held = File::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    fcntl(&held, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    held
}

/// Another org's row; returns port and name of the database.
async fn plant_row(mark: &str, platform: &Platform) -> (String, String) {
    let mut conn = platform.connect().await;
    sqlx::query("CREATE TABLE planted (secret text)").execute(&mut conn).await.unwrap();
    sqlx::query("INSERT INTO planted VALUES ($1)").bind(secret(mark, "otherrow")).execute(&mut conn).await.unwrap();
    let server = platform.database.url.split(['/', '?']).nth(2).unwrap();
    (server.rsplit(':').next().unwrap().to_owned(), platform.database.name.clone())
}

fn source(url: String) -> Source {
    let column = |column: &isotherm_types::schema::Column| RelationColumn {
        name: column.name.to_owned(),
        sql_type: column.column_type.sql().to_owned(),
    };
    let columns = Dataset::Blocks.columns().iter().map(column).collect();
    let part = Part {
        chain_id: Some(CHAIN.0),
        hot_table: "blocks".to_owned(),
        hot_columns: vec!["block_number".to_owned()],
        cold: vec![ColdGroup { first_block: 0, last_block: OWN_BLOCKS - 1, urls: vec![url] }],
    };
    Source { relation: Relation { schema: None, name: "blocks".to_owned(), columns }, parts: vec![part] }
}
