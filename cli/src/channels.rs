//! `isotherm channels`: where people are told, for whoever has the database.
//!
//! Addresses are shown only when they are asked for, which the audit trail notes. The token of a bot comes from standard input, never from
//! an argument, where the list of processes and the shell's history would show it.

use std::io::{IsTerminal as _, Read as _};
use std::process::ExitCode;

use anyhow::{Context, bail};
use isotherm_alerts::channel::{Address, ChannelKind};
use isotherm_alerts::channels::{self, Asker, Channel, ChannelChange, ConfirmationCode, NewChannel};
use isotherm_alerts::deliveries::replay;
use isotherm_alerts::message::TestContent;
use isotherm_alerts::seal::Keyring;
use isotherm_control::events;
use isotherm_outbound::{Client, Options};
use isotherm_types::{EventBody, OrgId};
use serde_json::{Value, json};
use sqlx::Connection as _;

use crate::alerts::connect;
use crate::args::{AddChannelArguments, AddressArguments, ChannelsArguments, ChannelsCommand, OfOrg};
use crate::connected::{Connected, actor, own_name, unknown};
use crate::home::Home;
use crate::local_key;
use crate::output::{self, maybe_instant, say, table};

mod reseal;

/// Messages a minute of a new channel, if nobody says.
const PER_MINUTE: i32 = 60;

