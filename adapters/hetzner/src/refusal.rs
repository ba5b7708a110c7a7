//! What went wrong with one request: whether to try it again, and what to tell the operator. Holds the documented error codes; sends nothing.

use std::time::Duration;

use serde::Deserialize;
use ztc_adapter_sdk::AdapterError;
use ztc_adapter_sdk::protocol::ErrorCode;

use crate::pacing::until_unix;

/// The codes that the API documents as passing. Anything else stays as it is until somebody does something.
const PASSING: [&str; 5] = [
    "conflict",
    "rate_limit_exceeded",
    "bad_gateway",
    "timeout",
    "locked",
];

/// Longest text of the API that is repeated in a message.
const MESSAGE_LIMIT: usize = 300;

/// A request without a usable answer.
#[derive(Debug, PartialEq)]
pub(crate) enum Refusal {
    /// The API answered with an error.
    Api {
        /// Such as `unauthorized`.
        code: String,
        /// In the API's own words.
        message: String,
        /// UNIX time at which the rate limit is fresh again.
        reset: Option<u64>,
    },
    /// No answer in time.
    Timeout,
    /// No connection, or it broke.
    Network(String),
    /// An answer that the API would not give.
    Unreadable(String),
}

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorDetail,
}

#[derive(Deserialize)]
struct ErrorDetail {
    code: String,
    #[serde(default)]
    message: String,
}

impl Refusal {
    /// Reads an answer whose status is not 2xx.
    pub(crate) fn from_answer(status: u16, reset: Option<&str>, body: &str) -> Self {
        let detail = serde_json::from_str::<ErrorBody>(body)
            .ok()
            .map(|body| body.error);
        let by_status = code_of_status(status);
        let (code, message) = match (by_status, detail) {
            // A gateway in front of the API speaks by status alone, whatever its body looks like.
            (Some(code @ ("bad_gateway" | "timeout")), _) => {
                (code.to_owned(), format!("HTTP status {status}"))
            }
            (_, Some(detail)) => (detail.code, detail.message),
            (Some(code), None) => (code.to_owned(), format!("HTTP status {status}")),
            (None, None) => {
                return Self::Unreadable(format!("HTTP status {status} without an error code"));
            }
        };
        Self::Api {
            code,
            message,
            reset: reset.and_then(|text| text.trim().parse().ok()),
        }
    }

    /// Whether the same request may succeed in a moment.
    pub(crate) fn passes(&self) -> bool {
        match self {
            Self::Api { code, .. } => PASSING.contains(&code.as_str()),
            Self::Timeout => true,
            Self::Network(_) | Self::Unreadable(_) => false,
        }
    }

    /// Whether another action holds what the request is about.
    pub(crate) fn is_locked(&self) -> bool {
        self.code() == Some("locked")
    }

    /// Whether too much was asked.
    pub(crate) fn is_rate_limit(&self) -> bool {
        self.code() == Some("rate_limit_exceeded")
    }

    /// Whether the request was understood, allowed, and found to make no sense.
    pub(crate) fn is_about_input(&self) -> bool {
        matches!(self.code(), Some("invalid_input" | "json_error"))
    }

    fn code(&self) -> Option<&str> {
        match self {
            Self::Api { code, .. } => Some(code),
            Self::Timeout | Self::Network(_) | Self::Unreadable(_) => None,
        }
    }

    /// How long the API wants to be left alone.
    pub(crate) fn until(&self) -> Option<Duration> {
        match self {
            Self::Api {
                code,
                reset: Some(reset),
                ..
            } if code == "rate_limit_exceeded" => until_unix(*reset),
            _ => None,
        }
    }

