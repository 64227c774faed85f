//! Plays the parent: starts the real program and talks frames with it.

use std::io::Cursor;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};

use arrow::array::{Array, ArrayRef, BinaryArray, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use isotherm_sql_sandbox::frames::{self, Frame};
use isotherm_types::sandbox::{
    ALLOCATOR_SETTINGS, ColdGroup, Failure, KIND_ARROW, KIND_JSON, Limits, Part, Relation, RelationColumn, Request,
    Response, Scan, Source,
};

/// Ports of the object stores that this process has started: sandboxes may connect to those that were there before them.
pub(crate) static STORE_PORTS: Mutex<Vec<u16>> = Mutex::new(Vec::new());

const MIB: u64 = 1024 * 1024;

pub(crate) struct Sandbox {
    pub(crate) child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) columns: Vec<RelationColumn>,
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) rows: u64,
    pub(crate) truncated: bool,
    /// Lengths of the frames that the rows came in.
    pub(crate) frame_bytes: Vec<usize>,
}

impl Sandbox {
    pub(crate) fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_isotherm-sql-sandbox"))
            .env_clear()
            .envs([ALLOCATOR_SETTINGS])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().unwrap();
        Self { child, stdin, stdout }
    }

    /// Starts a program and opens its session with room enough for every test.
    pub(crate) fn open() -> Self {
        let mut sandbox = Self::start();
        let answer = sandbox.ask(&Request::Open(limits()));
        assert!(matches!(answer, Ok(Response::Opened { .. })), "{answer:?}");
        sandbox
    }

    pub(crate) fn send(&mut self, request: &Request) {
        frames::write(self.stdin.as_mut().unwrap(), KIND_JSON, &serde_json::to_vec(request).unwrap()).unwrap();
    }

    pub(crate) fn send_raw(&mut self, kind: u8, payload: &[u8]) {
        frames::write(self.stdin.as_mut().unwrap(), kind, payload).unwrap();
    }

    pub(crate) fn ask(&mut self, request: &Request) -> Result<Response, Failure> {
        self.send(request);
        self.receive()
    }

    pub(crate) fn receive(&mut self) -> Result<Response, Failure> {
        match frames::read(&mut self.stdout).unwrap() {
            Some(Frame::Json(payload)) => match serde_json::from_slice(&payload).unwrap() {
                Response::Failed(failure) => Err(failure),
                response => Ok(response),
            },
            other => panic!("expected a message, got {other:?}"),
        }
    }

    pub(crate) fn parse(&mut self, sql: &str) -> Result<String, Failure> {
        match self.ask(&Request::Parse { sql: sql.to_owned() })? {
            Response::Parsed { tree } => Ok(tree),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn plan(&mut self, tree: &str) -> Result<Vec<Scan>, Failure> {
        match self.ask(&Request::Plan { tree: tree.to_owned(), relations: vec![relation()] })? {
            Response::Planned { scans } => Ok(scans),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn prepare(&mut self, hot_columns: &[&str], cold: Vec<ColdGroup>) -> Result<Response, Failure> {
        let hot_columns = hot_columns.iter().map(|&name| name.to_owned()).collect();
        let parts = vec![Part { chain_id: Some(1), hot_table: "blocks".to_owned(), hot_columns, cold }];
        self.ask(&Request::Prepare { sources: vec![Source { relation: relation(), parts }] })
    }

    pub(crate) fn send_rows(&mut self, batch: &RecordBatch) {
        assert!(self.try_send_rows(batch), "the sandbox has hung up");
    }

    /// Announces rows and sends them; `false` if the sandbox has hung up.
    pub(crate) fn try_send_rows(&mut self, batch: &RecordBatch) -> bool {
        let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
        writer.write(batch).unwrap();
        let announcement = serde_json::to_vec(&Request::Rows { hot_table: "blocks".to_owned() }).unwrap();
        let stdin = self.stdin.as_mut().unwrap();
        frames::write(stdin, KIND_JSON, &announcement)
            .and_then(|()| frames::write(stdin, KIND_ARROW, &writer.into_inner().unwrap()))
            .is_ok()
    }

    pub(crate) fn run(&mut self, tree: &str, max_rows: u64, timeout_ms: u64) -> Result<Answer, Failure> {
        self.send(&Request::Run { tree: tree.to_owned(), max_rows, max_bytes: 64 * MIB, timeout_ms });
        let Response::Columns { columns } = self.receive()? else { panic!("expected columns") };
        let (mut stream, mut frame_bytes) = (Vec::new(), Vec::new());
        loop {
            match frames::read(&mut self.stdout).unwrap() {
                Some(Frame::Arrow(piece)) => {
                    frame_bytes.push(piece.len());
                    stream.extend(piece);
                }
                Some(Frame::Json(payload)) => match serde_json::from_slice(&payload).unwrap() {
                    Response::Done { rows, truncated } => {
                        let reader = StreamReader::try_new(Cursor::new(stream), None).unwrap();
                        let batches = reader.map(Result::unwrap).collect();
                        return Ok(Answer { columns, batches, rows, truncated, frame_bytes });
                    }
                    Response::Failed(failure) => return Err(failure),
                    other => panic!("{other:?}"),
                },
                None => panic!("the sandbox ended inside an answer"),
            }
        }
    }

    pub(crate) fn hang_up(&mut self) {
        self.stdin = None;
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs `sql` without a gate over `hot` rows and `cold` files; the first failure of any step is the result.
pub(crate) fn query(sql: &str, hot: Option<&RecordBatch>, cold: Vec<ColdGroup>) -> Result<Answer, Failure> {
    let mut sandbox = Sandbox::open();
    let tree = sandbox.parse(sql)?;
    sandbox.prepare(&["block_number", "block_hash"], cold)?;
    if let Some(batch) = hot {
        sandbox.send_rows(batch);
    }
    sandbox.run(&tree, 1_000_000, 20_000)
}

pub(crate) fn limits() -> Limits {
    Limits {
        memory_bytes: 256 * MIB,
        writable_bytes: 4 * 1024 * MIB,
        address_space_bytes: 8 * 1024 * MIB,
        cpu_seconds: 120,
        threads: 2,
        spill: None,
        httpfs: httpfs(),
        ports: STORE_PORTS.lock().unwrap().clone(),
    }
}

/// The extension that `./isotherm tools` unpacks.
pub(crate) fn httpfs() -> Option<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../.tools/duckdb/extensions/httpfs.duckdb_extension");
    let path = path.canonicalize().unwrap_or_else(|error| {
        panic!("{} cannot be read ({error}); run `./isotherm tools` to fetch it", path.display())
    });
    path.to_str().map(str::to_owned)
}

pub(crate) fn relation() -> Relation {
    let column = |name: &str, sql_type: &str| RelationColumn { name: name.to_owned(), sql_type: sql_type.to_owned() };
    Relation {
        schema: None,
        name: "blocks".to_owned(),
        columns: vec![column("block_number", "UINTEGER"), column("block_hash", "BLOB"), column("gas_used", "UBIGINT")],
    }
}

/// Rows with these numbers; each hash is its number, four bytes, big endian.
pub(crate) fn rows(numbers: impl IntoIterator<Item = u32>) -> RecordBatch {
    let numbers: Vec<u32> = numbers.into_iter().collect();
    let hashes: Vec<[u8; 4]> = numbers.iter().map(|number| number.to_be_bytes()).collect();
    let schema = Schema::new(vec![
        Field::new("block_number", DataType::UInt32, false),
        Field::new("block_hash", DataType::Binary, false),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(UInt32Array::from(numbers)),
        Arc::new(BinaryArray::from_iter_values(hashes.iter().map(<[u8; 4]>::as_slice))),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

/// The first value of an answer, as text.
pub(crate) fn first_value(answer: &Answer) -> String {
    let batch = answer.batches.iter().find(|batch| batch.num_rows() > 0).expect("the answer has a row");
    let column = batch.column(0);
    assert!(!column.is_null(0));
    arrow::util::display::array_value_to_string(column, 0).unwrap()
}
