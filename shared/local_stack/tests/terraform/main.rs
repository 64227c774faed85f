//! What Terraform makes of the stack file: the real `terraform`, with a stand-in for AWS behind it.
//!
//! Each rule is a function from resources to faults. It is shown to find none in what there is, and to find a mistake that is
//! planted there. A stand-in proves names, references and wiring; it does not prove what AWS itself would refuse.

mod alarms;
mod containers;
mod contract;
mod encryption;
mod metrics;
mod network;
mod protection;
mod queues;
mod rendered;
mod resources;
mod roles;
mod runbooks;
mod secrets;
mod targets;
mod variables;