    /// Why, in a few words.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Api { code, .. } if code == "rate_limit_exceeded" => {
                "the API asks to slow down".into()
            }
            Self::Api { code, .. } => format!("the API answered `{code}`"),
            Self::Timeout => "the API did not answer in time".into(),
            Self::Network(why) => format!("the API cannot be reached: {why}"),
            Self::Unreadable(why) => {
                format!("the answer is not one of the Hetzner Cloud API: {why}")
            }
        }
    }

    /// Makes the call's error. `what` says what was tried, `endpoint` where.
    pub(crate) fn into_error(self, what: &str, endpoint: &str, attempts: u32) -> AdapterError {
        let retryable = self.passes();
        let tried = if attempts > 1 {
            format!(" ({attempts} attempts)")
        } else {
            String::new()
        };
        let said = match &self {
            Self::Api { message, .. } if !message.is_empty() => format!(": {}", one_line(message)),
            _ => String::new(),
        };
        let message = format!("{what} at `{endpoint}`: {}{said}{tried}", self.reason());
        let (code, help) = self.advice();
        let mut error = AdapterError::new(code, message).help(help);
        error.data.retryable = retryable;
        error
    }

    fn advice(&self) -> (ErrorCode, &'static str) {
        match self {
            Self::Api { code, .. } => match code.as_str() {
                "unauthorized" => (
                    ErrorCode::AuthenticationFailed,
                    "the token that `api_token` refers to is not valid: make a new one in https://console.hetzner.cloud under Security, API tokens",
                ),
                "forbidden" => (
                    ErrorCode::AuthenticationFailed,
                    "the token that `api_token` refers to may not do this: use one of the project that owns the servers",
                ),
                "token_readonly" => (
                    ErrorCode::AuthenticationFailed,
                    "the token that `api_token` refers to may only read: make one with read and write access",
                ),
                "rate_limit_exceeded" => (
                    ErrorCode::RateLimited,
                    "the project has used up its requests: wait a few minutes, then run the command again",
                ),
                "invalid_input" => (
                    ErrorCode::ExternalFailure,
                    "the API does not take what was sent: see https://docs.hetzner.cloud, and whether there is a newer version of this adapter",
                ),
                "protected" => (
                    ErrorCode::ExternalFailure,
                    "make sure that the address is the right server's; remove the protection in https://console.hetzner.cloud only if its data may go",
                ),
                "locked" => (
                    ErrorCode::ExternalFailure,
                    "another action did not end in time: see the activities in https://console.hetzner.cloud, then run the command again",
                ),
                "resource_limit_exceeded" => (
                    ErrorCode::ExternalFailure,
                    "the project has reached a limit: see Limits in https://console.hetzner.cloud",
                ),
                "not_found" => (
                    ErrorCode::ExternalFailure,
                    "check `HCLOUD_ENDPOINT`: it ends in the version, such as `https://api.hetzner.cloud/v1`",
                ),
                "maintenance" => (
                    ErrorCode::ExternalFailure,
                    "Hetzner is working on the API: see https://status.hetzner.com, then run the command again",
                ),
                _ => (
                    ErrorCode::ExternalFailure,
                    "see https://status.hetzner.com, then run the command again",
                ),
            },
            Self::Network(why) if why.contains("certificate") => (
                ErrorCode::ExternalFailure,
                "where a proxy of your organization stands between, add its authority to those of this machine, or name a file of all that are to count: `SSL_CERT_FILE=FILE`",
            ),
            Self::Timeout | Self::Network(_) => (
                ErrorCode::ExternalFailure,
                "check the network, the proxy variables and `HCLOUD_ENDPOINT`, then run the command again",
            ),
            Self::Unreadable(_) => (
                ErrorCode::ExternalFailure,
                "check `HCLOUD_ENDPOINT` and what stands between here and the API, such as a proxy",
            ),
        }
    }
}

/// Returns the error code that a status stands for where the body names none.
fn code_of_status(status: u16) -> Option<&'static str> {
    Some(match status {
        401 => "unauthorized",
        403 => "forbidden",
        404 => "not_found",
        409 => "conflict",
        423 => "locked",
        429 => "rate_limit_exceeded",
        502 => "bad_gateway",
        504 => "timeout",
        _ => return None,
    })
}

/// Makes foreign text fit for a message: one line, no control characters, not too long.
pub(crate) fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MESSAGE_LIMIT)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, code: &str) -> Refusal {
        Refusal::from_answer(
            status,
            None,
            &format!(r#"{{"error":{{"code":"{code}","message":"because"}}}}"#),
        )
    }

    #[test]
    fn exactly_the_documented_codes_are_tried_again() {
        for (status, code) in [
            (409, "conflict"),
            (429, "rate_limit_exceeded"),
            (502, "bad_gateway"),
            (504, "timeout"),
            (423, "locked"),
        ] {
            assert!(answer(status, code).passes(), "{code}");
        }
        let lasting = [
            (401, "unauthorized"),
            (403, "forbidden"),
            (403, "token_readonly"),
            (404, "not_found"),
            (422, "invalid_input"),
            (403, "protected"),
            (503, "maintenance"),
            (500, "server_error"),
        ];
        for (status, code) in lasting {
            assert!(!answer(status, code).passes(), "{code}");
        }
        assert!(Refusal::Timeout.passes());
        assert!(!Refusal::Network("connection refused".into()).passes());
    }

    #[test]
    fn an_answer_without_a_body_is_read_by_its_status() {
        let read = |status| Refusal::from_answer(status, Some("1700000000"), "<html>");
        let api = |code: &str, status: u16| Refusal::Api {
            code: code.into(),
            message: format!("HTTP status {status}"),
            reset: Some(1_700_000_000),
        };
        assert_eq!(read(429), api("rate_limit_exceeded", 429));
        assert_eq!(read(502), api("bad_gateway", 502));
        assert_eq!(
            read(302),
            Refusal::Unreadable("HTTP status 302 without an error code".into())
        );
    }

    #[test]
    fn errors_say_what_to_do() {
        let check = |refusal: Refusal, code, retryable, message: &str| {
            let error = refusal.into_error("cannot list the servers", "http://x/v1", 1);
            assert_eq!(
                (error.code, error.data.retryable, error.message.as_str()),
                (code, retryable, message)
            );
            assert!(error.data.help.is_some());
        };
        check(
            answer(401, "unauthorized"),
            ErrorCode::AuthenticationFailed,
            false,
            "cannot list the servers at `http://x/v1`: the API answered `unauthorized`: because",
        );
        check(
            answer(403, "token_readonly"),
            ErrorCode::AuthenticationFailed,
            false,
            "cannot list the servers at `http://x/v1`: the API answered `token_readonly`: because",
        );
        check(
            answer(429, "rate_limit_exceeded"),
            ErrorCode::RateLimited,
            true,
            "cannot list the servers at `http://x/v1`: the API asks to slow down: because",
        );
        check(
            Refusal::Network("connection refused".into()),
            ErrorCode::ExternalFailure,
            false,
            "cannot list the servers at `http://x/v1`: the API cannot be reached: connection refused",
        );
    }

    #[test]
    fn foreign_text_stays_on_one_line() {
        assert_eq!(one_line("a\nb\u{1b}[31mc"), "a b [31mc");
        assert_eq!(one_line(&"x".repeat(1000)).len(), MESSAGE_LIMIT);
    }
}
