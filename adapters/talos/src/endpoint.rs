//! The address of the Kubernetes API: how it may be written, and the one form in which it is used.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use crate::problem::Problem;
use crate::syntax::is_dns_name;

const FORM: &str = "write it as `https://host:port`, such as `https://203.0.113.10:6443`, `https://[2001:db8::10]:6443` or `https://api.example.com:6443`";

/// `https://host:port`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Endpoint {
    /// An address or a DNS name, without brackets.
    pub(crate) host: String,
    /// The TCP port.
    pub(crate) port: u16,
}

impl Endpoint {
    /// Reads an endpoint; `host:port` without a scheme means `https`.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        let wrong = |why: &str| Problem::new(format!("`{text}` is not an endpoint: {why}"), FORM);
        let rest = match text.split_once("://") {
            Some(("https", rest)) => rest,
            Some((scheme, _)) => {
                return Err(wrong(&format!(
                    "its scheme is `{scheme}` and must be `https`"
                )));
            }
            None => text,
        };
        if rest.contains(['/', '?', '#']) {
            return Err(wrong("it has a path, and nothing may follow the port"));
        }
        if rest.contains('@') {
            return Err(wrong("it names a user, and credentials do not belong here"));
        }
        let (host, port) = split(rest).map_err(|why| wrong(&why))?;
        let port = port.parse().ok().filter(|port| *port != 0);
        let port = port.ok_or_else(|| wrong("its port is not a number from 1 to 65535"))?;
        Ok(Self { host, port })
    }

    /// The host as an address, where it is one.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

fn split(rest: &str) -> Result<(String, &str), String> {
    if let Some(rest) = rest.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or("its bracket is not closed")?;
        let address: Ipv6Addr = host
            .parse()
            .map_err(|_| format!("`{host}` is not an IPv6 address"))?;
        let port = after.strip_prefix(':').ok_or("it has no port")?;
        return Ok((address.to_string(), port));
    }
    if rest.parse::<Ipv6Addr>().is_ok() || rest.matches(':').count() > 1 {
        return Err("an IPv6 address needs brackets, and a port after them".into());
    }
    let (host, port) = rest.split_once(':').ok_or("it has no port")?;
    let looks_like_ipv4 = !host.is_empty() && host.chars().all(|c| c.is_ascii_digit() || c == '.');
    if looks_like_ipv4 && host.parse::<IpAddr>().is_err() {
        return Err(format!("`{host}` is not an IPv4 address"));
    }
    if !looks_like_ipv4 && !is_dns_name(host) {
        return Err(format!("`{host}` is neither an address nor a DNS name"));
    }
    Ok((host.to_owned(), port))
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(f, "https://[{host}]:{port}")
        } else {
            write!(f, "https://{host}:{port}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_good_form_becomes_one() {
        for (text, normal) in [
            ("https://203.0.113.10:6443", "https://203.0.113.10:6443"),
            ("203.0.113.10:6443", "https://203.0.113.10:6443"),
            (
                "https://[2001:DB8:0::10]:6443",
                "https://[2001:db8::10]:6443",
            ),
            ("https://api.example.com:443", "https://api.example.com:443"),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().to_string(), normal);
        }
    }

    #[test]
    fn every_bad_form_says_why() {
        for (text, why) in [
            (
                "http://203.0.113.10:6443",
                "its scheme is `http` and must be `https`",
            ),
            ("https://203.0.113.10", "it has no port"),
            (
                "https://203.0.113.10:6443/",
                "it has a path, and nothing may follow the port",
            ),
            (
                "https://203.0.113.300:6443",
                "`203.0.113.300` is not an IPv4 address",
            ),
            (
                "https://203.0.113.10:0",
                "its port is not a number from 1 to 65535",
            ),
            (
                "https://203.0.113.10:65536",
                "its port is not a number from 1 to 65535",
            ),
            (
                "https://2001:db8::10:6443",
                "an IPv6 address needs brackets, and a port after them",
            ),
            ("https://[2001:db8::10]", "it has no port"),
            ("https://[nope]:6443", "`nope` is not an IPv6 address"),
            (
                "https://my_host:6443",
                "`my_host` is neither an address nor a DNS name",
            ),
            ("https://:6443", "`` is neither an address nor a DNS name"),
            (
                "https://root@203.0.113.10:6443",
                "it names a user, and credentials do not belong here",
            ),
        ] {
            let problem = Endpoint::parse(text).unwrap_err();
            assert_eq!(
                problem,
                Problem::new(format!("`{text}` is not an endpoint: {why}"), FORM)
            );
        }
    }
}
