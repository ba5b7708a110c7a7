//! Forms of small texts: DNS names, Kubernetes labels and taints, networks, disk sizes, URLs. Pure yes-or-no questions.

use std::net::IpAddr;

/// A network such as `10.244.0.0/16`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let bits = bits
            .parse()
            .ok()
            .filter(|_| bits.chars().all(|c| c.is_ascii_digit()))?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        (bits <= width).then_some(Self { address, bits })
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let shift = 32 - u32::from(self.bits);
                u32::from(own).checked_shr(shift) == u32::from(other).checked_shr(shift)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let shift = 128 - u32::from(self.bits);
                u128::from(own).checked_shr(shift) == u128::from(other).checked_shr(shift)
            }
            _ => false,
        }
    }

    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.address) && self.bits <= other.bits
            || other.contains(self.address) && other.bits <= self.bits
    }

    /// How long its prefix is.
    pub(crate) fn bits(&self) -> u8 {
        self.bits
    }

    pub(crate) fn is_ipv4(&self) -> bool {
        self.address.is_ipv4()
    }
}

/// Lower-case letters, digits and hyphens, at most 63, not starting or ending with a hyphen.
pub(crate) fn is_dns_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=63).contains(&text.len())
        && text.chars().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Labels joined by dots. Upper case is fine: names are compared without it.
pub(crate) fn is_dns_name(text: &str) -> bool {
    text.len() <= 253 && text.to_ascii_lowercase().split('.').all(is_dns_label)
}

/// `name` or `prefix/name`, as Kubernetes wants the keys of labels and taints.
pub(crate) fn is_qualified_name(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => {
            is_dns_name(prefix) && prefix == prefix.to_ascii_lowercase() && is_name(name)
        }
        None => is_name(text),
    }
}

/// A label's value: empty or a name.
pub(crate) fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_name(text)
}

/// `value:Effect`, `:Effect` or `Effect`.
pub(crate) fn is_taint(text: &str) -> bool {
    let (value, effect) = text.rsplit_once(':').unwrap_or(("", text));
    is_label_value(value) && ["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect)
}

/// `http://` or `https://` with a host and without blanks and quotes.
pub(crate) fn is_url(text: &str) -> bool {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let plain =
        |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '`' | '\\' | '<' | '>' | '$');
    rest.is_some_and(|rest| {
        !rest.is_empty() && !rest.starts_with(['/', ':']) && rest.chars().all(plain)
    })
}

/// A URL that means itself in a shell too, without a question or a name in front of the host: letters, digits and `-._~:/%[]`.
pub(crate) fn is_plain_url(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~:/%[]".contains(c);
    is_url(text) && text.chars().all(plain)
}

/// Whether a URL has a password, or anything else, in front of its host.
pub(crate) fn has_credentials(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#'])
        .next()
        .is_some_and(|host| host.contains('@'))
}

/// A path below `/dev` of harmless characters.
pub(crate) fn is_device(text: &str) -> bool {
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | ':' | '+');
    text.len() > 5 && text.starts_with("/dev/") && text.chars().all(plain) && !text.contains("..")
}

/// A size with an optional comparison, such as `>= 100GB`.
pub(crate) fn is_disk_size(text: &str) -> bool {
    let rest = text.trim_start_matches(['<', '>', '=']);
    let sign = &text[..text.len() - rest.len()];
    let rest = rest.trim();
    let digits = rest
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(rest.len());
    let units = [
        "", "B", "KB", "MB", "GB", "TB", "PB", "KIB", "MIB", "GIB", "TIB", "PIB",
    ];
    ["", "<", "<=", ">", ">=", "=="].contains(&sign)
        && rest[..digits].parse::<f64>().is_ok()
        && units.contains(&rest[digits..].trim().to_ascii_uppercase().as_str())
}

fn is_name(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.len() <= 63
        && edge(text.chars().next())
        && edge(text.chars().last())
        && text.chars().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(check: fn(&str) -> bool, good: &[&str], bad: &[&str]) {
        assert_eq!(
            good.iter().filter(|text| !check(text)).collect::<Vec<_>>(),
            Vec::<&&str>::new()
        );
        assert_eq!(
            bad.iter().filter(|text| check(text)).collect::<Vec<_>>(),
            Vec::<&&str>::new()
        );
    }

    #[test]
    fn names() {
        all(
            is_dns_label,
            &["cp01", "a", "a-b"],
            &["", "-a", "a-", "a.b", "CP01", "a_b", &"a".repeat(64)],
        );
        all(
            is_dns_name,
            &["a.b", "API.example.com"],
            &["", "a..b", "a.", "bad domain"],
        );
    }

    #[test]
    fn labels_and_taints() {
        all(
            is_qualified_name,
            &["rack", "example.com/rack", "a_b.C"],
            &["", "bad label!", "a/b/c", "/a", "Ex.com/a", "a/"],
        );
        all(is_label_value, &["", "rack0"], &["-x", "a b"]);
        all(
            is_taint,
            &["gpu:NoSchedule", "NoExecute", ":PreferNoSchedule"],
            &["gpu:Nope", "gpu", "", "a b:NoSchedule"],
        );
    }

    #[test]
    fn devices_sizes_and_urls() {
        all(
            is_device,
            &["/dev/sda", "/dev/disk/by-id/wwn-0x5"],
            &["sda", "/dev/", "/dev/../etc", "/dev/sda;reboot"],
        );
        all(
            is_disk_size,
            &[">= 100GB", "100GB", "<=1TiB", "== 5"],
            &["lots", "", ">= GB", "=> 5GB", "5 XB"],
        );
        all(
            is_url,
            &["https://a/b", "http://127.0.0.1:8080"],
            &[
                "ftp://a",
                "https://",
                "https:///x",
                "https://a b",
                "https://$(a)",
            ],
        );
        all(
            is_plain_url,
            &[
                "https://factory.talos.dev",
                "https://mirror.example.com:8443/talos%20x/~a",
                "http://[::1]:8080",
            ],
            &[
                "https://a/b;reboot",
                "https://a/b&reboot",
                "https://a/b|sh",
                "https://a/*",
                "https://a/(b)",
                "https://a/b?c",
                "https://a/b#c",
                "https://user@a/b",
                "https://a/{b,c}",
                "https://a/!b",
            ],
        );
        all(
            has_credentials,
            &["https://user:password@a/b", "https://token@a"],
            &["https://a/@b", "https://a?to=b@c", "a"],
        );
    }

    #[test]
    fn networks() {
        let network = |text| Network::parse(text).unwrap();
        assert!(network("10.244.0.0/16").contains("10.244.7.7".parse().unwrap()));
        assert!(!network("10.244.0.0/16").contains("10.245.0.0".parse().unwrap()));
        assert!(network("0.0.0.0/0").contains("10.245.0.0".parse().unwrap()));
        assert!(network("10.0.0.0/8").overlaps(&network("10.96.0.0/12")));
        assert!(network("10.96.0.0/12").overlaps(&network("10.0.0.0/8")));
        assert!(!network("10.244.0.0/16").overlaps(&network("10.96.0.0/12")));
        assert!(!network("fd00::/8").overlaps(&network("10.96.0.0/12")));
        for bad in [
            "10.0.0.0",
            "10.0.0.0/33",
            "10.0.0.300/24",
            "fd00::/129",
            "10.0.0.0/+8",
        ] {
            assert_eq!(Network::parse(bad), None, "{bad}");
        }
    }
}
