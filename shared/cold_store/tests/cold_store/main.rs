//! Cold storage against a real S3 protocol, a real Postgres and a real Parquet reader.

mod bucket;
mod objects;
mod parquet_files;
mod rows;
mod write_protocol;
