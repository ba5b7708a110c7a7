//! Where an answer of a web server may send on to: what is fetched by TLS stays behind TLS, and what this machine serves stays on it. Pure.

use crate::plugins::source::is_loopback;

/// Returns the address that `location` means, seen from `from`, or why it is not followed.
pub(crate) fn next(from: &str, location: &str) -> Result<String, &'static str> {
    let (scheme, rest) = from.split_once("://").unwrap_or(("https", from));
    let authority = rest.split('/').next().unwrap_or(rest);
    let to = if location.contains("://") {
        location.to_owned()
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let directory = from
            .rsplit_once('/')
            .map_or(from, |(directory, _)| directory);
        format!("{directory}/{location}")
    };
    let (to_scheme, to_rest) = to.split_once("://").unwrap_or((&to, ""));
    let host = to_rest.split(['/', '?', '#']).next().unwrap_or_default();
    match (scheme, to_scheme) {
        _ if host.is_empty() => Err("that is no address"),
        _ if host.contains('@') => Err("the address holds a user"),
        ("https" | "http", "https") => Ok(to),
        ("https", "http") => Err("without TLS everybody on the way can answer"),
        ("http", "http") if is_loopback(to_rest) => Ok(to),
        ("http", "http") => Err("without TLS everybody on the way can answer"),
        _ => Err("only `https://` is followed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(from: &str, location: &str, expected: Result<&str, &str>) {
        assert_eq!(
            next(from, location),
            expected.map(str::to_owned),
            "{from} {location}"
        );
    }

    #[test]
    fn what_is_behind_tls_stays_there() {
        let from = "https://example.org/tree/index.json";
        check(
            from,
            "https://cdn.example.org/i",
            Ok("https://cdn.example.org/i"),
        );
        check(from, "/other/i", Ok("https://example.org/other/i"));
        check(
            from,
            "i.json?x=1",
            Ok("https://example.org/tree/i.json?x=1"),
        );
        check(from, "//cdn.example.org/i", Ok("https://cdn.example.org/i"));
        let plain = Err("without TLS everybody on the way can answer");
        check(from, "http://example.org/i", plain);
        check(from, "http://127.0.0.1/i", plain);
        check(from, "file:///etc/passwd", Err("that is no address"));
        check(
            from,
            "ftp://example.org/i",
            Err("only `https://` is followed"),
        );
        check(
            from,
            "https://me:secret@example.org/i",
            Err("the address holds a user"),
        );
        check(
            from,
            "HTTP://example.org/i",
            Err("only `https://` is followed"),
        );
    }

    #[test]
    fn what_this_machine_serves_stays_on_it() {
        let from = "http://127.0.0.1:8080/tree/index.json";
        check(from, "http://[::1]:8080/i", Ok("http://[::1]:8080/i"));
        check(from, "/i", Ok("http://127.0.0.1:8080/i"));
        check(from, "https://example.org/i", Ok("https://example.org/i"));
        check(
            from,
            "http://192.0.2.1/i",
            Err("without TLS everybody on the way can answer"),
        );
        check(
            from,
            "http://127.0.0.1@example.org/i",
            Err("the address holds a user"),
        );
    }
}
