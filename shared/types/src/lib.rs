//! The words of the platform as types: block numbers and ranges, datasets and their columns, events, tasks,
//! and what to do about an error.
//!
//! Everything here is pure: no I/O, no clock but the one passed in, no environment. Every other crate builds on
//! this one and this one builds on none of them.

pub mod block;
pub mod clock;
pub mod commitments;
pub mod crash_point;
pub mod dataset;
pub mod disposition;
pub mod encoding;
pub mod event;
pub mod grants;
pub mod ids;
pub mod operator;
pub mod sandbox;
pub mod schema;
pub mod trace;

pub use block::{BlockNumber, BlockRange, BlockRef, ChainId, EmptyRange};
pub use clock::{Clock, SystemClock};
pub use commitments::{Commitments, Since};
pub use crash_point::CrashPoint;
pub use dataset::{Dataset, UnknownDataset};
pub use disposition::{Classified, Disposition};
pub use event::{Event, EventBody, Queue};
pub use grants::DatasetGrants;
pub use ids::{ChannelId, EventId, Fence, JobId, OrgId, RuleId, TaskId, TriggerId};
pub use operator::{Exit, OperatorLine, OperatorResult, TaskSpec};
pub use trace::TraceId;

pub use alloy::primitives::{Address, B256};
