//! HTTP as sources of plugins use it: TLS everywhere but to this machine, redirects that never leave that rule and carry no credentials, a
//! limit on every wait. Knows neither trees nor registries, and shows no address with its query, which may be a pass. Whose certificates
//! count is in `certificates`, how slowly an answer may come in `pace`.

use std::io::Read;
use std::time::{Duration, Instant};

use ureq::http::{HeaderMap, Request};
use ureq::{Agent, AsSendBody, SendBody};
use url::Url;

use crate::error::{Exit, Failure};
use crate::plugins::certificates;
use crate::plugins::pace::{self, Paced, Slow};

/// How long the connection may take, and how long a small file.
const CONNECT: Duration = Duration::from_secs(10);
pub(crate) const SMALL: Duration = Duration::from_secs(60);

/// The slowest transfer that is waited for, in bytes a second.
const SLOWEST: u64 = 16 << 10;

/// How many redirects are followed.
const REDIRECTS: u32 = 5;

/// How long a file of a size may take.
pub(crate) fn patience(size: u64) -> Duration {
    SMALL + Duration::from_secs(size / SLOWEST)
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Post,
    Put,
}

/// What is sent along.
pub(crate) enum Content<'a> {
    Nothing,
    Bytes(&'a [u8]),
    /// So many bytes of a reader.
    Stream(&'a mut dyn Read, u64),
}

/// One question.
pub(crate) struct Question<'a> {
    pub(crate) method: Method,
    pub(crate) url: &'a Url,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// Sent to the first address only, never to where that sends on to.
    pub(crate) authorization: Option<String>,
    pub(crate) content: Content<'a>,
    pub(crate) limit: Duration,
}

/// What came back.
pub(crate) struct Answer {
    /// Who has answered: where the last redirect led.
    pub(crate) from: Url,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Box<dyn Read>,
}

impl Answer {
    /// A header's text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body up to a size; longer ones are refused.
    pub(crate) fn small(self, place: &str, path: &str, most: u64) -> Result<Vec<u8>, Failure> {
        read_small(self.body, place, path, most)
    }
}

/// Reads what should be small.
pub(crate) fn read_small(
    reader: impl Read,
    place: &str,
    path: &str,
    most: u64,
) -> Result<Vec<u8>, Failure> {
    let mut content = Vec::new();
    reader
        .take(most + 1)
        .read_to_end(&mut content)
        .map_err(|error| broken(place, path, &error))?;
    match content.len() as u64 > most {
        true => Err(Failure::new(
            Exit::Refused,
            format!("`{path}` of `{place}` has no end: it is longer than {most} bytes"),
        )
        .help("do not use this tree: tell its publisher by another way than this source")),
        false => Ok(content),
    }
}

/// A transfer that ended in the middle.
pub(crate) fn broken(place: &str, path: &str, error: &std::io::Error) -> Failure {
    if let Some(slow) = Slow::of(error) {
        return too_slow(format!("`{path}` of `{place}` comes too slowly"), slow);
    }
    Failure::failed(format!("`{path}` of `{place}` broke off"))
        .detail(error)
        .help("run the same command again; nothing was installed")
}

fn too_slow(message: String, why: Slow) -> Failure {
    Failure::failed(message).detail(why).help(format!(
        "run the same command again, or take another source or a mirror; `{}=SECONDS` waits longer",
        pace::VARIABLE
    ))
}

/// Reads an address; `place` is what people know the source by.
pub(crate) fn address(place: &str, text: &str) -> Result<Url, Failure> {
    Url::parse(text).map_err(|error| {
        Failure::invalid(format!(
            "`{place}` has no address that can be asked: {error}"
        ))
        .help("name another source")
    })
}

/// Asks, and goes where the answer sends. `place` is what people know the source by.
pub(crate) fn ask(place: &str, question: Question<'_>) -> Result<Answer, Failure> {
    let Question {
        method,
        url,
        headers,
        mut authorization,
        content,
        limit,
    } = question;
    let begun = Instant::now();
    let mut at = url.clone();
    check(place, url, &at)?;
    // Only what sends nothing is sent on.
    let mut content = Some(content);
    for _ in 0..=REDIRECTS {
        let left = limit.saturating_sub(begun.elapsed());
        let sent = content.take().unwrap_or(Content::Nothing);
        let moves = matches!(sent, Content::Nothing);
        let answer = once(
            place,
            method,
            &at,
            &headers,
            authorization.take(),
            sent,
            left,
        )?;
        let location = match answer.status {
            301 | 302 | 303 | 307 | 308
                if moves && matches!(method, Method::Get | Method::Head) =>
            {
                answer.header("location")
            }
            _ => None,
        };
        let Some(location) = location else {
            return Ok(answer);
        };
        let next = at.join(location).map_err(|_| {
            Failure::failed(format!("`{place}` sends elsewhere, and does not say where"))
                .help("run the same command again later")
        })?;
        check(place, url, &next)?;
        at = next;
    }
    Err(Failure::failed(format!(
        "`{place}` sends elsewhere more than {REDIRECTS} times"
    ))
    .help("run the same command again later"))
}

