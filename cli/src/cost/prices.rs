//! The dated list of prices: `prices.yaml`, or a file of that form.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde::Deserialize;
use serde::de::DeserializeOwned;

const FILE: &str = include_str!("prices.yaml");

/// What `per` units cost.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Price {
    pub(crate) usd: f64,
    pub(crate) per: f64,
    pub(crate) unit: String,
    /// Page of AWS that has it.
    pub(crate) source: String,
}

/// What an hour of a database instance costs, in one zone.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InstancePrice {
    pub(crate) usd: f64,
    /// Cores that it has all day.
    pub(crate) sustained_vcpu: f64,
    pub(crate) source: String,
}

/// The file; its prices are [`Prices`] to reckon with, or a map to list.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PriceFile<T> {
    /// Day on which the prices were those.
    pub(crate) as_of: String,
    pub(crate) region: String,
    pub(crate) currency: String,
    pub(crate) prices: T,
    /// By instance class.
    pub(crate) database_instances: BTreeMap<String, InstancePrice>,
}

/// The prices by what is paid for.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Prices {
    pub(crate) lambda_requests: Price,
    pub(crate) lambda_gb_seconds: Price,
    pub(crate) lambda_scratch_gb_seconds: Price,
    pub(crate) sqs_fifo_requests: Price,
    pub(crate) sqs_standard_requests: Price,
    pub(crate) fargate_vcpu_hours: Price,
    pub(crate) fargate_gb_hours: Price,
    pub(crate) fargate_scratch_gb_hours: Price,
    pub(crate) rds_storage: Price,
    pub(crate) s3_storage: Price,
    pub(crate) s3_puts: Price,
    pub(crate) s3_gets: Price,
    pub(crate) nat_gateway_hours: Price,
    pub(crate) nat_gateway_gb: Price,
    pub(crate) public_address_hours: Price,
    pub(crate) firewall_hours: Price,
    pub(crate) firewall_gb: Price,
    pub(crate) endpoint_hours: Price,
    pub(crate) endpoint_gb: Price,
    pub(crate) zone_crossing_gb: Price,
    pub(crate) dns_firewall_queries: Price,
    pub(crate) api_requests: Price,
    pub(crate) scheduler_invocations: Price,
    pub(crate) log_gb: Price,
    pub(crate) log_storage: Price,
    pub(crate) metrics: Price,
    pub(crate) alarms: Price,
    pub(crate) dashboards: Price,
    pub(crate) keys: Price,
    pub(crate) secrets: Price,
    pub(crate) image_storage: Price,
    pub(crate) emails: Price,
}

/// Text of the file at `path`; the built-in one if there is none.
pub(crate) fn text(path: Option<&Path>) -> anyhow::Result<String> {
    let Some(path) = path else { return Ok(FILE.to_owned()) };
    std::fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))
}

/// The prices in `text`.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> anyhow::Result<PriceFile<T>> {
    serde_yaml_ng::from_str(text).context("could not read the list of prices; cli/src/cost/prices.yaml shows its form")
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use chrono::NaiveDate;

    use super::*;

    #[test]
    fn prices_are_dated_and_each_names_its_page() {
        let file: PriceFile<BTreeMap<String, Price>> = parse(FILE).unwrap();
        NaiveDate::from_str(&file.as_of).unwrap();
        assert_eq!((file.region.as_str(), file.currency.as_str()), ("us-east-1", "USD"));
        assert!(file.prices.len() > 25, "the file was read");
        for (name, price) in &file.prices {
            assert!(price.usd > 0.0 && price.per > 0.0, "{name}");
            assert!(price.source.starts_with("https://aws.amazon.com/"), "{name}");
        }
        for (class, price) in &file.database_instances {
            assert!(price.usd > 0.0 && price.sustained_vcpu > 0.0, "{class}");
        }
        parse::<Prices>(FILE).unwrap();
    }

    #[test]
    fn a_price_that_nothing_asks_for_is_refused() {
        let more = FILE.replace("prices:\n", "prices:\n  gold: { usd: 1, per: 1, unit: g, source: x }\n");
        assert!(parse::<Prices>(FILE).is_ok());
        assert!(format!("{:#}", parse::<Prices>(&more).unwrap_err()).contains("gold"));
    }
}
