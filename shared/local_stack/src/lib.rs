//! The local stack: `terraform/stack.yaml` carried out on an AWS emulator.
//!
//! [`stack_file`] reads and checks the file, [`environment`] derives every process's variables from it, [`package`]
//! makes the code zips, [`mod@provision`] creates what the file lists through the ordinary AWS SDK, [`schedules`] keeps the
//! schedules of users' cron triggers, and [`ecs_launcher`] is what the emulator lacks: it starts a process for each
//! running ECS task. Terraform reads the same file; nothing here may know of wiring that the file does not say.
//!
//! It must never talk to a real account by itself: every client is built for one endpoint, with made-up credentials. Who brings a
//! client of their own (`isotherm deploy`, for schedules) knows where it leads.

pub mod aws;
pub mod ecs_launcher;
pub mod egress;
pub mod environment;
pub mod error;
pub mod names;
pub mod package;
pub mod provision;
pub mod schedules;
pub mod stack_file;

pub use aws::LocalAws;
pub use error::LocalStackError;
pub use provision::{Provisioned, provision};
pub use stack_file::Stack;