fn once(
    place: &str,
    method: Method,
    at: &Url,
    headers: &[(&'static str, String)],
    authorization: Option<String>,
    content: Content<'_>,
    limit: Duration,
) -> Result<Answer, Failure> {
    let stall = pace::stall()?;
    let limit = limit.max(stall);
    let asked = Asked {
        place,
        at,
        stall,
        limit,
    };
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_connect(Some(CONNECT))
        .timeout_per_read(Some(stall))
        .timeout_per_write(Some(stall))
        .timeout_global(Some(limit));
    if at.scheme() == "https" {
        config = config.tls_config(certificates::config()?);
    }
    if is_here(at) {
        // No proxy stands between this machine and itself.
        config = config.proxy(None);
    }
    let agent: Agent = config.build().into();
    let word = match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
    };
    let mut request = Request::builder().method(word).uri(at.as_str());
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    match content {
        Content::Nothing if matches!(method, Method::Get | Method::Head) => {
            run(&asked, &agent, request.body(()))
        }
        Content::Nothing => run(&asked, &agent, request.body([].as_slice())),
        Content::Bytes(bytes) => run(&asked, &agent, request.body(bytes)),
        Content::Stream(reader, size) => {
            let request = request.header("content-length", size);
            run(&asked, &agent, request.body(SendBody::from_reader(reader)))
        }
    }
}

/// Whom a question goes to.
struct Asked<'a> {
    place: &'a str,
    at: &'a Url,
    stall: Duration,
    limit: Duration,
}

fn run(
    asked: &Asked<'_>,
    agent: &Agent,
    request: Result<Request<impl AsSendBody>, ureq::http::Error>,
) -> Result<Answer, Failure> {
    let request = request.map_err(|error| asked.unreachable(&error))?;
    let response = agent.run(request).map_err(|error| asked.failed(&error))?;
    let (parts, body) = response.into_parts();
    Ok(Answer {
        from: asked.at.clone(),
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: Box::new(Paced::new(body.into_reader(), asked.stall, asked.limit)),
    })
}

impl Asked<'_> {
    fn failed(&self, error: &ureq::Error) -> Failure {
        let slow = |why: Slow| too_slow(format!("`{}` does not answer", self.place), why);
        match error {
            ureq::Error::Timeout(ureq::Timeout::PerRead | ureq::Timeout::PerWrite) => {
                slow(Slow::Silent(self.stall.as_secs()))
            }
            ureq::Error::Timeout(ureq::Timeout::Global) => slow(Slow::Late(self.limit.as_secs())),
            error => certificates::problem(self.place, &origin(self.at), error)
                .unwrap_or_else(|| self.unreachable(error)),
        }
    }

    fn unreachable(&self, error: &dyn std::fmt::Display) -> Failure {
        let place = self.place;
        let failure = Failure::failed(format!("`{place}` cannot be reached")).detail(error);
        let failure = match proxy().filter(|_| !is_here(self.at)) {
            Some(variable) => failure.detail(format!("through the proxy that `{variable}` names")),
            None => failure,
        };
        failure.help(AWAY)
    }
}

/// What helps where a source of adapters cannot be reached.
pub(crate) const AWAY: &str = "check the network and run the same command again; without one, install from a mirror (`ZTC_PLUGINS_MIRROR=DIR`), or go on with what is \
     installed already (`ztc plugins list`)";

/// Returns the variable that names the proxy; its value may hold a password.
fn proxy() -> Option<&'static str> {
    const VARIABLES: [&str; 6] = [
        "ALL_PROXY",
        "all_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "HTTP_PROXY",
        "http_proxy",
    ];
    VARIABLES
        .into_iter()
        .find(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// Refuses an address that everybody on the way could answer for. `first` is where it began.
pub(crate) fn check(place: &str, first: &Url, next: &Url) -> Result<(), Failure> {
    let plain = next.scheme() == "http" && first.scheme() == "http" && is_here(next);
    if next.scheme() == "https" || plain {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Refused,
        format!(
            "`{place}` sends to `{}`, where everybody on the way can answer",
            origin(next)
        ),
    )
    .help("tell its publisher: only `https://` addresses are followed"))
}

/// Scheme, host and port of an address, and nothing that could be a pass.
pub(crate) fn origin(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}"));
    format!(
        "{}://{}{}",
        url.scheme(),
        url.host_str().unwrap_or_default(),
        port.unwrap_or_default()
    )
}

fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_on_the_way_can_answer_is_followed() {
        for (first, next, followed) in [
            ("https://a.example", "https://b.example/x?pass=1", true),
            ("https://a.example", "http://b.example", false),
            ("https://a.example", "http://127.0.0.1:1", false),
            ("http://127.0.0.1:1", "http://127.0.0.1:2", true),
            ("http://127.0.0.1:1", "http://[::1]:2", true),
            ("http://127.0.0.1:1", "http://127.0.0.1.b.example", false),
            ("http://b.example", "http://b.example", false),
            ("https://a.example", "file:///etc/passwd", false),
        ] {
            let url = |text: &str| Url::parse(text).unwrap();
            let found = check("there", &url(first), &url(next));
            assert_eq!(found.is_ok(), followed, "{first} {next}");
            let shown = found.err().map(|failure| failure.message);
            assert!(!shown.unwrap_or_default().contains("pass=1"));
        }
    }
}
