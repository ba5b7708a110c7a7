//! A polite client of the Hetzner Cloud API: reads all pages, tries again only what may pass, says what it is doing.
//! Only reads; the stages change things.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::Agent;
use ztc_adapter_sdk::protocol::ErrorCode;
use ztc_adapter_sdk::{AdapterError, CallContext};

use crate::endpoint::Endpoint;
use crate::pacing::{self, Pacing};
use crate::refusal::Refusal;

/// The most that the API gives at once.
const PER_PAGE: u32 = 50;

/// Largest answer that is read: a page of servers is some hundred kilobytes.
const ANSWER_LIMIT: u64 = 16 * 1024 * 1024;

/// A client for the length of one call.
pub(crate) struct Client<'a> {
    agent: Agent,
    endpoint: Endpoint,
    token: String,
    pacing: Pacing,
    call: &'a CallContext,
}

/// A server, as far as it matters here. What the API may leave out or drop is optional.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Server {
    pub(crate) id: u64,
    pub(crate) name: String,
    #[serde(default)]
    public_net: Option<PublicNet>,
    pub(crate) server_type: ServerType,
    #[serde(default)]
    location: Option<Named>,
    #[serde(default)]
    datacenter: Option<Datacenter>,
    #[serde(default)]
    protection: Option<Protection>,
}

#[derive(Clone, Debug, Deserialize)]
struct PublicNet {
    #[serde(default)]
    ipv4: Option<Address>,
}

#[derive(Clone, Debug, Deserialize)]
struct Address {
    ip: String,
}

