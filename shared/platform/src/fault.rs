//! The error of a shell: any error of the crates below, boxed, with its code and its disposition.
//!
//! Libraries keep their own enums; a Lambda or an operator that has nothing to add passes them on with `?`.

use isotherm_types::disposition::error_chain;
use isotherm_types::{Classified, Disposition, OperatorResult};

/// An error that can still say what to do about it and what it is called.
///
/// It is made by `?` from any [`Classified`] error. Like `anyhow::Error` it is no `std::error::Error` itself, for
/// otherwise that conversion could not exist.
pub struct Fault(Box<dyn Classified + Send + Sync>);

impl Fault {
    /// What to do.
    pub fn disposition(&self) -> Disposition {
        self.0.disposition()
    }

    /// Stable name, such as `config.invalid`.
    pub fn code(&self) -> &'static str {
        self.0.code()
    }

    /// The error and its causes as one line.
    pub fn message(&self) -> String {
        let mut text = self.0.to_string();
        if let Some(cause) = self.0.source() {
            text.push_str(": ");
            text.push_str(&error_chain(cause));
        }
        text
    }

    /// Whether it says that the database is away, so that a later try on a new connection may do better.
    pub fn is_database_away(&self) -> bool {
        let mut error: Option<&(dyn std::error::Error + 'static)> = Some(&*self.0);
        while let Some(cause) = error {
            if let Some(cause) = cause.downcast_ref::<sqlx::Error>() {
                return crate::database::is_away(cause);
            }
            error = cause.source();
        }
        false
    }

    /// The operator's last line that reports this error.
    pub fn to_operator_result(&self) -> OperatorResult {
        OperatorResult::Failed {
            code: self.code().to_owned(),
            message: self.message(),
            disposition: self.disposition(),
        }
    }
}

impl<E: Classified + Send + Sync + 'static> From<E> for Fault {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.message(), self.code())
    }
}

impl std::fmt::Debug for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read {key}")]
    struct Unreadable {
        key: &'static str,
        #[source]
        source: std::io::Error,
    }

    impl Classified for Unreadable {
        fn disposition(&self) -> Disposition {
            Disposition::Retry
        }
        fn code(&self) -> &'static str {
            "test.unreadable"
        }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("cannot ask")]
    struct Unasked(#[source] sqlx::Error);

    impl Classified for Unasked {
        fn disposition(&self) -> Disposition {
            Disposition::Retry
        }
        fn code(&self) -> &'static str {
            "test.unasked"
        }
    }

    #[test]
    fn a_fault_knows_whether_the_database_is_behind_it() {
        assert!(Fault::from(Unasked(sqlx::Error::PoolTimedOut)).is_database_away());
        assert!(!Fault::from(Unasked(sqlx::Error::RowNotFound)).is_database_away());
        let unreadable = Unreadable { key: "a/b", source: std::io::ErrorKind::TimedOut.into() };
        assert!(!Fault::from(unreadable).is_database_away());
    }

    #[test]
    fn a_fault_keeps_code_disposition_and_causes() {
        let fault = Fault::from(Unreadable { key: "a/b", source: std::io::Error::other("disk on fire") });
        assert_eq!(fault.code(), "test.unreadable");
        assert_eq!(fault.disposition(), Disposition::Retry);
        assert_eq!(fault.message(), "cannot read a/b: disk on fire");
        assert!(format!("{fault:?}").ends_with("(test.unreadable)"));
    }
}
