//! Rows into a file, batch by batch.
//!
//! The cells of CSV and JSON lines are written by [`crate::render`]. Parquet has the columns as they left the sandbox:
//! bytes as bytes, decimals as decimals, and integers wider than 64 bits as text, since its widest integer is too narrow.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use isotherm_types::sandbox::RelationColumn;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde_json::Value;

use super::file::{BoundedFile, FileLimit, FinishedFile};
use super::{ResultFormat, unique_names};
use crate::error::QueryError;
use crate::render;

/// Rows of a row group, at most.
const ROW_GROUP_ROWS: usize = 128 * 1024;

/// Bytes of a row group, at most: so much is in memory before it goes to disk.
const ROW_GROUP_BYTES: usize = 32 << 20;

/// Level of compression; higher ones cost more time than they save bytes.
const ZSTD_LEVEL: i32 = 3;

/// Writes rows to a file without a name.
pub struct ResultWriter {
    format: ResultFormat,
    columns: Vec<RelationColumn>,
    names: Vec<String>,
    row_count: u64,
    limit: FileLimit,
    out: Out,
}

enum Out {
    Text(BoundedFile),
    Parquet { writer: Box<ArrowWriter<BoundedFile>>, schema: SchemaRef },
}

impl ResultWriter {
    /// Begins a file of at most `max_bytes` in `folder`. `schema` is that of the batches to come.
    ///
    /// # Errors
    /// [`QueryError::ResultFile`], [`QueryError::TooLarge`].
    pub fn create(
        format: ResultFormat,
        columns: &[RelationColumn],
        schema: &SchemaRef,
        folder: &Path,
        max_bytes: u64,
    ) -> Result<Self, QueryError> {
        let mut file = BoundedFile::create(folder, max_bytes)?;
        let limit = file.limit();
        let names = unique_names(columns);
        let out = match format {
            ResultFormat::Json => Out::Text(file),
            ResultFormat::Csv => {
                let header = render::csv(columns, &[], usize::MAX)?;
                file.write_all(header.as_bytes()).map_err(|error| limit.explain(error))?;
                Out::Text(file)
            }
            ResultFormat::Parquet => {
                let schema = renamed(schema, &names);
                let writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties()));
                let writer = writer.map_err(|error| limit.explain(std::io::Error::other(error)))?;
                Out::Parquet { writer: Box::new(writer), schema }
            }
        };
        Ok(Self { format, columns: columns.to_vec(), names, row_count: 0, limit, out })
    }

    /// Writes the rows of `batch`.
    ///
    /// # Errors
    /// [`QueryError::ResultFile`], [`QueryError::TooLarge`]; [`QueryError::Arrow`] for a batch of another schema.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), QueryError> {
        self.row_count += batch.num_rows() as u64;
        match (&mut self.out, self.format) {
            (Out::Text(file), ResultFormat::Csv) => {
                let header_bytes = render::csv(&self.columns, &[], usize::MAX)?.len();
                let text = render::csv(&self.columns, std::slice::from_ref(batch), usize::MAX)?;
                file.write_all(&text.as_bytes()[header_bytes..]).map_err(|error| self.limit.explain(error))
            }
            (Out::Text(file), ResultFormat::Json | ResultFormat::Parquet) => {
                let rows = render::json_rows(&self.columns, std::slice::from_ref(batch), usize::MAX)?;
                let text: String = rows.iter().map(|row| json_line(&self.names, row)).collect();
                file.write_all(text.as_bytes()).map_err(|error| self.limit.explain(error))
            }
            (Out::Parquet { writer, schema }, _) => {
                let batch = RecordBatch::try_new(Arc::clone(schema), batch.columns().to_vec())?;
                writer.write(&batch).map_err(|error| self.limit.explain(std::io::Error::other(error)))
            }
        }
    }

    /// Ends the file.
    ///
    /// # Errors
    /// As [`ResultWriter::write`].
    pub fn finish(self) -> Result<FinishedFile, QueryError> {
        let Self { format, row_count, limit, out, .. } = self;
        let file = match out {
            Out::Text(file) => file,
            Out::Parquet { writer, .. } => {
                writer.into_inner().map_err(|error| limit.explain(std::io::Error::other(error)))?
            }
        };
        file.finish(format, row_count)
    }
}

fn properties() -> WriterProperties {
    let level = ZstdLevel::try_new(ZSTD_LEVEL).expect("3 is a level of zstd");
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .build()
}

/// The schema with the columns' own names; out of the sandbox they have numbers. Any value may be absent.
fn renamed(schema: &SchemaRef, names: &[String]) -> SchemaRef {
    let field = |(field, name): (&Arc<Field>, &String)| field.as_ref().clone().with_name(name).with_nullable(true);
    Arc::new(Schema::new(schema.fields().iter().zip(names).map(field).collect::<Vec<_>>()))
}

