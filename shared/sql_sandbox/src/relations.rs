//! How a relation is spelled: its quoted name, and the list of columns that it shows.

use crate::engine::{identifier, literal, sql_type};
use crate::error::SandboxError;
use isotherm_types::sandbox::{BLOCK_TIME, CHAIN_ID, Relation, RelationColumn, TIMESTAMP};

/// The relation's name as SQL can name it, quoted.
///
/// # Errors
/// [`SandboxError::Protocol`] for a character that no such name has.
pub(crate) fn qualified(relation: &Relation) -> Result<String, SandboxError> {
    let name = identifier(&relation.name)?;
    Ok(match &relation.schema {
        Some(chain) => format!("{}.{name}", schema(chain)?),
        None => name,
    })
}

/// Makes the relation's schema, if it has one and it is not there yet; empty text otherwise.
///
/// # Errors
/// As [`qualified`].
pub(crate) fn create_schema(relation: &Relation) -> Result<String, SandboxError> {
    match &relation.schema {
        Some(chain) => Ok(format!("CREATE SCHEMA IF NOT EXISTS {};\n", schema(chain)?)),
        None => Ok(String::new()),
    }
}

/// Columns as the definition of a table has them.
///
/// # Errors
/// [`SandboxError::Protocol`] for a name or a type that is not spelled as one.
pub(crate) fn definitions<'a>(columns: impl IntoIterator<Item = &'a RelationColumn>) -> Result<String, SandboxError> {
    let definition = |column: &RelationColumn| -> Result<String, SandboxError> {
        Ok(format!("{} {}", identifier(&column.name)?, sql_type(&column.sql_type)?))
    };
    Ok(columns.into_iter().map(definition).collect::<Result<Vec<_>, _>>()?.join(", "))
}

/// What a SELECT over stored rows shows of them: each column by `shown`, which gets its name quoted, and last of all
/// [`BLOCK_TIME`] by `shown` of [`TIMESTAMP`].
///
/// # Errors
/// As [`definitions`].
pub(crate) fn list(relation: &Relation, shown: &Shown<'_>) -> Result<String, SandboxError> {
    let mut list = Vec::with_capacity(relation.columns.len() + 1);
    for column in &relation.columns {
        let (name, sql_type) = (identifier(&column.name)?, sql_type(&column.sql_type)?);
        list.push(match shown.chain_id {
            Some(chain_id) if column.name == CHAIN_ID => format!("CAST({chain_id} AS {sql_type}) AS {name}"),
            _ if shown.has(&column.name) => name,
            _ => shown.absent(relation, &column.name, sql_type)?,
        });
    }
    if relation.columns.iter().any(|column| column.name == TIMESTAMP) {
        list.push(if shown.has(TIMESTAMP) {
            let (seconds, name) = (identifier(TIMESTAMP)?, identifier(BLOCK_TIME)?);
            format!("make_timestamp(CAST({seconds} AS BIGINT) * 1000000) AS {name}")
        } else {
            shown.absent(relation, BLOCK_TIME, "TIMESTAMP")?
        });
    }
    Ok(list.join(", "))
}

/// Of which rows a list of columns is.
pub(crate) struct Shown<'a> {
    /// The chain of all of them; absent if each row says it itself.
    pub(crate) chain_id: Option<u64>,
    /// The columns that they have; absent if they have all.
    pub(crate) columns: Option<&'a [String]>,
}

impl Shown<'_> {
    fn has(&self, name: &str) -> bool {
        self.columns.is_none_or(|columns| columns.iter().any(|column| column == name))
    }

    /// Columns that were not fetched raise an error when they are read, so that a wrong plan is never a wrong answer.
    fn absent(&self, relation: &Relation, name: &str, sql_type: &str) -> Result<String, SandboxError> {
        let words = literal(&format!("{}.{name} was not fetched", relation.full_name()));
        Ok(format!("CAST(error({words}) AS {sql_type}) AS {}", identifier(name)?))
    }
}

fn schema(name: &str) -> Result<String, SandboxError> {
    let plain = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
    if name.is_empty() || !plain {
        return Err(SandboxError::Protocol { what: "a schema holds other than lower-case letters, digits, _ and -" });
    }
    Ok(format!("\"{name}\""))
}