/// The type of a server.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ServerType {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) architecture: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Named {
    name: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Datacenter {
    #[serde(default)]
    location: Option<Named>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct Protection {
    delete: bool,
    rebuild: bool,
}

impl Server {
    /// Returns the public IPv4 address, which a server need not have.
    pub(crate) fn ip(&self) -> Option<&str> {
        Some(self.public_net.as_ref()?.ipv4.as_ref()?.ip.as_str())
    }

    /// Returns where it stands, such as `fsn1`. The API used to say it in the data center, which it is dropping.
    pub(crate) fn location(&self) -> &str {
        let newer = self.location.as_ref();
        let older = || self.datacenter.as_ref()?.location.as_ref();
        newer
            .or_else(older)
            .map_or("", |location| location.name.as_str())
    }

    /// Whether the operator has protected it against deletion or rebuild.
    pub(crate) fn is_protected(&self) -> bool {
        self.protection
            .is_some_and(|protection| protection.delete || protection.rebuild)
    }
}

#[derive(Deserialize)]
struct ServersPage {
    servers: Vec<Server>,
    #[serde(default)]
    meta: Meta,
}

#[derive(Default, Deserialize)]
struct Meta {
    #[serde(default)]
    pagination: Pagination,
}

#[derive(Default, Deserialize)]
struct Pagination {
    #[serde(default)]
    next_page: Option<u32>,
}

impl<'a> Client<'a> {
    /// Makes a client. The token is checked for form, so that a file with a stray line break is no riddle.
    pub(crate) fn new(
        endpoint: Endpoint,
        token: &str,
        pacing: Pacing,
        call: &'a CallContext,
    ) -> Result<Self, AdapterError> {
        let token = token.trim();
        if token.is_empty() {
            return Err(
                AdapterError::new(ErrorCode::SecretMissing, "the API token is empty")
                    .help("check what `api_token` refers to"),
            );
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let message =
                "the API token holds characters that no token has, such as a space or a line break";
            return Err(AdapterError::new(ErrorCode::AuthenticationFailed, message)
                .help("check what `api_token` refers to"));
        }
        let agent = endpoint.agent(pacing.request)?;
        Ok(Self {
            agent,
            endpoint,
            token: token.to_owned(),
            pacing,
            call,
        })
    }

    /// Returns all servers of the project.
    pub(crate) fn servers(&self) -> Result<Vec<Server>, AdapterError> {
        const WHAT: &str = "cannot list the servers";
        let mut servers = Vec::new();
        let mut page = 1;
        loop {
            self.call.progress(
                format!("listing the servers of the project, page {page}"),
                None,
            );
            let path = format!("/servers?page={page}&per_page={PER_PAGE}");
            let answer: ServersPage = self.get(WHAT, &path)?;
            servers.extend(answer.servers);
            match answer.meta.pagination.next_page {
                None => return Ok(servers),
                // Anything but forward would go round in circles.
                Some(next) if next > page => page = next,
                Some(next) => {
                    let refusal = Refusal::Unreadable(format!("page {next} follows page {page}"));
                    return Err(refusal.into_error(WHAT, self.endpoint.as_str(), 1));
                }
            }
        }
    }

    fn get<T: DeserializeOwned>(&self, what: &str, path: &str) -> Result<T, AdapterError> {
        let mut attempt = 1;
        loop {
            if self.call.is_cancelled() {
                return Err(CallContext::cancelled());
            }
            let refusal = match self.get_once(path) {
                Ok(answer) => return Ok(answer),
                Err(refusal) => refusal,
            };
            if attempt >= self.pacing.attempts || !refusal.passes() {
                return Err(self.mask(refusal.into_error(what, self.endpoint.as_str(), attempt)));
            }
            let pause = self
                .pacing
                .pause(attempt, pacing::jitter(), refusal.until());
            self.call.log(
                "info",
                format!(
                    "{}; attempt {attempt} of {}",
                    refusal.reason(),
                    self.pacing.attempts
                ),
            );
            pacing::wait(self.call, pause, &refusal.reason())?;
            attempt += 1;
        }
    }

    fn get_once<T: DeserializeOwned>(&self, path: &str) -> Result<T, Refusal> {
        let mut response = self
            .agent
            .get(format!("{}{path}", self.endpoint.as_str()))
            .header("Authorization", format!("Bearer {}", self.token))
            .header("Accept", "application/json")
            .call()
            .map_err(network)?;
        let status = response.status().as_u16();
        let reset = response
            .headers()
            .get("ratelimit-reset")
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let body = response
            .body_mut()
            .with_config()
            .limit(ANSWER_LIMIT)
            .read_to_string()
            .map_err(network)?;
        if !(200..300).contains(&status) {
            return Err(Refusal::from_answer(status, reset.as_deref(), &body));
        }
        serde_json::from_str(&body).map_err(|error| Refusal::Unreadable(error.to_string()))
    }

    /// Takes the token out of an error, should a server or a proxy have repeated it.
    fn mask(&self, mut error: AdapterError) -> AdapterError {
        error.message = error.message.replace(&self.token, "***");
        error
    }
}

fn network(error: ureq::Error) -> Refusal {
    match error {
        ureq::Error::Timeout(_) => Refusal::Timeout,
        ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => Refusal::Timeout,
        ureq::Error::Io(error) => Refusal::Network(error.to_string()),
        ureq::Error::BodyExceedsLimit(limit) => {
            Refusal::Unreadable(format!("longer than {limit} bytes"))
        }
        other => Refusal::Network(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::fake_api::{FakeApi, answer, page, refusal, server};

    /// As patient as the real one, in a thousandth of the time.
    fn quick() -> Pacing {
        Pacing {
            first: Duration::from_millis(1),
            cap: Duration::from_millis(5),
            ..Pacing::default()
        }
    }

    fn list(api: &FakeApi) -> Result<Vec<Server>, AdapterError> {
        let call = CallContext::detached();
        Client::new(
            Endpoint::parse(&api.endpoint()).unwrap(),
            "s3cr3t",
            quick(),
            &call,
        )
        .unwrap()
        .servers()
    }

    fn names(servers: &[Server]) -> Vec<&str> {
        servers.iter().map(|server| server.name.as_str()).collect()
    }

    #[test]
    fn all_pages_are_read_and_every_request_carries_the_token() {
        let api = FakeApi::start(vec![
            page(&[server(1, "a", "203.0.113.1")], Some(2)),
            page(&[server(2, "b", "203.0.113.2")], Some(3)),
            page(&[server(3, "c", "203.0.113.3")], None),
        ]);
        assert_eq!(names(&list(&api).unwrap()), ["a", "b", "c"]);
        let requests = api.requests();
        let lines: Vec<_> = requests
            .iter()
            .map(|request| request.lines().next().unwrap())
            .collect();
        assert_eq!(
            lines,
            [
                "GET /v1/servers?page=1&per_page=50 HTTP/1.1",
                "GET /v1/servers?page=2&per_page=50 HTTP/1.1",
                "GET /v1/servers?page=3&per_page=50 HTTP/1.1",
            ]
        );
        assert!(requests.iter().all(|request| {
            request
                .to_lowercase()
                .contains("authorization: bearer s3cr3t")
        }));
    }

    #[test]
    fn what_passes_is_tried_again() {
        let api = FakeApi::start(vec![
            refusal(429, "rate_limit_exceeded")
                .replace("\r\n\r\n", "\r\nRateLimit-Reset: 99999999999\r\n\r\n"),
            answer(502, "<html>bad gateway</html>"),
            refusal(423, "locked"),
            page(&[server(1, "a", "203.0.113.1")], None),
        ]);
        assert_eq!(names(&list(&api).unwrap()), ["a"]);
        assert_eq!(api.requests().len(), 4);
    }

    #[test]
    fn what_lasts_is_asked_once() {
        for (status, code, expected) in [
            (401, "unauthorized", ErrorCode::AuthenticationFailed),
            (403, "forbidden", ErrorCode::AuthenticationFailed),
            (403, "token_readonly", ErrorCode::AuthenticationFailed),
            (500, "server_error", ErrorCode::ExternalFailure),
        ] {
            let api = FakeApi::start(vec![refusal(status, code)]);
            let error = list(&api).unwrap_err();
            assert_eq!((error.code, api.requests().len()), (expected, 1), "{code}");
            assert!(
                error
                    .message
                    .contains(&format!("the API answered `{code}`")),
                "{error}"
            );
        }
    }

    #[test]
    fn patience_ends() {
        let api = FakeApi::start(vec![refusal(429, "rate_limit_exceeded"); 6]);
        let error = list(&api).unwrap_err();
        assert_eq!(
            (error.code, error.data.retryable),
            (ErrorCode::RateLimited, true)
        );
        assert!(error.message.ends_with("(6 attempts)"), "{error}");
        assert_eq!(api.requests().len(), 6);
    }

    #[test]
    fn the_token_is_in_no_message() {
        let api = FakeApi::start(vec![
            refusal(401, "unauthorized").replace("because", "s3cr3t!"),
        ]);
        let error = list(&api).unwrap_err();
        assert!(error.message.ends_with(": ***!"), "{error}");
    }

    #[test]
    fn answers_of_something_else_are_named() {
        let api = FakeApi::start(vec![answer(200, "<html>login</html>")]);
        let error = list(&api).unwrap_err();
        assert!(
            error
                .message
                .contains("the answer is not one of the Hetzner Cloud API"),
            "{error}"
        );
        let api = FakeApi::start(vec![page(&[], Some(1))]);
        let error = list(&api).unwrap_err();
        assert!(error.message.ends_with("page 1 follows page 1"), "{error}");
    }

    #[test]
    fn a_server_may_lack_address_data_center_and_protection() {
        let bare: Server = serde_json::from_value(json!({
            "id": 7, "name": "bare", "public_net": {"ipv4": null}, "server_type": {"name": "cax11", "architecture": "arm"},
        }))
        .unwrap();
        assert_eq!(
            (bare.ip(), bare.location(), bare.is_protected()),
            (None, "", false)
        );
        let older: Server = serde_json::from_value(json!({
            "id": 8, "name": "older", "public_net": {"ipv4": {"ip": "203.0.113.8"}}, "server_type": {"name": "cx22"},
            "datacenter": {"name": "fsn1-dc8", "location": {"name": "fsn1"}}, "protection": {"delete": false, "rebuild": true},
        }))
        .unwrap();
        assert_eq!(
            (older.ip(), older.location(), older.is_protected()),
            (Some("203.0.113.8"), "fsn1", true)
        );
    }

    #[test]
    fn a_token_that_cannot_be_one_is_refused_before_the_first_request() {
        let call = CallContext::detached();
        let make = |token: &str| {
            let endpoint = Endpoint::parse("http://127.0.0.1:1/v1").unwrap();
            Client::new(endpoint, token, quick(), &call)
                .err()
                .map(|error| error.code)
        };
        assert_eq!(make(" \n"), Some(ErrorCode::SecretMissing));
        assert_eq!(make("two words"), Some(ErrorCode::AuthenticationFailed));
        assert_eq!(make("s3cr3t\n"), None);
    }
}
