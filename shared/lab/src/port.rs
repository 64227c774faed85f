//! Ports for servers of the laboratory, without races between test processes.
//!
//! A port that is free now may be taken before the server binds it. So a port comes with a lease: an abstract Unix
//! socket named after it, which no second process can hold, and which the kernel drops with its holder. The range lies
//! below the kernel's ports for outgoing connections, so that no client takes one in between either.

use std::ops::Range;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;

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

    /// The port that the server of `folder` had in its last run, if it is free, else a free one; remembered either way.
    ///
    /// Kept state names addresses: a server that comes back under its old one finds it true.
    ///
    /// # Errors
    /// As [`Port::free`]; a folder that cannot be written.
    pub fn remembered(folder: &Path) -> Result<Self, LabError> {
        let file = folder.join("port");
        let last = std::fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok());
        let port = match last.and_then(Self::lease) {
            Some(port) => port,
            None => Self::free()?,
        };
        std::fs::create_dir_all(folder).map_err(LabError::io("create", folder))?;
        std::fs::write(&file, port.number.to_string()).map_err(LabError::io("write", &file))?;
        Ok(port)
    }

    /// This very port, unless somebody has it.
    fn lease(number: u16) -> Option<Self> {
        let name = SocketAddr::from_abstract_name(format!("isotherm-lab-port-{number}")).ok()?;
        let lease = UnixListener::bind_addr(&name).ok()?;
        std::net::TcpListener::bind(("127.0.0.1", number)).ok()?;
        Some(Self { number, _lease: Some(lease) })
    }

    fn free_in(ports: Range<u16>) -> Result<Self, LabError> {
        for _ in 0..200 {
            if let Some(port) = Self::lease(rand::random_range(ports.clone())) {
                return Ok(port);
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
    fn a_folder_gets_its_port_back_unless_somebody_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = Port::remembered(folder.path()).unwrap();
        let number = first.number();
        let other = Port::remembered(folder.path()).unwrap();
        assert_ne!(other.number(), number, "the first still holds it");
        drop((first, other));
        let again = Port::remembered(folder.path()).unwrap().number();
        assert_eq!(Port::remembered(folder.path()).unwrap().number(), again);
    }

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
