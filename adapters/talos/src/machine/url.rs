//! URLs as Talos reads them: what is refused, and the parts that rules ask for. Resolves nothing.

use std::net::Ipv6Addr;

/// A URL in parts; whatever is not there is empty.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Url {
    pub(crate) scheme: String,
    /// Host and port, without escapes.
    pub(crate) authority: String,
    pub(crate) path: String,
}

impl Url {
    /// Reads a URL. The reason for a refusal completes "the URL is wrong: ...".
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
        let url = Self::without_fragment(text, false)?;
        escapes(fragment)?;
        Ok(url)
    }

    /// Reads a URL that must be absolute or a path from the root, as in a request.
    pub(crate) fn parse_request(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("it is empty".into());
        }
        Self::without_fragment(text, true)
    }

    fn without_fragment(text: &str, request: bool) -> Result<Self, String> {
        if text.chars().any(|c| c.is_ascii_control()) {
            return Err("it has a control character".into());
        }
        if text == "*" {
            return Ok(Self {
                path: text.to_owned(),
                ..Self::default()
            });
        }
        let (scheme, rest) = scheme(text)?;
        let rest = rest.split_once('?').map_or(rest, |(before, _)| before);
        let mut url = Self {
            scheme: scheme.to_ascii_lowercase(),
            ..Self::default()
        };
        if !rest.starts_with('/') {
            if !scheme.is_empty() {
                return Ok(url);
            }
            if request {
                return Err("it begins neither with a scheme nor with `/`".into());
            }
            let first = rest.split('/').next().unwrap_or_default();
            if first.contains(':') {
                return Err(format!(
                    "`{first}` has a colon and no scheme such as `https://` before it"
                ));
            }
        }
        let has_authority =
            rest.starts_with("//") && (!scheme.is_empty() || !request && !rest.starts_with("///"));
        let path = if has_authority {
            let end = rest[2..].find('/').map_or(rest.len(), |at| at + 2);
            url.authority = authority(&rest[2..end])?;
            &rest[end..]
        } else {
            rest
        };
        escapes(path)?;
        url.path = path.to_owned();
        Ok(url)
    }

    /// The host without brackets.
    pub(crate) fn host(&self) -> &str {
        let host = split_port(&self.authority).0;
        host.strip_prefix('[')
            .map_or(host, |host| host.trim_end_matches(']'))
    }

    /// The port; empty where there is none.
    pub(crate) fn port(&self) -> &str {
        split_port(&self.authority).1
    }

    /// Says why the URL cannot be connected to: the stricter check of endpoints.
    pub(crate) fn check_endpoint(&self) -> Result<(), String> {
        let colons = self.authority.matches(':').count();
        if colons > 2 && !(self.authority.contains('[') && self.authority.contains(']')) {
            return Err(
                "an IPv6 address needs brackets, as in `https://[2001:db8::1]:6443`".into(),
            );
        }
        if self.host().is_empty() {
            return Err("the host is missing".into());
        }
        if self.host().contains('%') && !self.authority.is_ascii() {
            return Err("the zone of the address has characters that are not ASCII".into());
        }
        let port = self.port();
        let in_range = port.parse::<u16>().is_ok_and(|port| port != 0);
        if !port.is_empty() && !in_range {
            return Err(format!("the port `{port}` is not from 1 to 65535"));
        }
        Ok(())
    }
}

/// Splits `host:port`, which Talos wants for sinks and peers: the port is what follows the last colon.
pub(crate) fn split_host_port(text: &str) -> Result<(&str, &str), &'static str> {
    let (host, port) = text.rsplit_once(':').ok_or("the port is missing")?;
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner
            .strip_suffix(']')
            .ok_or("the brackets do not enclose the host")?;
        return if inner.contains(['[', ']']) {
            Err("there are brackets too many")
        } else {
            Ok((inner, port))
        };
    }
    if host.contains(':') {
        return Err("there are colons too many; an IPv6 address needs brackets");
    }
    if host.contains(['[', ']']) || port.contains(['[', ']']) {
        return Err("there are brackets too many");
    }
    Ok((host, port))
}

fn scheme(text: &str) -> Result<(&str, &str), String> {
    for (index, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if index > 0 => {}
            ':' if index == 0 => return Err("the scheme before `:` is missing".into()),
            ':' => return Ok((&text[..index], &text[index + 1..])),
            _ => return Ok(("", text)),
        }
    }
    Ok(("", text))
}

