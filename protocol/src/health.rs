//! Stages without a script: those that wait until something answers, and those that wait for a person.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Waits until something answers. Exactly one of `http`, `tcp` and `command` says what is asked.
///
/// In their texts `$NAME` and `${NAME}` are replaced by variables of the pipeline's environment, by `ZTC_ENVIRONMENT`, and by what
/// `ZTC_CONTEXT_SH` would hold of the item: `CTX_ITEM_KEY`, `CTX_ITEM_NAME`, and `CTX_<KEY>` for each key of its context.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Health {
    /// Healthy when a GET is answered with the right status. Redirections are not followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpProbe>,
    /// Healthy when `host:port` (an IPv6 address in brackets) accepts a connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<String>,
    /// Healthy when the program ends with exit code 0: its name and its arguments, without a shell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Seconds before the first probe; 0 by default.
    pub initial_delay_seconds: f64,
    /// Seconds between the first two probes; 1 by default.
    pub interval_seconds: f64,
    /// By how much the interval grows after each probe that failed; 1.5 by default, at least 1.
    pub backoff_factor: f64,
    /// The longest interval in seconds; 30 by default.
    pub max_interval_seconds: f64,
    /// Seconds after which one probe has failed; 5 by default.
    pub probe_timeout_seconds: f64,
    /// How many probes in a row must succeed, an interval apart; 1 by default.
    pub successes: u32,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            http: None,
            tcp: None,
            command: None,
            initial_delay_seconds: 0.0,
            interval_seconds: 1.0,
            backoff_factor: 1.5,
            max_interval_seconds: 30.0,
            probe_timeout_seconds: 5.0,
            successes: 1,
        }
    }
}

/// A GET over HTTP or HTTPS.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HttpProbe {
    /// `http://` or `https://`.
    pub url: String,
    /// The statuses that mean healthy; empty: 200 to 299.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<u16>,
    /// A file with the authorities (PEM) that may have signed the server's certificate, relative to the repository; without one, those
    /// that browsers trust.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
}

/// Asks a person to do something and to say so.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Manual {
    /// What is to be done and how to see that it is done. `$NAME` is replaced as in [`Health`].
    pub instructions: String,
}
