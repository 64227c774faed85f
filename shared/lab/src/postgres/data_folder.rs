//! Makes the data folders of Postgres servers: by `initdb` once, then by copying.
//!
//! `initdb` takes about a second, a copy of its result a tenth of that, so tests copy. The copy's source is kept
//! among the tools, one per Postgres version, and appears there by one rename: readers never see half of it.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Certificate, SUPERUSER, Unprivileged};
use crate::{LabError, tools};

/// Counts changes to the way the template is made.
const TEMPLATE_VERSION: u32 = 1;

/// Fills `data` for a test server from the template, making the template first if it is not there.
pub(super) fn copy_template(
    bin: &Path,
    unprivileged: Option<&Unprivileged>,
    folder: &Path,
    data: &Path,
) -> Result<(), LabError> {
    let template = template_path(bin)?;
    if template.is_dir() && copy_folder(&template, data, unprivileged).is_ok() {
        return Ok(());
    }
    // Another user's template cannot be read; what was copied of it is of no use.
    let _ = fs::remove_dir_all(data);
    initdb(bin, unprivileged, folder, data, &["--auth=trust", "--wal-segsize=1", "--no-sync"])?;
    // Others may be doing the same; the first rename wins, and a read-only tools folder costs only time.
    let draft = template.with_extension(uuid::Uuid::new_v4().simple().to_string());
    let kept = fs::create_dir_all(draft.parent().unwrap_or(Path::new("/"))).is_ok()
        && copy_folder(data, &draft, None).is_ok()
        && fs::rename(&draft, &template).is_ok();
    if !kept {
        let _ = fs::remove_dir_all(&draft);
    }
    Ok(())
}

/// Fills `data` for a durable server unless an earlier run did, and returns the superuser's password.
pub(super) fn create_durable(
    bin: &Path,
    unprivileged: Option<&Unprivileged>,
    folder: &Path,
    data: &Path,
) -> Result<String, LabError> {
    if let Some(user) = unprivileged {
        user.check_can_enter(folder)?;
    }
    let password_file = folder.join("password");
    if data.join("PG_VERSION").exists() {
        return fs::read_to_string(&password_file).map_err(LabError::io("read", &password_file));
    }
    // A run that died inside `initdb` leaves a folder that it would refuse.
    if data.exists() {
        fs::remove_dir_all(data).map_err(LabError::io("clear", data))?;
    }
    let password = uuid::Uuid::new_v4().simple().to_string();
    let draft = folder.join("data.new");
    if draft.exists() {
        fs::remove_dir_all(&draft).map_err(LabError::io("clear", &draft))?;
    }
    let _ = fs::remove_file(&password_file);
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&password_file)
        .and_then(|mut file| file.write_all(password.as_bytes()))
        .map_err(LabError::io("write", &password_file))?;
    if let Some(user) = unprivileged {
        user.own(&password_file)?;
    }
    let pwfile = format!("--pwfile={}", password_file.display());
    initdb(bin, unprivileged, folder, &draft, &["--auth=scram-sha-256", &pwfile])?;
    fs::rename(&draft, data).map_err(LabError::io("move into place", data))?;
    Ok(password)
}

/// Puts `certificate` where a server with `ssl` on looks for it. It wants the key to be its own user's alone.
pub(super) fn write_certificate(
    certificate: &Certificate,
    unprivileged: Option<&Unprivileged>,
    data: &Path,
) -> Result<(), LabError> {
    for (name, text) in [("server.crt", &certificate.pem), ("server.key", &certificate.key_pem)] {
        let path = data.join(name);
        let _ = fs::remove_file(&path);
        let created = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        created.and_then(|mut file| file.write_all(text.as_bytes())).map_err(LabError::io("write", &path))?;
        if let Some(user) = unprivileged {
            user.own(&path)?;
        }
    }
    Ok(())
}

fn initdb(
    bin: &Path,
    unprivileged: Option<&Unprivileged>,
    folder: &Path,
    data: &Path,
    options: &[&str],
) -> Result<(), LabError> {
    fs::DirBuilder::new().mode(0o700).create(data).map_err(LabError::io("create", data))?;
    if let Some(user) = unprivileged {
        user.own(data)?;
    }
    let mut words = unprivileged.map(Unprivileged::prefix).unwrap_or_default();
    words.extend([bin.join("initdb").into(), "-D".into(), data.into(), "-U".into(), SUPERUSER.into()]);
    words.extend(["--encoding=UTF8", "--no-locale", "--no-instructions"].map(Into::into));
    words.extend(options.iter().map(Into::into));
    let output = Command::new(&words[0])
        .args(&words[1..])
        .env_clear()
        .env("PATH", tools::search_path())
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .current_dir(folder)
        .output()
        .map_err(LabError::io("run", bin.join("initdb")))?;
    if output.status.success() {
        return Ok(());
    }
    let log_tail = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Err(LabError::Exited { name: "initdb".into(), status: output.status.to_string(), log_tail })
}

/// `<tools>/cache/postgres-<version>-<template version>`.
fn template_path(bin: &Path) -> Result<PathBuf, LabError> {
    let program = bin.join("postgres");
    let output = Command::new(&program).arg("--version").output().map_err(LabError::io("run", &program))?;
    let version: String = String::from_utf8_lossy(&output.stdout)
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || letter == '.' { letter } else { '_' })
        .collect();
    let name = format!("{}-{TEMPLATE_VERSION}", version.trim_matches('_'));
    Ok(tools::tools_folder()?.join("cache").join(name))
}

/// Copies a tree of folders and plain files, giving the copy to `owner`.
fn copy_folder(from: &Path, to: &Path, owner: Option<&Unprivileged>) -> Result<(), LabError> {
    fs::DirBuilder::new().mode(0o700).create(to).map_err(LabError::io("create", to))?;
    if let Some(user) = owner {
        user.own(to)?;
    }
    for entry in fs::read_dir(from).map_err(LabError::io("list", from))? {
        let entry = entry.map_err(LabError::io("list", from))?;
        // Left by a server that ran on the template; a copy of it would name a foreign process.
        if entry.file_name() == OsStr::new("postmaster.pid") {
            continue;
        }
        let target = to.join(entry.file_name());
        let kind = entry.file_type().map_err(LabError::io("look at", entry.path()))?;
        if kind.is_dir() {
            copy_folder(&entry.path(), &target, owner)?;
            continue;
        }
        fs::copy(entry.path(), &target).map_err(LabError::io("copy to", &target))?;
        if let Some(user) = owner {
            user.own(&target)?;
        }
    }
    Ok(())
}