fn authority(text: &str) -> Result<String, String> {
    let host = match text.rsplit_once('@') {
        Some((user, host)) => {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
            if !user.chars().all(plain) {
                return Err("the user before `@` has characters that must be escaped".into());
            }
            escapes(user)?;
            host
        }
        None => text,
    };
    match (host.rfind('['), host.rfind(']')) {
        (None, _) => {
            port(host.rfind(':').map_or("", |at| &host[at..]))?;
            unescaped(host, In::Host)
        }
        (Some(open), Some(close)) if open < close => {
            let after = &host[close + 1..];
            port(after)?;
            Ok(format!("[{}]{after}", address(&host[open + 1..close])?))
        }
        (Some(_), Some(_)) => Err("the brackets stand the wrong way round".into()),
        (Some(_), None) => Err("the bracket `[` is not closed".into()),
    }
}

/// What stands in brackets: an IPv6 address, and its zone behind `%25`.
fn address(text: &str) -> Result<String, String> {
    let decoded = match text.find("%25") {
        Some(at) => {
            let zone = unescaped(&text[at..], In::Zone)?;
            unescaped(&text[..at], In::Host)? + &zone
        }
        None if text.contains('%') => {
            return Err("the `%` before a zone is written as `%25`".into());
        }
        None => unescaped(text, In::Host)?,
    };
    let (address, zone) = match decoded.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (decoded.as_str(), None),
    };
    if address.parse::<Ipv6Addr>().is_err() {
        return Err(format!("`{address}` is not an IPv6 address"));
    }
    if zone == Some("") {
        return Err("the zone behind `%25` is missing".into());
    }
    Ok(decoded)
}

fn port(text: &str) -> Result<(), String> {
    let digits = text.strip_prefix(':');
    if text.is_empty()
        || digits.is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))
    {
        Ok(())
    } else {
        Err(format!("`{text}` after the host is not a port"))
    }
}

/// Which part of a URL an escape stands in.
#[derive(Clone, Copy, Debug, PartialEq)]
enum In {
    Host,
    Zone,
}

/// Takes the escapes out of a host or a zone, which may escape little.
fn unescaped(text: &str, part: In) -> Result<String, String> {
    escapes(text)?;
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            if byte.is_ascii() && !is_of_host(*byte) {
                return Err(format!(
                    "the host cannot have the character `{}`",
                    char::from(*byte)
                ));
            }
            bytes.push(*byte);
            continue;
        }
        let digit = |at: usize| after.get(at).and_then(|c| char::from(*c).to_digit(16));
        let value = match (digit(0), digit(1)) {
            (Some(high), Some(low)) => u8::try_from(high * 16 + low).unwrap_or_default(),
            _ => continue,
        };
        rest = after.get(2..).unwrap_or_default();
        let good = match part {
            In::Host => value >= 0x80,
            In::Zone => value == b' ' || is_of_host(value),
        };
        if !good && value != b'%' {
            return Err("the host has an escape that it cannot have".into());
        }
        bytes.push(value);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn is_of_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:[]<>\"".contains(&byte)
}

fn split_port(authority: &str) -> (&str, &str) {
    match authority.rfind(':') {
        Some(colon)
            if !authority[colon..].contains(']')
                && authority[colon + 1..].chars().all(|c| c.is_ascii_digit()) =>
        {
            (&authority[..colon], &authority[colon + 1..])
        }
        _ => (authority, ""),
    }
}

