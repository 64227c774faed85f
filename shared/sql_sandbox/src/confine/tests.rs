//! What is told to be open is open, and all else is shut: on a kernel with Landlock and on one without.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::PathBuf;

use isotherm_types::sandbox::Spill;

use super::*;

/// Runs `act` on a thread of its own: what a thread gives up it does not get back.
fn on_a_thread<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::spawn(act).join().unwrap()
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("isotherm-confine-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn limits(spill: Option<Spill>) -> Limits {
    Limits {
        memory_bytes: 1 << 20,
        writable_bytes: 1 << 30,
        address_space_bytes: 1 << 30,
        cpu_seconds: 1,
        threads: 1,
        spill,
        httpfs: None,
        ports: vec![],
    }
}

#[test]
fn a_file_of_others_is_shut_and_the_folder_to_spill_to_is_open() {
    let (own, others) = (folder("own"), folder("others"));
    let (kept, secret) = (own.join("spilled"), others.join("secret"));
    std::fs::write(&secret, "a planted secret").unwrap();
    let spill = Spill { folder: own.display().to_string(), bytes: 1 };
    let (doors, secret_read, secret_written, listed, environment, spilled) = on_a_thread(move || {
        let doors = files(&limits(Some(spill))).unwrap();
        let read = std::fs::read(&secret).map_err(|error| error.kind());
        let written = std::fs::write(others.join("new"), "x").map_err(|error| error.kind());
        let listed = std::fs::read_dir(&others).map(drop).map_err(|error| error.kind());
        let own_memory = std::fs::read("/proc/self/environ").map(drop).map_err(|error| error.kind());
        let spilled = std::fs::write(&kept, "rows").and_then(|()| std::fs::read(&kept)).unwrap();
        std::fs::remove_file(&kept).unwrap();
        (doors, read, written, listed, own_memory, spilled)
    });
    assert_eq!(spilled, b"rows");
    let is_open = doors.contains(&OpenDoor::Files);
    assert_eq!(secret_read.is_ok(), is_open, "{doors:?}: {secret_read:?}");
    for outcome in [secret_written, listed, environment] {
        assert_eq!(outcome, if is_open { Ok(()) } else { Err(ErrorKind::PermissionDenied) }, "{doors:?}");
    }
    std::fs::remove_dir_all(folder("own")).unwrap();
    std::fs::remove_dir_all(folder("others")).unwrap();
}

#[test]
fn only_the_ports_that_are_named_are_open() {
    let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
    let (store, elsewhere) = (listen(), listen());
    let (allowed, other) = (store.local_addr().unwrap(), elsewhere.local_addr().unwrap());
    let (doors, to_store, to_other) = on_a_thread(move || {
        let doors = files(&limits(None)).unwrap();
        connections(&[allowed.port()], &doors).unwrap();
        let connect = |address| std::net::TcpStream::connect(address).map(drop).map_err(|error| error.kind());
        (doors, connect(allowed), connect(other))
    });
    assert_eq!(to_store, Ok(()));
    let expected = if doors.contains(&OpenDoor::Connections) { Ok(()) } else { Err(ErrorKind::PermissionDenied) };
    assert_eq!(to_other, expected, "{doors:?}");
}

#[test]
fn a_file_that_should_be_read_and_is_not_there_is_an_error() {
    let missing = Limits { httpfs: Some("/nowhere/httpfs".to_owned()), ..limits(None) };
    let error = on_a_thread(move || files(&missing).unwrap_err());
    assert_eq!(error.code(), "sandbox.confine");
}

#[test]
fn each_version_of_the_kernel_shuts_more() {
    use OpenDoor::{Connections, Files, Processes, UnixSockets};
    let table: [(ABI, &[OpenDoor]); 6] = [
        (ABI::Unsupported, &[Files, Connections, Processes, UnixSockets]),
        (ABI::V1, &[Connections, Processes, UnixSockets]),
        (ABI::V3, &[Connections, Processes, UnixSockets]),
        (ABI::V4, &[Processes, UnixSockets]),
        (ABI::V6, &[UnixSockets]),
        (ABI::V9, &[]),
    ];
    for (abi, expected) in table {
        assert_eq!(open_doors(abi), expected, "{abi:?}");
    }
}
