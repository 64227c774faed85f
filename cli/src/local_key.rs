//! The folder with this machine's own keys: that of its issuer of tokens, with the token of whoever logged in last, and those that
//! seal channels' addresses.
//!
//! All files are for their owner only. The issuer's key never leaves its file but to sign; functions get the public half.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use isotherm_access::LocalIssuer;
use isotherm_alerts::seal::{self, Keyring};

use crate::home::Home;

/// The issuer of the stacks in `home`; its key is made if there is none.
///
/// # Errors
/// If the key cannot be written or read, or others may read it.
pub(crate) fn issuer(home: &Home) -> anyhow::Result<LocalIssuer> {
    let path = folder(home)?.join("key.pem");
    let made = LocalIssuer::generate().context("could not make a key")?;
    let kept = made_once(&path, &made.to_pem())?;
    LocalIssuer::from_pem(&kept)
        .with_context(|| format!("{} cannot be used; remove it, start the stack anew and log in again", path.display()))
}

/// The secret `alerts` of the stacks in `home`: the keys that seal channels' addresses; one is made if there is none, and
/// never another: without it addresses are lost.
///
/// # Errors
/// If they cannot be written or read, others may read them, or they are none.
pub(crate) fn sealing_keys(home: &Home) -> anyhow::Result<String> {
    let path = folder(home)?.join("alerts.json");
    let made = seal::new_secret("k1").context("could not make a key")?;
    let kept = made_once(&path, &made)?;
    Keyring::parse(&kept).with_context(|| format!("{} cannot be used; put right what it holds", path.display()))?;
    Ok(kept)
}

/// Puts a new key before those that seal channels' addresses; returns the secret as it is then.
///
/// # Errors
/// As [`sealing_keys`].
pub(crate) fn add_sealing_key(home: &Home) -> anyhow::Result<String> {
    let path = folder(home)?.join("alerts.json");
    let added = seal::with_new_key(&sealing_keys(home)?).context("could not make a key")?;
    // The keys before are in the new file too: nothing is lost, whenever this ends.
    replace_own(&path, &added)?;
    Ok(added)
}

/// The text of the file; `made` if there was none.
fn made_once(path: &Path, made: &str) -> anyhow::Result<String> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => {
            file.write_all(made.as_bytes()).with_context(|| format!("could not write {}", path.display()))?;
            Ok(made.to_owned())
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => read_own(path),
        Err(error) => Err(error).with_context(|| format!("could not write {}", path.display())),
    }
}

/// Keeps the token of whoever logged in.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn keep_token(home: &Home, token: &str) -> anyhow::Result<()> {
    replace_own(&token_file(home)?, token)
}

/// Puts a file for its owner only in the place of the one that is there, if one is.
fn replace_own(path: &Path, text: &str) -> anyhow::Result<()> {
    let written = path.with_extension("new");
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(&written);
    file.and_then(|mut file: File| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&written, path))
        .with_context(|| format!("could not write {}", path.display()))
}

/// The token of whoever logged in last.
///
/// # Errors
/// If nobody has, or others may read it.
pub(crate) fn token(home: &Home) -> anyhow::Result<String> {
    let path = token_file(home)?;
    ensure!(path.exists(), "nobody is logged in here; `isotherm login` does that");
    read_own(&path)
}

fn token_file(home: &Home) -> anyhow::Result<PathBuf> {
    Ok(folder(home)?.join("token"))
}

fn folder(home: &Home) -> anyhow::Result<PathBuf> {
    let folder = home.base().join("identity");
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .with_context(|| format!("could not create the folder {}", folder.display()))?;
    Ok(folder)
}

/// The text of a file that nobody else may read.
fn read_own(path: &Path) -> anyhow::Result<String> {
    let mode = fs::metadata(path).with_context(|| format!("could not read {}", path.display()))?.permissions().mode();
    ensure!(
        mode & 0o077 == 0,
        "others may read {0}, so it is not used; if nobody has, `chmod 600 {0}` makes it yours alone",
        path.display()
    );
    fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_key_is_made_once_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path().to_path_buf());
        let first = issuer(&home).unwrap().issuers();
        assert_eq!(issuer(&home).unwrap().issuers(), first);
        let key = folder.path().join("identity/key.pem");
        assert_eq!((mode(&key), mode(key.parent().unwrap())), (0o600, 0o700));
        fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
        let error = issuer(&home).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn the_keys_that_seal_addresses_are_made_once_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path().to_path_buf());
        let first = sealing_keys(&home).unwrap();
        assert_eq!(sealing_keys(&home).unwrap(), first);
        let keys = folder.path().join("identity/alerts.json");
        assert_eq!(mode(&keys), 0o600);
        let added = add_sealing_key(&home).unwrap();
        assert_eq!((sealing_keys(&home).unwrap(), mode(&keys)), (added.clone(), 0o600));
        assert_eq!(Keyring::parse(&added).unwrap().ids().collect::<Vec<_>>(), ["k2", "k1"]);
        fs::write(&keys, "{}").unwrap();
        let error = sealing_keys(&home).unwrap_err().to_string();
        assert!(error.contains("put right"), "{error}");
        assert_eq!(fs::read_to_string(&keys).unwrap(), "{}");
    }

    #[test]
    fn the_token_is_kept_for_its_owner_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path().to_path_buf());
        assert!(token(&home).unwrap_err().to_string().contains("isotherm login"));
        for text in ["a.b.c", "d.e.f"] {
            keep_token(&home, text).unwrap();
            assert_eq!(token(&home).unwrap(), text);
        }
        assert_eq!(mode(&folder.path().join("identity/token")), 0o600);
    }
}
