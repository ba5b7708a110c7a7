//! Error codes of the protocol. Standard JSON-RPC codes keep their meaning; ours are positive, outside the range that JSON-RPC reserves.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ProtocolVersion;
use crate::message::Diagnostic;

/// Why a request failed, as the adapter says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// -32700: not JSON.
    ParseError,
    /// -32600: not a request.
    InvalidRequest,
    /// -32601: the method does not exist.
    MethodNotFound,
    /// -32602: the parameters do not have the method's shape.
    InvalidParams,
    /// -32603: the adapter has a bug.
    Internal,
    /// 1001: no common protocol version; the data say which ones are supported.
    ProtocolUnsupported,
    /// 1002: something was called before `initialize`.
    NotInitialized,
    /// 1003: the method exists but this adapter does not offer it.
    MethodNotOffered,
    /// 1010: the configuration is wrong; the data hold diagnostics.
    InvalidInputs,
    /// 1011: a secret that the call needs was not handed over.
    SecretMissing,
    /// 1012: a capability that the call needs was not handed over.
    CapabilityMissing,
    /// 1020: the host cancelled the call.
    Cancelled,
    /// 1030: something outside failed.
    ExternalFailure,
    /// 1031: something outside asks to slow down.
    RateLimited,
    /// 1032: something outside refused the credentials.
    AuthenticationFailed,
    /// 1033: a program that the call needs is missing or too old on this machine.
    ToolMissing,
    /// Any other.
    Other(i32),
}

const CODES: [(ErrorCode, i32); 16] = [
    (ErrorCode::ParseError, -32700),
    (ErrorCode::InvalidRequest, -32600),
    (ErrorCode::MethodNotFound, -32601),
    (ErrorCode::InvalidParams, -32602),
    (ErrorCode::Internal, -32603),
    (ErrorCode::ProtocolUnsupported, 1001),
    (ErrorCode::NotInitialized, 1002),
    (ErrorCode::MethodNotOffered, 1003),
    (ErrorCode::InvalidInputs, 1010),
    (ErrorCode::SecretMissing, 1011),
    (ErrorCode::CapabilityMissing, 1012),
    (ErrorCode::Cancelled, 1020),
    (ErrorCode::ExternalFailure, 1030),
    (ErrorCode::RateLimited, 1031),
    (ErrorCode::AuthenticationFailed, 1032),
    (ErrorCode::ToolMissing, 1033),
];

impl From<ErrorCode> for i32 {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::Other(number) => number,
            known => CODES
                .iter()
                .find(|(code, _)| *code == known)
                .map_or(-32603, |(_, number)| *number),
        }
    }
}

impl From<i32> for ErrorCode {
    fn from(number: i32) -> Self {
        CODES
            .iter()
            .find(|(_, known)| *known == number)
            .map_or(Self::Other(number), |(code, _)| *code)
    }
}

/// What an error carries besides code and message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ErrorData {
    /// Findings, for `InvalidInputs`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<Diagnostic>,
    /// What to do next, one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// The versions that the adapter speaks, for `ProtocolUnsupported`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub supported: Vec<ProtocolVersion>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_numbers_go_both_ways() {
        for (code, number) in CODES {
            assert_eq!(i32::from(code), number);
            assert_eq!(ErrorCode::from(number), code);
        }
        assert_eq!(i32::from(ErrorCode::from(4711)), 4711);
    }
}
