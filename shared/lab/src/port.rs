//! Ports for servers of the laboratory, without races between test processes.
//!
//! A port that is free now may be taken before the server binds it. So a port comes with a lease: an abstract Unix
//! socket named after it, which no second process can hold, and which the kernel drops with its holder. The range lies
//! below the kernel's ports for outgoing connections, so that no client takes one in between either.

use std::ops::Range;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use crate::LabError;

const PORTS: Range<u16> = 20_000..32_000;

/// A port on 127.0.0.1 that is ours until this is dropped.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// Absent for a port that the caller insists on.
    _lease: Option<UnixListener>,
}

impl Port {
    /// Leases a port that nobody listens on.
    ///
    /// # Errors
    /// [`LabError::NoFreePort`] if many tries fail.
    pub fn free() -> Result<Self, LabError> {
        Self::free_in(PORTS)
    }

    fn free_in(ports: Range<u16>) -> Result<Self, LabError> {
        for _ in 0..200 {
            let number = rand::random_range(ports.clone());
            let lease = SocketAddr::from_abstract_name(format!("isotherm-lab-port-{number}"))
                .and_then(|name| UnixListener::bind_addr(&name));
            if lease.is_ok() && std::net::TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Ok(Self { number, _lease: lease.ok() });
            }
        }
        Err(LabError::NoFreePort { first: ports.start, last: ports.end - 1 })
    }

    /// The port asked for, else a free one.
    ///
    /// # Errors
    /// As [`Port::free`].
    pub fn fixed_or_free(fixed: Option<u16>) -> Result<Self, LabError> {
        match fixed {
            Some(number) => Ok(Self { number, _lease: None }),
            None => Self::free(),
        }
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leased_port_is_given_to_nobody_else() {
        // Ten ports that nobody else is given; some may be in use by strangers.
        let ports: Vec<Port> = (0..30).map_while(|_| Port::free_in(19_990..20_000).ok()).collect();
        let mut numbers: Vec<u16> = ports.iter().map(Port::number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert!(!ports.is_empty());
        assert_eq!(numbers.len(), ports.len());
    }
}