pub(crate) async fn run(home: &Home, arguments: &ChannelsArguments) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        ChannelsCommand::Add(arguments) => add(home, arguments).await?,
        ChannelsCommand::List { of } => {
            let (mut connected, org) = connect(home, of).await?;
            let listed = channels::list(&mut connected.conn, org).await.context("could not read the channels")?;
            output::show(of.printed.output, &listed.iter().map(to_json).collect(), || print(&listed))?;
        }
        ChannelsCommand::Show { channel, address, of } => {
            let (mut connected, org) = connect(home, of).await?;
            let found = named(&mut connected, org, channel).await?;
            let address = if *address { Some(open(home, &mut connected, org, &found).await?) } else { None };
            show(of, &found, address.as_ref())?;
        }
        ChannelsCommand::Reseal { new_key, printed } => return reseal::run(home, *new_key, printed).await,
        ChannelsCommand::RotateKey { channel, of } => rotate(home, channel, of).await?,
        ChannelsCommand::Test { channel, of } => test(home, channel, of).await?,
        ChannelsCommand::Enable { channel, of } => enable(home, channel, of).await?,
        ChannelsCommand::Confirm { channel, code, of } => confirm(home, channel, code.as_deref(), of).await?,
        ChannelsCommand::Delete { channel, of } => {
            let (mut connected, org) = connect(home, of).await?;
            let found = named(&mut connected, org, channel).await?;
            let deleted = channels::delete(&mut connected.conn, org, found.id, &actor()).await;
            deleted.with_context(|| format!("could not delete {channel}"))?;
            output::show(of.printed.output, &to_json(&found), || {
                say!("{channel} is deleted, its address too; rules that named it do not tell it any more");
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn add(home: &Home, arguments: &AddChannelArguments) -> anyhow::Result<()> {
    let AddChannelArguments { channel: name, address, per_minute, of } = arguments;
    let address = address_of(address)?;
    if let Some(address) = &address {
        let client = Client::new(Options { allow_loopback_http: true, ..Options::default() })?;
        lambda_api::check_address(&client, address).await.with_context(|| format!("could not save {name}"))?;
    }
    let (mut connected, org) = connect(home, of).await?;
    let ring = ring(home)?;
    let conn = &mut connected.conn;
    let before = channels::named(conn, org, name).await.context("could not read the channels")?;
    let saved = match (before, address) {
        (None, None) => bail!("a new channel needs one of --email, --sms, --webhook and --slack"),
        (None, Some(address)) => {
            let per_minute = per_minute.unwrap_or(PER_MINUTE);
            let new = NewChannel { name: name.clone(), address, per_minute, owner_id: None };
            channels::create(conn, org, new, &ring, &actor()).await
        }
        (Some(before), address) => {
            let change = ChannelChange { name: None, address, per_minute: *per_minute };
            channels::update(conn, org, before.id, change, &ring, &actor()).await
        }
    };
    let saved = saved.with_context(|| format!("could not save {name}"))?;
    if saved.confirmed_at.is_none() {
        wake_sender(&mut connected, org).await?;
    }
    // Whoever keeps the receiver needs the key.
    let shown = match saved.kind {
        ChannelKind::Webhook => Some(open(home, &mut connected, org, &saved).await?),
        ChannelKind::Email | ChannelKind::Sms | ChannelKind::Slack => None,
    };
    show(of, &saved, shown.as_ref())
}

/// What the arguments say of an address; a bot's token is read from standard input.
fn address_of(arguments: &AddressArguments) -> anyhow::Result<Option<Address>> {
    let AddressArguments { email, sms, webhook, slack } = arguments;
    let address = match (email, sms, webhook, slack) {
        (Some(to), ..) => Address::Email { to: to.clone() },
        (_, Some(number), ..) => Address::Sms { number: number.clone() },
        (_, _, Some(url), _) => Address::Webhook { url: url.clone(), keys: Vec::new() },
        (.., Some(channel)) => Address::Slack { token: token()?, channel: channel.clone() },
        (None, None, None, None) => return Ok(None),
    };
    address.check().context("the address is not right")?;
    Ok(Some(address))
}

fn token() -> anyhow::Result<String> {
    if std::io::stdin().is_terminal() {
        eprintln!("type the bot's token, then Enter and Ctrl-D (it is shown: from a file or a pipe it is not)");
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("could not read the token from standard input")?;
    Ok(text.trim().to_owned())
}

async fn rotate(home: &Home, name: &str, of: &OfOrg) -> anyhow::Result<()> {
    let (mut connected, org) = connect(home, of).await?;
    let found = named(&mut connected, org, name).await?;
    if found.kind != ChannelKind::Webhook {
        bail!("{name} is no webhook: it has no key");
    }
    let rotated = open(home, &mut connected, org, &found).await?.with_another_key()?;
    let change = ChannelChange { name: None, address: Some(rotated.clone()), per_minute: None };
    let changed = channels::update(&mut connected.conn, org, found.id, change, &ring(home)?, &actor()).await;
    show(of, &changed.with_context(|| format!("could not change {name}"))?, Some(&rotated))
}

async fn test(home: &Home, name: &str, of: &OfOrg) -> anyhow::Result<()> {
    let (mut connected, org) = connect(home, of).await?;
    let found = named(&mut connected, org, name).await?;
    if let Some(reason) = &found.disabled_reason {
        bail!("{name} is disabled ({reason}); `isotherm channels enable {name}` uses it again");
    }
    if found.confirmed_at.is_none() {
        bail!(
            "{name} is not confirmed; `isotherm channels confirm {name} CODE` does it with the code that was sent to it"
        );
    }
    let content = TestContent { channel: found.name.clone(), asked_by: own_name() };
    let mut db_tx = connected.conn.begin().await.context("could not begin a transaction")?;
    let delivery = replay::test(&mut db_tx, org, found.id, &content).await.context("could not queue a message")?;
    events::record(&mut db_tx, &EventBody::AlertsRecorded { org_id: org, chain_id: None }).await?;
    db_tx.commit().await.context("could not commit")?;
    connected.sweep().await;
    output::show(of.printed.output, &json!({ "delivery_id": delivery.0 }), || {
        say!("a message is on its way to {name}; `isotherm alerts deliveries --channel {name}` says what became of it");
    })
}

/// Has what is queued sent at once.
async fn wake_sender(connected: &mut Connected, org: OrgId) -> anyhow::Result<()> {
    events::record(&mut connected.conn, &EventBody::AlertsRecorded { org_id: org, chain_id: None }).await?;
    connected.sweep().await;
    Ok(())
}

async fn confirm(home: &Home, name: &str, code: Option<&str>, of: &OfOrg) -> anyhow::Result<()> {
    let code = code.map(ConfirmationCode::parse).transpose()?;
    let (mut connected, org) = connect(home, of).await?;
    let found = named(&mut connected, org, name).await?;
    let Some(code) = code else {
        let delivery = channels::request_code(&mut connected.conn, org, found.id, &actor()).await;
        let delivery = delivery.with_context(|| format!("could not send {name} another code"))?;
        wake_sender(&mut connected, org).await?;
        return output::show(of.printed.output, &json!({ "delivery_id": delivery.0 }), || {
            say!("another code is on its way to {name}; those before count no more");
        });
    };
    let confirmed = channels::confirm(&mut connected.conn, org, found.id, &code, &actor()).await;
    let confirmed = confirmed.with_context(|| format!("could not confirm {name}"))?;
    output::show(of.printed.output, &to_json(&confirmed), || say!("{name} is confirmed; alerts are sent to it"))
}

async fn enable(home: &Home, name: &str, of: &OfOrg) -> anyhow::Result<()> {
    let (mut connected, org) = connect(home, of).await?;
    let found = named(&mut connected, org, name).await?;
    let conn = &mut connected.conn;
    let changed = channels::enable(conn, org, found.id, &actor()).await;
    let changed = changed.with_context(|| format!("could not enable {name}"))?;
    if changed {
        events::record(conn, &EventBody::AlertsRecorded { org_id: org, chain_id: None }).await?;
        connected.sweep().await;
    }
    let after = channels::get(&mut connected.conn, org, found.id).await.context("could not read the channel")?;
    output::show(of.printed.output, &to_json(&after), || {
        let words = if changed { "is used again; what waits for it is sent" } else { "was not disabled" };
        say!("{name} {words}");
    })
}

async fn named(connected: &mut Connected, org: OrgId, name: &str) -> anyhow::Result<Channel> {
    let conn = &mut connected.conn;
    if let Some(found) = channels::named(conn, org, name).await.context("could not read the channels")? {
        return Ok(found);
    }
    let all = channels::list(conn, org).await.context("could not read the channels")?;
    let names: Vec<String> = all.into_iter().map(|channel| channel.name).collect();
    Err(unknown("channel", name, &names))
}

/// Where the channel leads; the trail says who has asked.
async fn open(home: &Home, connected: &mut Connected, org: OrgId, channel: &Channel) -> anyhow::Result<Address> {
    let (actor, ring) = (actor(), ring(home)?);
    let asker = Asker { name: &actor, user_id: None, is_admin: true };
    let opened = channels::open_address(&mut connected.conn, org, channel.id, &ring, &asker).await;
    opened.with_context(|| format!("could not open the address of {}", channel.name))
}

fn ring(home: &Home) -> anyhow::Result<Keyring> {
    Keyring::parse(&local_key::sealing_keys(home)?).context("the keys that seal addresses cannot be used")
}

fn show(of: &OfOrg, channel: &Channel, address: Option<&Address>) -> anyhow::Result<()> {
    let mut shown = to_json(channel);
    if let Some(address) = address {
        shown["address"] = json!(address);
    }
    output::show(of.printed.output, &shown, || {
        print(std::slice::from_ref(channel));
        if channel.confirmed_at.is_none() {
            say!(
                "no alert is sent to it before `isotherm channels confirm {} CODE`, with the code that it was sent",
                channel.name
            );
        }
        if address.is_some() {
            say!("{:#}", shown["address"]);
        }
    })
}

fn to_json(channel: &Channel) -> Value {
    json!({
        "name": channel.name,
        "kind": channel.kind,
        "state": channel.state(),
        "disabled_reason": channel.disabled_reason,
        "failing_since": channel.failing_since,
        "confirmed_at": channel.confirmed_at,
        "per_minute": channel.per_minute,
        "created_by": channel.created_by,
        "created_at": channel.created_at,
        "updated_at": channel.updated_at,
    })
}

fn print(listed: &[Channel]) {
    let headings = ["channel", "kind", "state", "failing since (UTC)", "a minute", "made by"];
    let mut table = table(&headings, &["a minute"]);
    for channel in listed {
        let state = channel.disabled_reason.as_ref().map(|reason| format!("disabled: {reason}"));
        table.add_row([
            channel.name.clone(),
            channel.kind.to_string(),
            state.unwrap_or_else(|| channel.state().to_owned()),
            maybe_instant(channel.failing_since),
            channel.per_minute.to_string(),
            channel.created_by.clone(),
        ]);
    }
    say!("{table}");
}

#[cfg(test)]
mod tests {
    use isotherm_types::ChannelId;

    use super::*;
    use crate::golden;

    #[test]
    fn channels_for_programs_are_the_golden_file() {
        let channel = Channel {
            id: ChannelId(3),
            name: "hooks".to_owned(),
            kind: ChannelKind::Webhook,
            per_minute: 60,
            disabled_reason: Some("alerts.gone".to_owned()),
            failing_since: Some("2026-11-26T10:00:00Z".parse().unwrap()),
            confirmed_at: Some("2026-11-26T09:00:00Z".parse().unwrap()),
            owner_id: None,
            created_by: "cli:ann".to_owned(),
            created_at: "2026-11-26T09:00:00Z".parse().unwrap(),
            updated_at: "2026-11-26T10:00:00Z".parse().unwrap(),
        };
        golden::check("channels_list", &json!([to_json(&channel)]));
    }

    #[test]
    fn an_address_that_is_none_is_refused_before_anything_is_asked() {
        let of = |email: Option<&str>, sms: Option<&str>| AddressArguments {
            email: email.map(str::to_owned),
            sms: sms.map(str::to_owned),
            webhook: None,
            slack: None,
        };
        assert!(address_of(&of(None, None)).unwrap().is_none());
        assert_eq!(address_of(&of(Some("ann@example.org"), None)).unwrap().unwrap().kind(), ChannelKind::Email);
        let refused = address_of(&of(None, Some("5551234567"))).unwrap_err();
        assert!(format!("{refused:#}").contains("address.number has to be a telephone number"), "{refused:#}");
    }
}
