//! The smaller documents: firewall, log and event sinks, watchdog, extensions, SideroLink, and so on.

use super::super::at::At;
use super::super::finding::Findings;
use super::super::forms;
use super::super::url::{Url, split_host_port};

/// The shortest time after which a watchdog may bite, in nanoseconds.
const MIN_WATCHDOG: f64 = 10e9;

pub(super) fn check(kind: &str, document: &At<'_>, findings: &mut Findings) {
    match kind {
        "EthernetConfig" => named(document, "eth0", findings),
        "EventSinkConfig" => event_sink(&document.get("endpoint"), findings),
        "ExtensionServiceConfig" => extension(document, findings),
        "KmsgLogConfig" => kernel_log(document, findings),
        "NetworkRuleConfig" => rule(document, findings),
        "NetworkDefaultActionConfig" if !document.get("ingress").is_set() => {
            let message = "nothing says what happens to connections, so they are accepted";
            document.get("ingress").warn(
                findings,
                message,
                "write `ingress: block` or `ingress: accept`",
            );
        }
        "PCIDriverRebindConfig" => rebind(document, findings),
        "SideroLinkConfig" => siderolink(&document.get("apiUrl"), findings),
        "TrustedRootsConfig" => roots(document, findings),
        "WatchdogTimerConfig" => watchdog(document, findings),
        "ZswapConfig" => {
            let percent = document.get("maxPoolPercent");
            if !(0..=100).contains(&percent.number()) {
                let message = format!("`{}` is not a share of the memory", percent.text());
                percent.error(findings, message, "take 0 to 100");
            }
        }
        _ => {}
    }
}

/// A name that Talos wants.
fn named(document: &At<'_>, example: &str, findings: &mut Findings) {
    let name = document.get("name");
    if !name.has_text() {
        let help = format!("write it as `name: {example}`");
        name.error(findings, "the name is missing", help);
    }
}

/// A name that Talos does not ask for, though the document does nothing without it.
fn worth_a_name(document: &At<'_>, example: &str, findings: &mut Findings) {
    let name = document.get("name");
    if !name.has_text() {
        let help = format!("write it as `name: {example}`");
        name.warn(findings, "the name is missing", help);
    }
}

fn event_sink(endpoint: &At<'_>, findings: &mut Findings) {
    if let Err(why) = split_host_port(endpoint.text()) {
        let message = format!("the endpoint `{}` is wrong: {why}", endpoint.text());
        endpoint.error(findings, message, "write it as `192.168.10.3:3247`");
    }
}

fn extension(document: &At<'_>, findings: &mut Findings) {
    named(document, "nut-client", findings);
    let files = document.get("configFiles");
    if !files.has_items() && !document.get("environment").has_items() {
        files.error(
            findings,
            "the extension service gets neither files nor an environment",
            "give `configFiles` or `environment`",
        );
    }
    for file in files.items() {
        for (key, what) in [("content", "content"), ("mountPath", "path")] {
            if !file.get(key).has_text() {
                file.get(key).error(
                    findings,
                    format!("the {what} of the file is missing"),
                    format!("give `{key}`"),
                );
            }
        }
    }
}

fn kernel_log(document: &At<'_>, findings: &mut Findings) {
    const HELP: &str = "write it as `tcp://192.168.3.7:3478`";
    named(document, "remote-log", findings);
    let at = document.get("url");
    let Some(url) = url(&at, HELP, findings) else {
        return;
    };
    if !["tcp", "udp"].contains(&url.scheme.as_str()) {
        let message = format!(
            "the kernel's log is sent over `tcp` or `udp`, not `{}`",
            url.scheme
        );
        at.error(findings, message, HELP);
    }
    no_path(&at, &url, findings);
    if url.port().is_empty() {
        at.error(findings, "the port of the URL is missing", HELP);
    }
}

fn siderolink(at: &At<'_>, findings: &mut Findings) {
    const HELP: &str = "write it as `https://siderolink.api/?jointoken=...` or `grpc://host:port`";
    let Some(url) = url(at, HELP, findings) else {
        return;
    };
    if !["https", "grpc"].contains(&url.scheme.as_str()) {
        let message = format!(
            "SideroLink is spoken over `https` or `grpc`, not `{}`",
            url.scheme
        );
        at.error(findings, message, HELP);
    }
    no_path(at, &url, findings);
}

fn url(at: &At<'_>, help: &str, findings: &mut Findings) -> Option<Url> {
    if !at.has_text() {
        at.error(findings, "the URL is missing", help);
        return None;
    }
    Url::parse(at.text()).ok()
}

fn no_path(at: &At<'_>, url: &Url, findings: &mut Findings) {
    if !["", "/"].contains(&url.path.as_str()) {
        at.error(
            findings,
            format!("the URL has a path, `{}`", url.path),
            "take the path away",
        );
    }
}

fn rule(document: &At<'_>, findings: &mut Findings) {
    named(document, "apid", findings);
    let ports = document.walk(&["portSelector", "ports"]);
    if !ports.has_items() {
        ports.error(
            findings,
            "the rule has no ports",
            "write them as `[50000, 1200-1299]`",
        );
    }
    let protocol = document.walk(&["portSelector", "protocol"]);
    if !protocol.is_set() {
        protocol.warn(
            findings,
            "the rule has no protocol",
            "the choices are tcp, udp, icmp, icmpv6",
        );
    }
    let mut ranges: Vec<_> = ports
        .items()
        .into_iter()
        .filter_map(|at| Some((forms::ports(at.text())?, at)))
        .collect();
    ranges.sort_by_key(|(range, _)| *range);
    for ((low, high), at) in &ranges {
        if low > high {
            at.error(
                findings,
                format!("the range `{}` ends before it begins", at.text()),
                "swap the two ports",
            );
        }
    }
    for pair in ranges.windows(2) {
        let (((_, high), first), ((low, _), second)) = (&pair[0], &pair[1]);
        if low <= high {
            let message = format!("`{}` overlaps `{}`", second.text(), first.text());
            second.error(findings, message, "name each port once");
        }
    }
    for ingress in document.get("ingress").items() {
        let subnet = ingress.get("subnet");
        if !subnet.has_text() {
            subnet.error(
                findings,
                "the rule has an item without a network",
                "write it as `subnet: 10.0.0.0/8`",
            );
        }
    }
}

fn rebind(document: &At<'_>, findings: &mut Findings) {
    worth_a_name(document, "0000:04:00.00", findings);
    let driver = document.get("targetDriver");
    if !driver.has_text() {
        driver.warn(
            findings,
            "the driver is missing, so the device is not bound",
            "write it as `targetDriver: vfio-pci`",
        );
    }
}

fn roots(document: &At<'_>, findings: &mut Findings) {
    worth_a_name(document, "my-enterprise-ca", findings);
    let certificates = document.get("certificates");
    if let Err(why) = forms::check_pem_text(certificates.text(), "CERTIFICATE") {
        certificates.warn(
            findings,
            format!("the value {why}, so no certificate is trusted"),
            "paste the certificates as PEM",
        );
    }
}

fn watchdog(document: &At<'_>, findings: &mut Findings) {
    let (device, timeout) = (document.get("device"), document.get("timeout"));
    if !device.has_text() {
        device.error(
            findings,
            "the device of the watchdog is missing",
            "write it as `/dev/watchdog0`",
        );
    }
    let nanoseconds = forms::duration(timeout.text()).unwrap_or(0.0);
    if nanoseconds != 0.0 && nanoseconds < MIN_WATCHDOG {
        let message = format!("`{}` is too short for a watchdog", timeout.text());
        timeout.error(findings, message, "take at least 10s");
    }
}
