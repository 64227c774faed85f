//! Small messages leave at once.
//!
//! The rows of a COPY and the word that they are all are two writes. Where a socket gathers small writes (Nagle's
//! algorithm, RFC 896) and the other side thinks its acknowledgement over (RFC 1122, 4.2.3.2: up to 500 ms, on Linux 40),
//! the second waits for the first to be acknowledged: 40 ms for each COPY, three or four times a block. The driver has
//! no setting for it and does not show its sockets.

use std::os::fd::RawFd;

use nix::libc;

/// Has every TCP socket of this process send what it is given at once; other files are left as they are.
pub(super) fn send_at_once() {
    let Ok(files) = std::fs::read_dir("/proc/self/fd") else { return };
    let numbers = files.filter_map(|file| file.ok()?.file_name().to_str()?.parse().ok());
    numbers.for_each(set_nodelay);
}

#[expect(unsafe_code, reason = "the safe call needs a file that this module owns")]
fn set_nodelay(file: RawFd) {
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of_val(&on)).expect("an int has four bytes");
    // SAFETY: the kernel copies `length` bytes of `on`, which outlives the call. A number that is closed by now, or is
    // no TCP socket, is refused, and that is all right.
    unsafe { libc::setsockopt(file, libc::IPPROTO_TCP, libc::TCP_NODELAY, (&raw const on).cast(), length) };
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_socket_that_gathers_does_so_no_more() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        // Sockets do so by default. Other tests of this process may have changed this one already.
        send_at_once();
        assert!(socket.nodelay().unwrap());
    }
}
