//! `isotherm channels reseal`: a new key for channels' addresses, and all of them sealed with it.
//!
//! In two steps, since functions keep the keys for up to a minute: what is sealed with a key that they do not have yet does not open
//! there. Each page is a transaction of its own, and what has the newest key is left alone, so it goes on wherever it was ended.

use std::process::ExitCode;

use anyhow::Context;
use isotherm_alerts::channels;
use isotherm_alerts::seal::Keyring;
use isotherm_local_stack::provision::{Change, secrets};
use isotherm_types::ChannelId;
use serde_json::json;
use sqlx::Connection as _;

use crate::args::Printed;
use crate::connected::{Connected, actor};
use crate::home::Home;
use crate::local_key;
use crate::output::{self, say};

/// Key of the secret.
const SECRET: &str = "alerts";
/// Channels of one transaction.
const PAGE: u32 = 100;

pub(super) async fn run(home: &Home, new_key: bool, printed: &Printed) -> anyhow::Result<ExitCode> {
    // Nothing is made that nobody could be given.
    let mut connected = Connected::to(home).await?;
    let keys = if new_key { local_key::add_sealing_key(home)? } else { local_key::sealing_keys(home)? };
    let ring = Keyring::parse(&keys).context("the keys that seal addresses cannot be used")?;
    let names: Vec<&str> = ring.ids().collect();
    let handed_out = secrets::ensure(&connected.aws().await, SECRET, &keys).await;
    let (_, change) = handed_out.context("could not hand the keys to the functions")?;
    if change != Change::Unchanged {
        output::show(printed.output, &json!({ "keys": names, "handed_out": true, "resealed": 0 }), || {
            say!("the functions have the keys {} and use them within a minute", names.join(", "));
            say!("then give `isotherm channels reseal`, which seals with the first one");
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let (resealed, unopened) = reseal_all(&mut connected, &ring).await?;
    let numbers: Vec<i64> = unopened.iter().map(|channel| channel.0).collect();
    let shown = json!({ "keys": names, "handed_out": false, "resealed": resealed, "unopened": numbers });
    output::show(printed.output, &shown, || {
        say!("sealed anew with {}: {resealed}", names[0]);
        for channel in &unopened {
            eprintln!(
                "isotherm: the address of {channel} opens with none of the keys; its channel has to be given another one"
            );
        }
        if resealed == 0 && unopened.is_empty() && names.len() > 1 {
            say!("nothing needs the others any more: {} may go", names[1..].join(", "));
        }
    })?;
    Ok(if unopened.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How many were sealed anew, and those that open with no key.
async fn reseal_all(connected: &mut Connected, ring: &Keyring) -> anyhow::Result<(usize, Vec<ChannelId>)> {
    let (mut after, mut resealed, mut unopened) = (None, 0, Vec::new());
    loop {
        let mut db_tx = connected.conn.begin().await.context("could not begin a transaction")?;
        let round = channels::reseal(&mut db_tx, ring, after, PAGE, &actor()).await;
        let round = round.context("could not seal a page of addresses")?;
        db_tx.commit().await.context("could not commit")?;
        resealed += round.resealed;
        unopened.extend(round.unopened);
        after = round.next;
        if after.is_none() {
            return Ok((resealed, unopened));
        }
    }
}
