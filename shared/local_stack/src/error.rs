//! What can go wrong with the local stack and with packaging. Read by the person who starts it.

use std::path::PathBuf;

use isotherm_types::disposition::{Classified, Disposition};

use crate::stack_file::StackFaults;

/// A failure of the local stack.
#[derive(Debug, thiserror::Error)]
pub enum LocalStackError {
    /// The stack file has faults.
    #[error(transparent)]
    Stack(#[from] StackFaults),
    /// A file or a process could not be handled.
    #[error("cannot {action} {path}")]
    Io {
        /// The attempted action, as a verb.
        action: &'static str,
        /// What it was attempted on.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A program that the stack runs has not been built, or a library has not been fetched.
    #[error("{path} is missing; build the workspace and run `./isotherm tools`")]
    FileMissing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A zip could not be written.
    #[error("cannot zip {entry}")]
    Zip {
        /// The entry's name in the zip.
        entry: String,
        /// Why.
        #[source]
        source: zip::result::ZipError,
    },
    /// A file that must not be released as it is.
    #[error("{path} cannot be released: {faults}")]
    Unportable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        faults: String,
    },
    /// A function that Lambda would refuse for its size.
    #[error("function {key} has {size_bytes} bytes unpacked, and Lambda takes {most_bytes} at most")]
    TooLarge {
        /// The function's key in the stack file.
        key: String,
        /// What its files have together.
        size_bytes: u64,
        /// The limit.
        most_bytes: u64,
    },
    /// The recipe of an image is not what such an image needs.
    #[error("{path} does not make the operator's image: {faults}")]
    Recipe {
        /// The Dockerfile.
        path: PathBuf,
        /// What is wrong with it.
        faults: String,
    },
    /// The emulator refused a call or did not answer.
    #[error("AWS, or the emulator in its place, did not {action}")]
    Aws {
        /// What was asked of it.
        action: String,
        /// Its answer.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The emulator's answer lacks a field that AWS always fills.
    #[error("AWS, or the emulator in its place, did {action}, but its answer has no `{field}`")]
    Answer {
        /// What was asked of it.
        action: String,
        /// The field.
        field: &'static str,
    },
    /// Something that the stack names has no address yet.
    #[error("no address is known for {kind} `{name}`")]
    Unresolved {
        /// Queue, bucket or secret.
        kind: &'static str,
        /// Its key in the stack file.
        name: String,
    },
    /// An entry of the list of hosts that nobody could be reached by.
    #[error("{entry:?} is no host that may be allowed; write rpc.example.com, *.example.com, or host:port")]
    AllowedHost {
        /// The entry.
        entry: String,
    },
    /// A schedule expression that AWS would refuse.
    #[error("trigger {trigger_id} has an unusable schedule `{expression}`")]
    Schedule {
        /// The trigger.
        trigger_id: i64,
        /// Its expression.
        expression: String,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl LocalStackError {
    /// Builds an [`LocalStackError::Io`], for `map_err`.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// Builds an [`LocalStackError::Aws`], for `map_err`.
    pub(crate) fn aws<E>(action: impl Into<String>) -> impl FnOnce(E) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let action = action.into();
        move |source| Self::Aws { action, source: Box::new(source) }
    }

    /// Builds an [`LocalStackError::Answer`], for `ok_or_else`.
    pub(crate) fn answer(action: impl Into<String>, field: &'static str) -> impl FnOnce() -> Self {
        let action = action.into();
        move || Self::Answer { action, field }
    }
}

impl Classified for LocalStackError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Aws { .. } => Disposition::Retry,
            Self::Stack(_)
            | Self::Io { .. }
            | Self::FileMissing { .. }
            | Self::Zip { .. }
            | Self::Unportable { .. }
            | Self::TooLarge { .. }
            | Self::Recipe { .. }
            | Self::Answer { .. }
            | Self::Unresolved { .. }
            | Self::AllowedHost { .. }
            | Self::Schedule { .. } => Disposition::GiveUp,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Stack(_) => "stack.invalid",
            Self::Io { .. } => "stack.io",
            Self::FileMissing { .. } => "stack.file_missing",
            Self::Zip { .. } => "stack.zip",
            Self::Unportable { .. } => "stack.unportable",
            Self::TooLarge { .. } => "stack.too_large",
            Self::Recipe { .. } => "stack.recipe",
            Self::Aws { .. } => "stack.aws",
            Self::Answer { .. } => "stack.aws_answer",
            Self::Unresolved { .. } => "stack.unresolved",
            Self::AllowedHost { .. } => "stack.allowed_host",
            Self::Schedule { .. } => "stack.schedule",
        }
    }
}
