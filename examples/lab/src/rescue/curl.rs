//! `curl` from loopback to standard output, with the options that download scripts use. It writes no file and reaches no other machine.

use std::io::Write;
use std::time::Duration;

use super::Failure;
use crate::client;

/// What is asked.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    url: String,
    fail: bool,
    retries: u32,
    range: Option<String>,
    write_out: String,
}

/// Runs `curl`.
pub(super) fn run(arguments: &[String]) -> Result<(), Failure> {
    let plan = plan(arguments)?;
    check_host(&plan.url)?;
    let mut left = plan.retries;
    loop {
        match fetch(&plan) {
            Err((_, Retry::Yes)) if left > 0 => {
                left -= 1;
                std::thread::sleep(Duration::from_millis(200));
            }
            ended => return ended.map_err(|(failure, _)| failure),
        }
    }
}

/// Whether a failure may be gone the next time.
enum Retry {
    Yes,
    No,
}

fn fetch(plan: &Plan) -> Result<(), (Failure, Retry)> {
    let mut request = client::agent().get(&plan.url);
    if let Some(range) = &plan.range {
        request = request.header("Range", format!("bytes={range}"));
    }
    let dialed = request.call();
    let mut response =
        dialed.map_err(|problem| (Failure(format!("curl: (7) {problem}"), 7), Retry::Yes))?;
    let status = response.status().as_u16();
    if plan.fail && status >= 400 {
        let text = format!("curl: (22) The requested URL returned error: {status}");
        let retry = if status >= 500 { Retry::Yes } else { Retry::No };
        return Err((Failure(text, 22), retry));
    }
    let mut body = Vec::new();
    std::io::Read::read_to_end(&mut response.body_mut().as_reader(), &mut body)
        .map_err(|problem| (Failure(format!("curl: (56) {problem}"), 56), Retry::Yes))?;
    let written = plan.write_out.replace("%{http_code}", &status.to_string());
    body.extend(written.into_bytes());
    std::io::stdout()
        .write_all(&body)
        .map_err(|problem| (Failure(format!("curl: (23) {problem}"), 23), Retry::No))
}

/// Refuses every host but loopback: the lab has no way out.
fn check_host(url: &str) -> Result<(), Failure> {
    let rest = url.strip_prefix("http://").ok_or_else(|| {
        Failure(
            format!("curl: (1) the lab's curl only speaks http, not `{url}`"),
            1,
        )
    })?;
    let host = rest.split(['/', ':', '?', '#']).next().unwrap_or_default();
    let loopback = !rest.contains('@')
        && (host == "localhost"
            || host
                .parse::<std::net::Ipv4Addr>()
                .is_ok_and(|ip| ip.is_loopback()));
    if loopback {
        Ok(())
    } else {
        Err(Failure(
            format!("curl: (6) Could not resolve host: {host} (the lab has no way out)"),
            6,
        ))
    }
}

fn plan(arguments: &[String]) -> Result<Plan, Failure> {
    let mut plan = Plan::default();
    let mut words = arguments.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "--fail" | "--fail-with-body" => plan.fail = true,
            "--silent"
            | "--show-error"
            | "--location"
            | "--retry-connrefused"
            | "--retry-all-errors"
            | "--compressed"
            | "--no-progress-meter" => {}
            "--retry" => {
                plan.retries = words
                    .next()
                    .and_then(|count| count.parse().ok())
                    .unwrap_or_default();
            }
            "-w" | "--write-out" => {
                plan.write_out = words.next().unwrap_or_default().replace("\\n", "\n");
            }
            "-r" | "--range" => plan.range = words.next().map(str::to_owned),
            "--connect-timeout" | "--retry-delay" | "--retry-max-time" | "--max-time" | "-m"
            | "--speed-limit" | "--speed-time" | "--proto" | "--max-filesize" => {
                words.next();
            }
            letters
                if letters.starts_with('-')
                    && !letters.starts_with("--")
                    && letters[1..].chars().all(|letter| "fsSL".contains(letter)) =>
            {
                plan.fail |= letters.contains('f');
            }
            option if option.starts_with('-') => {
                return Err(Failure(
                    format!("curl: option {option}: the lab's curl does not have it"),
                    2,
                ));
            }
            url => plan.url = url.into(),
        }
    }
    if plan.url.is_empty() {
        Err(Failure("curl: (2) no URL specified".into(), 2))
    } else {
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(text: &str) -> Result<Plan, Failure> {
        plan(&text.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn the_options_of_downloads_are_known_and_files_are_not() {
        let expected = Plan {
            url: "http://127.0.0.1/x".into(),
            fail: true,
            retries: 3,
            range: None,
            write_out: String::new(),
        };
        assert_eq!(
            planned("-fsSL --retry 3 --connect-timeout 5 http://127.0.0.1/x"),
            Ok(expected)
        );
        for text in [
            "-o /dev/sda http://127.0.0.1/x",
            "-fsSLo x http://127.0.0.1/x",
            "--output x http://127.0.0.1/x",
            "-K config",
            "-fsS",
        ] {
            assert!(planned(text).is_err(), "{text}");
        }
    }

    #[test]
    fn there_is_no_way_out() {
        assert_eq!(check_host("http://127.0.0.1:80/x"), Ok(()));
        for url in [
            "http://factory.talos.dev/x",
            "https://127.0.0.1/x",
            "http://127.0.0.1@example.com/",
            "file:///etc/passwd",
            "http://10.0.0.1/",
        ] {
            assert!(check_host(url).is_err(), "{url}");
        }
    }
}
