//! What a condition may name: the columns of its dataset, the block's, and the decoded parameters.

use isotherm_types::Dataset;
use isotherm_types::schema::ColumnType;

use super::expression::{ColumnRead, Expression, Read, Typed};
use super::value::Type;

/// A parameter of the signature that a rule decodes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParameterName {
    pub(crate) name: String,
    pub(crate) kind: Type,
}

/// Everything that may be named in the conditions of one source.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    dataset: Dataset,
    parameters: Option<Vec<ParameterName>>,
}

/// Names of the block, and the columns that hold them.
const BLOCK: [(&str, &str); 3] = [("number", "block_number"), ("hash", "block_hash"), ("timestamp", "timestamp")];

impl Names {
    /// The names of `dataset`, and `args.…` if there are parameters.
    pub(crate) fn new(dataset: Dataset, parameters: Option<Vec<ParameterName>>) -> Self {
        Self { dataset, parameters }
    }

    /// What the name of these parts stands for.
    ///
    /// # Errors
    /// A sentence that says what there is instead.
    pub(crate) fn find(&self, parts: &[&str]) -> Result<Typed, String> {
        match parts {
            ["block", part] => {
                let column = BLOCK.iter().find(|(name, _)| name == part).and_then(|(_, column)| self.column(column));
                column.ok_or_else(|| {
                    format!("there is no `block.{part}`, but block.number, block.hash and block.timestamp")
                })
            }
            ["args", name] => self.parameter(name),
            ["block" | "args"] => {
                Err(format!("`{}` alone is no value: name a part of it, as in `block.number`", parts[0]))
            }
            [name] => self.column(name).ok_or_else(|| self.unknown(name)),
            _ => Err(format!("there is no `{}`", parts.join("."))),
        }
    }

    fn parameter(&self, name: &str) -> Result<Typed, String> {
        let Some(parameters) = &self.parameters else {
            return Err("only a source with `event` or `call` has `args`".to_owned());
        };
        let place = parameters.iter().position(|parameter| parameter.name == name);
        let place = place.ok_or_else(|| {
            let names: Vec<_> = parameters.iter().map(|parameter| format!("args.{}", parameter.name)).collect();
            if names.is_empty() {
                return format!("there is no `args.{name}`: the signature has no parameters");
            }
            format!("there is no `args.{name}`, but {}", names.join(", "))
        })?;
        Ok(Typed { expression: Expression::Argument(place), kind: parameters[place].kind.clone() })
    }

    /// The column called `name`.
    pub(crate) fn column(&self, name: &str) -> Option<Typed> {
        let (stored, read) = match (self.dataset, name) {
            // Exact, whatever the amount; the decimal column of this name is absent at 10^38 wei.
            (Dataset::Transactions, "value") => ("value_binary", Read::Unsigned),
            (Dataset::Traces, "action_value") => (name, Read::Decimal),
            (_, "timestamp") => (name, Read::Time),
            _ => (name, Read::Plain),
        };
        let column = self.dataset.columns().iter().position(|column| column.name == stored)?;
        let kind = match read {
            Read::Unsigned | Read::Decimal => Type::Int,
            Read::Time => Type::Time,
            Read::Plain => match self.dataset.columns()[column].column_type {
                ColumnType::UInt32 | ColumnType::UInt64 | ColumnType::Decimal => Type::Int,
                ColumnType::Boolean => Type::Bool,
                ColumnType::Text => Type::Text,
                ColumnType::Bytes => Type::Bytes(None),
                ColumnType::FixedBytes(length) => Type::Bytes(Some(usize::from(length))),
                // Rounded: nothing is to be compared with it.
                ColumnType::Float64 => return None,
            },
        };
        Some(Typed { expression: Expression::Column(ColumnRead { column, read }), kind })
    }

    /// Names of all columns that there are.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.dataset.columns().iter().map(|column| column.name).filter(|name| self.column(name).is_some())
    }

    fn unknown(&self, name: &str) -> String {
        let near = self.columns().filter(|column| is_near(column, name)).collect::<Vec<_>>();
        let has_parameter =
            self.parameters.iter().flatten().any(|parameter| parameter.name == name).then(|| format!("args.{name}"));
        if let Some(parameter) = has_parameter {
            return format!("there is no `{name}`; the parameter is `{parameter}`");
        }
        let dataset = self.dataset;
        if name == "value_f64" {
            return "`value_f64` is rounded; `value` is the same amount, exact".to_owned();
        }
        match near.first() {
            Some(near) => format!("the rows of {dataset} have no `{name}`; is it `{near}`?"),
            None => format!("the rows of {dataset} have no `{name}`; docs/data-model.md lists their columns"),
        }
    }
}

/// Whether `name` may be a slip for `column`.
fn is_near(column: &str, name: &str) -> bool {
    let begins_alike = name.get(..3).is_some_and(|start| column.starts_with(start));
    begins_alike || (name.len() >= 3 && column.contains(name)) || name.contains(column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_but_the_rounded_one_has_a_name_and_a_type() {
        for dataset in Dataset::ALL {
            let names = Names::new(dataset, None);
            for column in dataset.columns() {
                let found = names.find(&[column.name]);
                assert_eq!(found.is_ok(), column.name != "value_f64", "{dataset}.{}", column.name);
            }
            assert_eq!(names.find(&["timestamp"]).unwrap().kind, Type::Time);
            assert_eq!(names.find(&["block", "hash"]).unwrap().kind, Type::Bytes(Some(32)));
        }
        let amounts = [(Dataset::Transactions, "value"), (Dataset::Traces, "action_value")];
        for (dataset, name) in amounts {
            assert_eq!(Names::new(dataset, None).find(&[name]).unwrap().kind, Type::Int);
        }
    }

    #[test]
    fn a_wrong_name_is_answered_with_what_there_is() {
        let parameters = vec![ParameterName { name: "to".to_owned(), kind: Type::Bytes(Some(20)) }];
        let names = Names::new(Dataset::Logs, Some(parameters));
        for (parts, answer) in [
            (&["adress"][..], "docs/data-model.md"),
            (&["topic"], "topic0"),
            (&["to"], "args.to"),
            (&["args", "from"], "args.to"),
            (&["args"], "alone"),
            (&["block", "miner"], "block.number"),
            (&["tx", "value"], "there is no `tx.value`"),
        ] {
            let error = names.find(parts).unwrap_err();
            assert!(error.contains(answer), "{parts:?}: {error}");
        }
        let plain = Names::new(Dataset::Transactions, None);
        assert!(plain.find(&["args", "to"]).unwrap_err().contains("event"));
        assert!(plain.find(&["value_f64"]).unwrap_err().contains("rounded"));
    }
}