fn escapes(text: &str) -> Result<(), String> {
    for (index, _) in text.match_indices('%') {
        let escape = text.as_bytes().get(index + 1..index + 3);
        if !escape.is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) {
            return Err("a `%` is not followed by two hexadecimal digits".into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found() {
        let url = Url::parse("HTTPS://user:pw@[2001:db8::1]:6443/a?b#c").unwrap();
        assert_eq!(
            (
                url.scheme.as_str(),
                url.host(),
                url.port(),
                url.path.as_str()
            ),
            ("https", "2001:db8::1", "6443", "/a")
        );
        let url = Url::parse("localhost:6443").unwrap();
        assert_eq!((url.scheme.as_str(), url.host()), ("localhost", ""));
        assert_eq!(Url::parse("/manifest.yaml").unwrap().host(), "");
    }

    #[test]
    fn wrong_urls_say_why() {
        for (text, why) in [
            (
                "203.0.113.10:6443",
                "`203.0.113.10:6443` has a colon and no scheme such as `https://` before it",
            ),
            (":6443", "the scheme before `:` is missing"),
            ("https://a b", "the host cannot have the character ` `"),
            ("https://a:b", "`:b` after the host is not a port"),
            ("https://[::1", "the bracket `[` is not closed"),
            ("https://[nope]:1", "`nope` is not an IPv6 address"),
            (
                "https://a/%zz",
                "a `%` is not followed by two hexadecimal digits",
            ),
            ("https://a%41", "the host has an escape that it cannot have"),
            ("https://a\u{1}", "it has a control character"),
        ] {
            assert_eq!(Url::parse(text).unwrap_err(), why, "{text}");
        }
        assert_eq!(
            Url::parse_request("foo").unwrap_err(),
            "it begins neither with a scheme nor with `/`"
        );
    }

    #[test]
    fn endpoints_need_a_host_and_a_port_in_range() {
        for (text, why) in [
            ("https://:6443", "the host is missing"),
            ("https://a:0", "the port `0` is not from 1 to 65535"),
            ("https://a:65536", "the port `65536` is not from 1 to 65535"),
            (
                "https://2001:db8::1:6443",
                "an IPv6 address needs brackets, as in `https://[2001:db8::1]:6443`",
            ),
        ] {
            assert_eq!(Url::parse(text).unwrap().check_endpoint().unwrap_err(), why);
        }
        for good in ["https://a", "https://[::1]:6443", "https://a:6443/"] {
            assert_eq!(Url::parse(good).unwrap().check_endpoint(), Ok(()));
        }
    }

    #[test]
    fn hosts_and_ports_are_split() {
        assert_eq!(split_host_port("[::1]:80"), Ok(("::1", "80")));
        assert_eq!(split_host_port("a:"), Ok(("a", "")));
        for bad in ["a", "::1:80", "[::1:80", "[[a]]:1", "a:1]"] {
            assert!(split_host_port(bad).is_err(), "{bad}");
        }
    }

    /// What Go's `net/url` refuses, of which Talos 1.11 is made.
    #[test]
    fn hosts_zones_ports_and_escapes_are_judged_as_go_does() {
        let brackets = "the bracket `[` is not closed";
        let zone = "the `%` before a zone is written as `%25`";
        let escape = "a `%` is not followed by two hexadecimal digits";
        for (text, why) in [
            ("https://[fe80::1%eth0]:6443", zone),
            ("https://[fe80::1%]:6443", zone),
            (
                "https://[fe80::1%25]:6443",
                "the zone behind `%25` is missing",
            ),
            ("https://[::1%25eth0%zz]", escape),
            (
                "https://[::1%25eth0%2f]",
                "the host has an escape that it cannot have",
            ),
            ("https://[1.2.3.4]:6443", "`1.2.3.4` is not an IPv6 address"),
            ("https://[v1.x]", "`v1.x` is not an IPv6 address"),
            ("https://[]:6443", "`` is not an IPv6 address"),
            ("https://a[b]:6443", "`b` is not an IPv6 address"),
            ("https://[::1:6443", brackets),
            ("https://]a[:6443", "the brackets stand the wrong way round"),
            ("https://[::1]6443", "`6443` after the host is not a port"),
            ("https://a:+1", "`:+1` after the host is not a port"),
            ("https://a: 6443", "`: 6443` after the host is not a port"),
            (
                "https://a:\u{ff16}",
                "`:\u{ff16}` after the host is not a port",
            ),
            (
                "https://u p@a",
                "the user before `@` has characters that must be escaped",
            ),
            ("https://u%zz@a", escape),
            (
                "https://a%20b",
                "the host has an escape that it cannot have",
            ),
            ("https://a\\b", "the host cannot have the character `\\`"),
            ("https://a^b", "the host cannot have the character `^`"),
            ("https://a#%zz", escape),
            ("https://a/%", escape),
            ("https://a\tb", "it has a control character"),
            (
                "https ://a:1",
                "`https :` has a colon and no scheme such as `https://` before it",
            ),
            ("://a", "the scheme before `:` is missing"),
        ] {
            assert_eq!(Url::parse(text).unwrap_err(), why, "{text}");
        }
        for good in [
            "https://[fe80::1%25eth0]:6443",
            "https://[fe80::1%25e%20h]:6443",
            "https://[::ffff:1.2.3.4]:6443",
            "https://a%c3%a9:6443",
            "https://a%25:6443",
            "https://é.example:6443",
            "https://a_b.\"<>:06443",
            "https://u:p:q@x[::1]:6443/%41?%zz#f f",
            "HTTPS://a:",
            "*",
            "",
        ] {
            assert!(Url::parse(good).is_ok(), "{good}");
        }
        let zone = Url::parse("https://[fe80::1%25é]:6443").unwrap();
        assert_eq!(
            zone.check_endpoint().unwrap_err(),
            "the zone of the address has characters that are not ASCII"
        );
        assert_eq!(
            Url::parse("https://[fe80::1%25eth0]:6443").unwrap().host(),
            "fe80::1%eth0"
        );
    }
}
