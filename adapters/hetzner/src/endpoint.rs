//! Where the API is: the address, whether a token may be sent there, and how to connect. Never holds the token.

use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ztc_adapter_sdk::AdapterError;
use ztc_adapter_sdk::certificates::{Authorities, Origin, authorities};
use ztc_adapter_sdk::protocol::ErrorCode;

/// The API where the operator names no other.
pub(crate) const DEFAULT: &str = "https://api.hetzner.cloud/v1";

/// The variable that names another one.
pub(crate) const VARIABLE: &str = "HCLOUD_ENDPOINT";

/// The API's address without a slash at the end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Endpoint {
    address: String,
    loopback: bool,
}

impl Endpoint {
    /// Takes the address from the environment.
    pub(crate) fn from_environment() -> Result<Self, AdapterError> {
        let named = std::env::var(VARIABLE).unwrap_or_default();
        Self::parse(if named.trim().is_empty() {
            DEFAULT
        } else {
            named.trim()
        })
    }

    /// Checks an address. Plain HTTP is for this machine only: anywhere else it would show the token to the network.
    pub(crate) fn parse(address: &str) -> Result<Self, AdapterError> {
        let fail = |why: &str| {
            AdapterError::new(
                ErrorCode::InvalidInputs,
                format!("`{VARIABLE}` is `{address}`: {why}"),
            )
            .help(format!(
                "set it to an address such as `{DEFAULT}`, or unset it"
            ))
        };
        let (scheme, rest) = address
            .split_once("://")
            .ok_or_else(|| fail("it does not begin with `https://`"))?;
        let authority = rest.split('/').next().unwrap_or_default();
        if authority.is_empty()
            || address.contains(|c: char| c.is_whitespace() || c.is_control() || "?#".contains(c))
        {
            return Err(fail("it is not an address"));
        }
        if authority.contains('@') {
            return Err(AdapterError::new(
                ErrorCode::InvalidInputs,
                format!("`{VARIABLE}` holds credentials"),
            )
            .help("leave user and password out: the API knows tokens only"));
        }
        let host = authority
            .rsplit_once(':')
            .map_or(authority, |(host, _)| host);
        let loopback = host == "localhost"
            || host == "[::1]"
            || host
                .parse::<std::net::Ipv4Addr>()
                .is_ok_and(|ip| ip.is_loopback());
        match scheme {
            "https" => {}
            "http" if loopback => {}
            "http" => return Err(fail("plain `http` would send the token unencrypted")),
            _ => return Err(fail("it does not begin with `https://`")),
        }
        Ok(Self {
            address: address.trim_end_matches('/').to_owned(),
            loopback,
        })
    }

    /// Returns the address.
    pub(crate) fn as_str(&self) -> &str {
        &self.address
    }

    /// Makes an HTTP client for it: no redirects, since the token belongs to this address only, and no proxy to this machine.
    pub(crate) fn agent(&self, request: Duration) -> Result<Agent, AdapterError> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(request))
            .user_agent(concat!("ztc-adapter-hetzner/", env!("CARGO_PKG_VERSION")));
        if self.loopback {
            config = config.proxy(None);
        }
        if self.address.starts_with("https://") {
            config = config.tls_config(TlsConfig::builder().root_certs(roots()?).build());
        }
        Ok(config.build().into())
    }
}

/// Returns the authorities that count on this machine, as for its other programs; Mozilla's list only where it has none.
fn roots() -> Result<RootCerts, AdapterError> {
    let Authorities {
        origin,
        certificates,
        problems,
    } = authorities();
    match origin {
        Origin::Nowhere => Ok(RootCerts::WebPki),
        Origin::Variable(variable) if certificates.is_empty() => {
            let why = problems.first().map_or("it is empty", String::as_str);
            let message = format!(
                "`{variable}` names no certificates of authorities that can be read: {why}"
            );
            Err(AdapterError::new(ErrorCode::InvalidInputs, message)
                .help("name a file of certificates in PEM (`SSL_CERT_FILE`) or a directory of such files (`SSL_CERT_DIR`), or unset it: then those of this machine count"))
        }
        Origin::Variable(_) | Origin::Machine => Ok(RootCerts::Specific(Arc::new(
            certificates
                .iter()
                .map(|der| Certificate::from_der(der).to_owned())
                .collect(),
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_kept_without_its_last_slash() {
        let parse = |text| Endpoint::parse(text).unwrap().as_str().to_owned();
        assert_eq!(parse(DEFAULT), "https://api.hetzner.cloud/v1");
        assert_eq!(
            parse("http://127.0.0.1:4711/v1/"),
            "http://127.0.0.1:4711/v1"
        );
        assert_eq!(parse("http://localhost/v1"), "http://localhost/v1");
        assert_eq!(parse("http://[::1]:80/v1"), "http://[::1]:80/v1");
    }

    #[test]
    fn a_token_goes_nowhere_unencrypted() {
        let check = |text: &str, expected: &str| {
            assert_eq!(Endpoint::parse(text).unwrap_err().message, expected);
        };
        check(
            "http://api.hetzner.cloud/v1",
            "`HCLOUD_ENDPOINT` is `http://api.hetzner.cloud/v1`: plain `http` would send the token unencrypted",
        );
        check(
            "http://127.0.0.1.example.com/v1",
            "`HCLOUD_ENDPOINT` is `http://127.0.0.1.example.com/v1`: plain `http` would send the token unencrypted",
        );
        check(
            "api.hetzner.cloud/v1",
            "`HCLOUD_ENDPOINT` is `api.hetzner.cloud/v1`: it does not begin with `https://`",
        );
        check(
            "https://user:password@example.com/v1",
            "`HCLOUD_ENDPOINT` holds credentials",
        );
        check(
            "https://",
            "`HCLOUD_ENDPOINT` is `https://`: it is not an address",
        );
    }
}
