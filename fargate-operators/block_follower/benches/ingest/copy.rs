//! The limit leg: bare binary COPY of bytes that are ready.

use isotherm_hot_store::copy;
use isotherm_types::Dataset;
use sqlx::{Connection as _, PgConnection};

use crate::rows::Group;

/// Encodes the rows at once, and returns what writes them.
pub(crate) fn write(conn: &mut PgConnection, groups: &[Group]) -> impl Future<Output = ()> {
    let ready: Vec<_> = groups.iter().map(encode).collect();
    async move {
        for group in &ready {
            let mut db_tx = conn.begin().await.expect("a transaction");
            for (statement, bytes) in group {
                let mut copy_in = db_tx.copy_in_raw(statement).await.expect("a COPY");
                copy_in.send(bytes.as_slice()).await.expect("the rows are sent");
                copy_in.finish().await.expect("the rows are taken");
            }
            db_tx.commit().await.expect("a commit");
        }
    }
}

/// A statement and its bytes for each dataset.
fn encode(group: &Group) -> Vec<(String, Vec<u8>)> {
    let bytes = |rows| copy::encode(rows).expect("the values fit");
    group.0.iter().map(|(dataset, rows)| (statement(*dataset), bytes(rows))).collect()
}

fn statement(dataset: Dataset) -> String {
    let names: Vec<&str> = dataset.columns().iter().map(|column| column.name).collect();
    format!("COPY hot.{dataset} ({}) FROM STDIN (FORMAT binary)", names.join(", "))
}
