//! Functions for chain data that users' SQL may call: docs/sql.md.
//!
//! Some are Rust over the crate's scalar functions, the rest SQL macros around them. Each looks at its arguments and at
//! nothing else: no file, no setting, no clock, no other row. The gate's list names those that users may call
//! (`shared/query/src/gate/functions.rs`); what only a macro calls is not on it.
//!
//! DuckDB hands over flat vectors, and the crate turns them into Arrow arrays and back, NULLs included; it also turns a
//! panic into an error of the query, so nothing unwinds into DuckDB. Argument types are those of the signatures.
//! Work and memory follow the length of the arguments, never a length that they declare.

mod abi;
mod bytes;
mod decode;
mod numbers;
mod signature;

use std::error::Error;
use std::marker::PhantomData;

use arrow::array::{ArrayRef, RecordBatch};
use duckdb::Connection;
use duckdb::core::{DataChunkHandle, LogicalTypeHandle, LogicalTypeId};
use duckdb::vscalar::{ScalarFunctionSignature, VScalar};
use duckdb::vtab::arrow::{WritableVector, data_chunk_to_arrow, write_arrow_array_to_vector};

use crate::error::SandboxError;

/// What SQL can say itself. Division and remainder by a power of ten are exact, and so is what is added to them.
/// DuckDB 1.5.5 casts no BIGNUM above 64 bits to HUGEINT, so that goes through its text.
/// A call with a literal NULL is NULL before it reaches a function, hence the `coalesce` over topics that are absent.
const MACROS: &str = "
CREATE MACRO wei_as_hugeint(wei) AS
    CASE WHEN typeof(wei) = 'BIGNUM' THEN CAST(CAST(wei AS VARCHAR) AS HUGEINT) ELSE CAST(wei AS HUGEINT) END;
CREATE MACRO wei_to_eth(wei) AS
    CAST(wei_as_hugeint(wei) // CAST(1000000000000000000 AS HUGEINT) AS DECIMAL(38, 18))
    + CAST(wei_as_hugeint(wei) % CAST(1000000000000000000 AS HUGEINT) AS DECIMAL(18, 0))
        * CAST('0.000000000000000001' AS DECIMAL(18, 18));
CREATE MACRO wei_to_gwei(wei) AS
    CAST(wei_as_hugeint(wei) // CAST(1000000000 AS HUGEINT) AS DECIMAL(38, 9))
    + CAST(wei_as_hugeint(wei) % CAST(1000000000 AS HUGEINT) AS DECIMAL(9, 0)) * CAST('0.000000001' AS DECIMAL(9, 9));
CREATE MACRO bytes_to_uint256(bytes) AS CAST(bytes_to_uint256_text(bytes) AS BIGNUM);
CREATE MACRO bytes_to_int256(bytes) AS CAST(bytes_to_int256_text(bytes) AS BIGNUM);
CREATE MACRO bytearray_to_uint256(bytes) AS CAST(bytes_to_uint256_text(bytes) AS BIGNUM);
CREATE MACRO bytearray_to_int256(bytes) AS CAST(bytes_to_int256_text(bytes) AS BIGNUM);
CREATE MACRO bytearray_substring(bytes, first_byte, byte_count) AS bytes_substring(bytes, first_byte, byte_count);
CREATE MACRO uint256_to_bytes(number) AS text_to_uint256_bytes(CAST(number AS VARCHAR));
CREATE MACRO decode_log(signature, topic0, topic1, topic2, topic3, data) AS
    decode_log_of_topics(signature,
        coalesce(topic0, ''::BLOB) || coalesce(topic1, ''::BLOB) || coalesce(topic2, ''::BLOB)
        || coalesce(topic3, ''::BLOB), data);
";

/// Makes one function known.
type Register = fn(&Connection) -> Result<(), duckdb::Error>;

/// Makes the functions known to an instance. Must come before it is locked.
///
/// # Errors
/// [`SandboxError::Engine`] if DuckDB refuses one.
pub fn register(connection: &Connection) -> Result<(), SandboxError> {
    let functions: [Register; 14] = [
        add::<bytes::TopicToAddress>,
        add::<bytes::AddressToTopic>,
        add::<bytes::BytesSubstring>,
        add::<bytes::ToHex>,
        add::<bytes::FromHex>,
        add::<bytes::Keccak256>,
        add::<numbers::Uint256Text>,
        add::<numbers::Int256Text>,
        add::<numbers::Uint64>,
        add::<numbers::Uint256Bytes>,
        add::<decode::FunctionSelector>,
        add::<decode::EventTopic>,
        add::<decode::DecodeCall>,
        add::<decode::DecodeLog>,
    ];
    functions
        .into_iter()
        .try_for_each(|add| add(connection))
        .and_then(|()| connection.execute_batch(MACROS))
        .map_err(SandboxError::engine("make the functions for chain data"))
}

/// A function over the rows of its arguments.
trait RowFunction {
    /// Its name in SQL.
    const NAME: &'static str;
    /// Its name in errors: that of the macro, if users call it through one.
    const SHOWN: &'static str = Self::NAME;

    /// Types of arguments and result; several are overloads.
    fn signatures() -> Vec<ScalarFunctionSignature>;

    /// The results, as many as `input` has rows.
    ///
    /// # Errors
    /// [`FunctionError`] ends the query.
    fn rows(input: &RecordBatch) -> Result<ArrayRef, FunctionError>;
}

/// Why a function cannot answer, for the asker.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{function}: {problem}")]
struct FunctionError {
    function: &'static str,
    problem: String,
}

/// An error of the function `F`.
fn error<F: RowFunction>(problem: &str) -> FunctionError {
    FunctionError { function: F::SHOWN, problem: problem.to_owned() }
}

/// A [`RowFunction`] as DuckDB calls it.
struct Registered<F>(PhantomData<F>);

impl<F: RowFunction> VScalar for Registered<F> {
    type State = ();

    fn invoke(
        _state: &Self::State,
        input: &mut DataChunkHandle,
        output: &mut dyn WritableVector,
    ) -> Result<(), Box<dyn Error>> {
        let rows = F::rows(&data_chunk_to_arrow(input)?)?;
        write_arrow_array_to_vector(&rows, output)
    }

    fn signatures() -> Vec<ScalarFunctionSignature> {
        F::signatures()
    }
}

fn add<F: RowFunction>(connection: &Connection) -> Result<(), duckdb::Error> {
    connection.register_scalar_function::<Registered<F>>(F::NAME)
}

/// A signature of plain types.
fn exact<const N: usize>(arguments: [LogicalTypeId; N], result: LogicalTypeId) -> ScalarFunctionSignature {
    let arguments = arguments.into_iter().map(LogicalTypeHandle::from).collect();
    ScalarFunctionSignature::exact(arguments, result.into())
}
