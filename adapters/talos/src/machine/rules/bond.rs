//! Bonds: what their modes are, and which settings go with which mode.

use super::super::at::At;
use super::super::finding::Findings;

const MODES: [&str; 7] = [
    "balance-rr",
    "active-backup",
    "balance-xor",
    "broadcast",
    "802.3ad",
    "balance-tlb",
    "balance-alb",
];

const CHOICES: [(&str, &[&str]); 8] = [
    ("mode", &MODES),
    (
        "xmitHashPolicy",
        &["layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4"],
    ),
    ("lacpRate", &["slow", "fast"]),
    ("arpValidate", &["none", "active", "backup", "all"]),
    ("arpAllTargets", &["any", "all"]),
    ("primaryReselect", &["always", "better", "failure"]),
    ("failOverMac", &["none", "active", "follow"]),
    ("adSelect", &["stable", "bandwidth", "count"]),
];

const LACP: [&str; 1] = ["802.3ad"];
const BALANCING: [&str; 2] = ["balance-tlb", "balance-alb"];
const WITH_PRIMARY: [&str; 3] = ["active-backup", "balance-tlb", "balance-alb"];
const WITH_ARP: [&str; 4] = ["balance-rr", "active-backup", "balance-xor", "broadcast"];

/// Settings that only some modes have, and the value above which a number counts as set.
const BY_MODE: [(&str, i128, &[&str]); 8] = [
    ("lacpRate", 0, &LACP),
    ("arpValidate", 0, &WITH_ARP),
    ("arpInterval", 0, &WITH_ARP),
    ("primary", 0, &WITH_PRIMARY),
    ("packetsPerSlave", 1, &["balance-rr"]),
    ("tlbDynamicLb", 0, &BALANCING),
    ("adActorSysPrio", 0, &LACP),
    ("adUserPortKey", 0, &LACP),
];

pub(super) fn check(bond: &At<'_>, findings: &mut Findings) {
    if !bond.is_set() {
        return;
    }
    for (key, choices) in CHOICES {
        super::choice(&bond.get(key), choices, findings);
    }
    delays(bond, findings);
    for key in ["arpIPTarget", "adActorSystem"] {
        let at = bond.get(key);
        if at.has_text() || at.has_items() {
            at.error(
                findings,
                format!("Talos does not support `{key}` of a bond"),
                "take it out",
            );
        }
    }
    // An unknown mode counts as the first one.
    let text = bond.get("mode").text();
    let mode = if MODES.contains(&text) {
        text
    } else {
        MODES[0]
    };
    for (key, most, modes) in BY_MODE {
        let at = bond.get(key);
        let is_number = matches!(
            key,
            "arpInterval" | "packetsPerSlave" | "tlbDynamicLb" | "adActorSysPrio" | "adUserPortKey"
        );
        let is_set = if is_number {
            at.number() > most
        } else {
            at.has_text()
        };
        if is_set && !modes.contains(&mode) {
            let message = format!("a bond in the mode `{mode}` has no `{key}`");
            at.error(
                findings,
                message,
                format!("it goes with {}", modes.join(", ")),
            );
        }
    }
}

fn delays(bond: &At<'_>, findings: &mut Findings) {
    let interval = bond.get("miimon").number();
    for key in ["updelay", "downdelay"] {
        let at = bond.get(key);
        let delay = at.number();
        if interval == 0 && delay != 0 {
            at.error(
                findings,
                format!("`{key}` needs `miimon`"),
                "give `miimon`, such as 100",
            );
        } else if interval != 0 && delay % interval != 0 {
            let message =
                format!("`{key}` is {delay}, which is not a multiple of `miimon`, {interval}");
            at.error(findings, message, format!("take a multiple of {interval}"));
        }
    }
}
