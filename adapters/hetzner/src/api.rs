//! A polite client of the Hetzner Cloud API: reads all pages, tries again only what may pass, keeps to a budget, says what it is doing.
//! Changes nothing; the stages do.

use std::cell::Cell;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::Agent;
use ztc_adapter_sdk::protocol::ErrorCode;
use ztc_adapter_sdk::{AdapterError, CallContext};

use crate::endpoint::Endpoint;
use crate::pacing::{self, Pacing};
use crate::refusal::Refusal;
use crate::server::Server;

/// The most that the API gives at once.
const PER_PAGE: u32 = 50;

/// Largest answer that is read: a page of servers is some hundred kilobytes.
const ANSWER_LIMIT: u64 = 16 * 1024 * 1024;

/// Requests of one call. A project has 3600 in an hour; 200 list ten thousand servers.
const BUDGET: u32 = 200;

/// One request.
#[derive(Clone, Copy)]
enum Ask<'a> {
    Get(&'a str),
    /// With JSON as its body.
    Post(&'a str, &'a str),
}

/// A request that was given up.
struct Refused {
    refusal: Refusal,
    attempts: u32,
}

/// A client for the length of one call.
pub(crate) struct Client<'a> {
    requests: Cell<u32>,
    /// For the sake of the rate limit.
    waited: Cell<Duration>,
    agent: Agent,
    endpoint: Endpoint,
    token: String,
    pacing: Pacing,
    call: &'a CallContext,
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
            requests: Cell::new(0),
            waited: Cell::new(Duration::ZERO),
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
            let answer: ServersPage = self.ask(WHAT, Ask::Get(&path))?;
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

    /// Fails where the token may only read, so that this is known before anything is destroyed.
    ///
    /// The API refuses such a token for the method alone. What is sent can create nothing, because both of an SSH key's required fields are
    /// missing: a token that may write is told so.
    pub(crate) fn check_write(&self) -> Result<(), AdapterError> {
        const WHAT: &str = "cannot change anything in the project";
        match self.patiently(Ask::Post("/ssh_keys", "{}"))? {
            Ok(_) => Ok(()),
            Err(refused) if refused.refusal.is_about_input() => Ok(()),
            Err(refused) => Err(self.fail(WHAT, refused)),
        }
    }

    /// Says how much was asked of the API.
    pub(crate) fn report(&self) {
        let (requests, waited) = (self.requests.get(), self.waited.get());
        let limit = match waited.is_zero() {
            true => String::new(),
            false => format!("; waited {:.1} s for its rate limit", waited.as_secs_f64()),
        };
        let message = format!("requests to the API: {requests} (at most {BUDGET}){limit}");
        self.call.log("notice", message);
    }

    fn ask<T: DeserializeOwned>(&self, what: &str, ask: Ask) -> Result<T, AdapterError> {
        let answer = self.patiently(ask)?.and_then(|body| {
            serde_json::from_str(&body).map_err(|error| Refused {
                refusal: Refusal::Unreadable(error.to_string()),
                attempts: 1,
            })
        });
        answer.map_err(|refused| self.fail(what, refused))
    }

    /// Asks until there is an answer, or a refusal that will stay.
    fn patiently(&self, ask: Ask) -> Result<Result<String, Refused>, AdapterError> {
        let mut attempt = 1;
        let mut locked = Duration::ZERO;
        loop {
            if self.call.is_cancelled() {
                return Err(CallContext::cancelled());
            }
            self.spend()?;
            let refusal = match self.once(ask) {
                Ok(answer) => return Ok(Ok(answer)),
                Err(refusal) => refusal,
            };
            let is_locked = refusal.is_locked() && locked < self.pacing.locked;
            if !refusal.passes() || (attempt >= self.pacing.attempts && !is_locked) {
                return Ok(Err(Refused {
                    refusal,
                    attempts: attempt,
                }));
            }
            let pause = self
                .pacing
                .pause(attempt, pacing::jitter(), refusal.until());
            let reason = refusal.reason();
            self.call
                .log("info", format!("{reason}; attempt {attempt}"));
            pacing::wait(self.call, pause, &reason)?;
            if refusal.is_locked() {
                // Somebody else's action is no failed attempt, but its end is not waited for without one.
                locked += pause;
            }
            if refusal.is_rate_limit() {
                self.waited.set(self.waited.get() + pause);
            }
            attempt += 1;
        }
    }

    fn spend(&self) -> Result<(), AdapterError> {
        let spent = self.requests.get();
        if spent >= BUDGET {
            let message = format!(
                "{spent} requests to `{}` are enough",
                self.endpoint.as_str()
            );
            return Err(AdapterError::new(ErrorCode::ExternalFailure, message).help(
                "the project has too many servers, or the API sends its client round in circles",
            ));
        }
        self.requests.set(spent + 1);
        Ok(())
    }

    fn once(&self, ask: Ask) -> Result<String, Refusal> {
        let url = |path: &str| format!("{}{path}", self.endpoint.as_str());
        let bearer = format!("Bearer {}", self.token);
        let sent = match ask {
            Ask::Get(path) => self
                .agent
                .get(url(path))
                .header("Authorization", bearer)
                .header("Accept", "application/json")
                .call(),
            Ask::Post(path, body) => self
                .agent
                .post(url(path))
                .header("Authorization", bearer)
                .header("Accept", "application/json")
                .header("Content-Type", "application/json")
                .send(body),
        };
        let mut response = sent.map_err(network)?;
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
        match status {
            200..300 => Ok(body),
            _ => Err(Refusal::from_answer(status, reset.as_deref(), &body)),
        }
    }

    fn fail(&self, what: &str, refused: Refused) -> AdapterError {
        let Refused { refusal, attempts } = refused;
        self.mask(refusal.into_error(what, self.endpoint.as_str(), attempts))
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

    use super::*;
    use crate::fake_api::{FakeApi, answer, page, refusal, server};

    /// As patient as the real one, in a thousandth of the time.
    fn quick() -> Pacing {
        Pacing {
            first: Duration::from_millis(1),
            cap: Duration::from_millis(5),
            locked: Duration::from_millis(50),
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
    fn the_budget_ends() {
        // Pages that never end: something else than the API.
        let endless = (1..=BUDGET).map(|number| page(&[], Some(number + 1)));
        let api = FakeApi::start(endless.collect());
        let error = list(&api).unwrap_err();
        let expected = format!("{BUDGET} requests to `{}` are enough", api.endpoint());
        assert_eq!(error.message, expected);
        assert_eq!(api.requests().len(), BUDGET as usize);
    }

    #[test]
    fn a_lock_is_waited_for_longer_than_a_failure() {
        let locked = vec![refusal(423, "locked"); 9];
        let done = page(&[server(1, "a", "203.0.113.1")], None);
        let api = FakeApi::start([locked, vec![done]].concat());
        assert_eq!(names(&list(&api).unwrap()), ["a"]);
        let api = FakeApi::start(vec![refusal(423, "locked"); 50]);
        let error = list(&api).unwrap_err();
        assert!(error.message.contains("`locked`"), "{error}");
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