/// One row as an object with its fields in the order of the columns.
fn json_line(names: &[String], row: &[Value]) -> String {
    let fields = names.iter().zip(row).map(|(name, value)| format!("{}:{value}", Value::from(name.as_str())));
    format!("{{{}}}\n", fields.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, BinaryArray, Decimal128Array, Int64Array, StringArray};
    use isotherm_types::Classified as _;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use serde_json::json;

    use super::*;

    const WIDE: &str = "340282366920938463463374607431768211455";

    fn answer() -> (Vec<RelationColumn>, RecordBatch) {
        let decimals = Decimal128Array::from(vec![Some(-5), Some(10_i128.pow(37))]);
        let columns: Vec<(&str, &str, ArrayRef)> = vec![
            ("n", "BIGINT", Arc::new(Int64Array::from(vec![Some(9_007_199_254_740_993), None]))),
            ("n", "HUGEINT", Arc::new(StringArray::from(vec![Some(WIDE), Some("7")]))),
            ("a,b", "BLOB", Arc::new(BinaryArray::from_opt_vec(vec![Some(b"\xAA"), None]))),
            ("d", "DECIMAL(38,0)", Arc::new(decimals.with_precision_and_scale(38, 0).unwrap())),
        ];
        let described = columns
            .iter()
            .map(|(name, sql_type, _)| RelationColumn { name: (*name).to_owned(), sql_type: (*sql_type).to_owned() });
        let described = described.collect();
        let numbered = columns.into_iter().enumerate().map(|(i, (_, _, array))| (format!("c{i}"), array, true));
        (described, RecordBatch::try_from_iter_with_nullable(numbered).unwrap())
    }

    fn written(format: ResultFormat) -> FinishedFile {
        let (columns, batch) = answer();
        let mut writer =
            ResultWriter::create(format, &columns, &batch.schema(), &std::env::temp_dir(), 1 << 20).unwrap();
        writer.write(&batch).unwrap();
        writer.write(&batch).unwrap();
        let file = writer.finish().unwrap();
        assert_eq!(file.row_count, 4);
        file
    }

    fn inline_rows() -> Vec<Vec<Value>> {
        let (columns, batch) = answer();
        render::json_rows(&columns, &[batch.clone(), batch], 1 << 20).unwrap()
    }

    #[test]
    fn json_lines_hold_the_cells_of_an_inline_answer() {
        let text = std::fs::read_to_string(written(ResultFormat::Json).path()).unwrap();
        let names = ["n", "n_1", "a,b", "d"];
        let rows: Vec<Vec<Value>> = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .map(|row| names.map(|name| row[name].clone()).to_vec())
            .collect();
        assert_eq!(rows, inline_rows());
        assert!(text.starts_with("{\"n\":\"9007199254740993\",\"n_1\":"), "in the order of the columns: {text}");
    }

    #[test]
    fn csv_in_pieces_is_csv_at_once() {
        let (columns, batch) = answer();
        let text = std::fs::read_to_string(written(ResultFormat::Csv).path()).unwrap();
        assert_eq!(text, render::csv(&columns, &[batch.clone(), batch], 1 << 20).unwrap());
    }

    #[test]
    fn parquet_reads_back_as_the_same_cells_under_the_columns_names() {
        let file = std::fs::File::open(written(ResultFormat::Parquet).path()).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>().unwrap();
        let names: Vec<_> = batches[0].schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(names, ["n", "n_1", "a,b", "d"]);
        assert_eq!(render::json_rows(&answer().0, &batches, 1 << 20).unwrap(), inline_rows());
    }

    #[test]
    fn an_answer_without_rows_is_a_whole_file() {
        let (columns, batch) = answer();
        for format in [ResultFormat::Json, ResultFormat::Csv, ResultFormat::Parquet] {
            let writer =
                ResultWriter::create(format, &columns, &batch.schema(), &std::env::temp_dir(), 1 << 20).unwrap();
            let file = writer.finish().unwrap();
            assert_eq!((file.row_count, file.digest.size_bytes == 0), (0, format == ResultFormat::Json));
        }
    }

    #[test]
    fn every_format_is_refused_at_the_limit_by_the_limits_own_name() {
        let (columns, batch) = answer();
        for format in [ResultFormat::Json, ResultFormat::Csv, ResultFormat::Parquet] {
            let file = |max_bytes| {
                let folder = std::env::temp_dir();
                let mut writer = ResultWriter::create(format, &columns, &batch.schema(), &folder, max_bytes)?;
                writer.write(&batch)?;
                writer.finish()
            };
            assert_eq!(file(40).unwrap_err().code(), "query.too_large", "{format:?}");
        }
    }

    #[test]
    fn a_line_is_one_json_value_whatever_the_names_are() {
        let line = json_line(&["a\"\n".to_owned()], &[json!("x\ny")]);
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), json!({ "a\"\n": "x\ny" }));
        assert_eq!(line.matches('\n').count(), 1);
    }
}
