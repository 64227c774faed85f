//! How long hot rows stay after they became cold.

use std::time::Duration;

use serde::Deserialize;

/// A span in which a query that read the old watermark, before the rows became cold, has come to hold them
/// (`isotherm_hot_store::rows::hold`): from then on they stay until it ends. As JSON: seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u64")]
pub struct GracePeriod(Duration);

impl GracePeriod {
    /// The shortest one: far longer than from a query's first statement to the one that holds its rows.
    pub const SHORTEST: Duration = Duration::from_secs(300);

    /// The span.
    pub fn duration(self) -> Duration {
        self.0
    }
}

impl TryFrom<u64> for GracePeriod {
    type Error = GraceTooShort;

    fn try_from(seconds: u64) -> Result<Self, GraceTooShort> {
        let span = Duration::from_secs(seconds);
        if span < Self::SHORTEST { Err(GraceTooShort { seconds }) } else { Ok(Self(span)) }
    }
}

/// A span in which a query may still read the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "hot rows would be dropped after {seconds} s, while queries may still read them; take {} s or more",
    GracePeriod::SHORTEST.as_secs()
)]
pub struct GraceTooShort {
    seconds: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grace_period_is_no_shorter_than_the_shortest() {
        let read = |json: &str| serde_json::from_str::<GracePeriod>(json);
        assert_eq!(read("300").unwrap().duration(), GracePeriod::SHORTEST);
        assert_eq!(read("86400").unwrap().duration(), Duration::from_secs(86_400));
        let refused = read("299").unwrap_err().to_string();
        assert!(refused.contains("299 s") && refused.contains("300 s or more"), "{refused}");
        for wrong in ["-1", "300.5", "\"300\"", "null"] {
            read(wrong).unwrap_err();
        }
    }
}
