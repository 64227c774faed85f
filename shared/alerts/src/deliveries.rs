//! One message to one channel. Table `alerts.deliveries`.

pub mod enqueue;
