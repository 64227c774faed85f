//! What the process shuts itself off from: files, connections, other processes, descriptors of its parent.
//!
//! The last layer between a query and everything else (ADR 25): it holds though the gate let everything through and
//! DuckDB had no locks. Linux's Landlock does it, which a process without rights may use on itself and which cannot be
//! taken back. It binds the calling thread and the threads that this one starts later, so it comes before DuckDB. Where
//! the system does not offer it, [`files`] says what stays open, and the process goes on.
//!
//! It must never allow a folder that others write to.

use std::os::fd::RawFd;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, NetPort, PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

use crate::error::SandboxError;
use isotherm_types::sandbox::{Limits, OpenDoor};

#[cfg(test)]
mod tests;

/// The newest of Landlock's versions whose restrictions are asked for; an older kernel gives those that it has.
const NEWEST: ABI = ABI::V9;

/// What libraries read of the system while a query runs: code, processors and memory, chance. Nothing in it is secret. A
/// system that lacks some of them does without.
const SYSTEM: [&str; 11] = [
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/etc/ld.so.cache",
    "/dev/random",
    "/dev/urandom",
    "/proc/self/cgroup",
    "/proc/sys/vm/overcommit_memory",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
];

/// Closes every descriptor but the three standard ones: whatever the parent left open without meaning to.
///
/// For the first line of a program, before anything else has opened a file.
///
/// # Errors
/// [`SandboxError::Confine`] if the open descriptors cannot be listed.
pub fn close_inherited() -> Result<(), SandboxError> {
    let listed = std::fs::read_dir("/proc/self/fd").map_err(refused("what the parent left open"))?;
    let number = |entry: std::fs::DirEntry| entry.file_name().to_str()?.parse::<RawFd>().ok();
    let descriptors: Vec<RawFd> = listed.flatten().filter_map(number).collect();
    for descriptor in descriptors.into_iter().filter(|descriptor| *descriptor > 2) {
        // The listing's own is among them, and is closed already.
        let _ = nix::unistd::close(descriptor);
    }
    Ok(())
}

/// Shuts the calling thread off from all files but those of `limits` and those of the system that libraries need,
/// and from other processes. Returns what stays open.
///
/// Of its own it may read the extension, and do anything in the folder to spill to.
///
/// # Errors
/// [`SandboxError::Confine`] if a file of `limits` is not there, or if the kernel takes the rules only in part.
pub fn files(limits: &Limits) -> Result<Vec<OpenDoor>, SandboxError> {
    let mut rules: Vec<PathBeneath<PathFd>> = SYSTEM
        .into_iter()
        .filter_map(|path| PathFd::new(path).ok())
        .map(|place| PathBeneath::new(place, AccessFs::ReadFile | AccessFs::ReadDir))
        .collect();
    if let Some(file) = &limits.httpfs {
        rules.push(PathBeneath::new(existing(file)?, AccessFs::ReadFile));
    }
    if let Some(spill) = &limits.spill {
        rules.push(PathBeneath::new(existing(&spill.folder)?, spilling()));
    }
    match enforce(rules) {
        Ok(status) => Ok(open_doors(enforced(&status))),
        // Some systems forbid even that a process gives up rights of its own.
        Err(RulesetError::RestrictSelf(_)) => Ok(open_doors(ABI::Unsupported)),
        Err(error) => Err(refused("files")(error)),
    }
}

/// Shuts the calling thread off from every TCP port but `ports`.
///
/// # Errors
/// [`SandboxError::Confine`] if the kernel, which took the rules about files, does not take these.
pub fn connections(ports: &[u16], open_doors: &[OpenDoor]) -> Result<(), SandboxError> {
    if open_doors.contains(&OpenDoor::Connections) {
        return Ok(());
    }
    let restrict = || -> Result<RestrictionStatus, RulesetError> {
        let rules = ports.iter().map(|port| Ok::<_, RulesetError>(NetPort::new(*port, AccessNet::ConnectTcp)));
        Ruleset::default().handle_access(AccessNet::from_all(ABI::V4))?.create()?.add_rules(rules)?.restrict_self()
    };
    restrict().map(drop).map_err(refused("connections"))
}

fn enforce(rules: Vec<PathBeneath<PathFd>>) -> Result<RestrictionStatus, RulesetError> {
    Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?
        .add_rules(rules.into_iter().map(Ok::<_, RulesetError>))?
        .restrict_self()
}

/// What DuckDB does in the folder that it spills to.
fn spilling() -> BitFlags<AccessFs> {
    AccessFs::ReadFile
        | AccessFs::ReadDir
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
}

fn enforced(status: &RestrictionStatus) -> ABI {
    match status.ruleset {
        RulesetStatus::NotEnforced => ABI::Unsupported,
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => ABI::from(status.landlock),
    }
}

/// What stays open under a version of Landlock.
///
/// **Source**: the kernel's `Documentation/userspace-api/landlock.rst`, "Previous limitations".
fn open_doors(abi: ABI) -> Vec<OpenDoor> {
    let shut_since = [
        (OpenDoor::Files, ABI::V1),
        (OpenDoor::Connections, ABI::V4),
        (OpenDoor::Processes, ABI::V6),
        (OpenDoor::UnixSockets, ABI::V9),
    ];
    shut_since.into_iter().filter(|(_, since)| abi < *since).map(|(door, _)| door).collect()
}

fn existing(path: &str) -> Result<PathFd, SandboxError> {
    PathFd::new(path).map_err(refused("all files but its own, of which one is not there"))
}

fn refused<E: Into<Box<dyn std::error::Error + Send + Sync>>>(what: &'static str) -> impl FnOnce(E) -> SandboxError {
    move |source| SandboxError::Confine { what, source: source.into() }
}
