//! Cold storage against a real S3 protocol, a real Postgres and a real Parquet reader.

mod bucket;
mod garbage;
mod growth;
mod integrity;
mod merging;
mod objects;
mod parquet_files;
mod reading;
mod restoring;
mod roots;
mod rows;
mod waiting;
mod write_protocol;
