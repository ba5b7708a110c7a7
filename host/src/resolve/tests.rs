//! Tests of the resolution: whole results, every error, any order.

use proptest::prelude::*;
use serde_json::json;
use ztc_protocol::manifest::Provision;

use super::*;

fn manifest(provides: &[(&str, &str)], requires: &[(&str, &str, bool)]) -> Manifest {
    Manifest {
        provides: provides
            .iter()
            .map(|(capability, version)| Provision {
                capability: (*capability).to_owned(),
                version: (*version).to_owned(),
                schema: capability.contains('/').then(|| json!({"type": "object"})),
            })
            .collect(),
        requires: requires
            .iter()
            .map(|(capability, version, optional)| Requirement {
                capability: (*capability).to_owned(),
                version: (*version).to_owned(),
                optional: *optional,
            })
            .collect(),
        ..Manifest::default()
    }
}

fn hetzner() -> Manifest {
    manifest(&[("cloud-infrastructure", "1.0")], &[])
}

fn cilium() -> Manifest {
    manifest(&[("cni", "1.0"), ("gateway-api", "1.0")], &[])
}

fn talos() -> Manifest {
    let requires = [
        ("cloud-infrastructure", "^1.0", false),
        ("cni", "^1.0", false),
        ("gateway-api", "^1.0", true),
    ];
    manifest(&[("kubernetes-api", "1.0")], &requires)
}

fn run(sections: &[(&str, &Manifest)]) -> Result<Resolution, Vec<ResolveError>> {
    let participants: Vec<_> = sections
        .iter()
        .map(|(section, manifest)| Participant { section, manifest })
        .collect();
    resolve(&participants)
}

fn failed(
    sections: &[(&str, &Manifest)],
    others: &BTreeMap<String, Manifest>,
) -> (String, String, String) {
    let locate = |section: &str| {
        Some(Location {
            file: format!("platform.yaml#{section}"),
            line: 2,
            column: 3,
        })
    };
    let failure = failure(&run(sections).unwrap_err(), locate, others);
    assert_eq!(failure.exit, Exit::Invalid);
    (
        failure.message,
        failure.location.unwrap().file,
        failure.help.unwrap(),
    )
}

#[track_caller]
fn refused(sections: &[(&str, &Manifest)], message: &str, section: &str, help: &str) {
    let expected = (
        message.to_owned(),
        format!("platform.yaml#{section}"),
        help.to_owned(),
    );
    assert_eq!(
        failed(
            sections,
            &BTreeMap::from([("calico".to_owned(), manifest(&[("cni", "1.0")], &[]))])
        ),
        expected
    );
}

#[test]
fn the_built_in_adapters_render_in_two_waves() {
    let edge = |provider: &str, capability: &str, optional| Edge {
        provider: provider.to_owned(),
        consumer: "talos".to_owned(),
        capability: capability.to_owned(),
        version: "1.0".to_owned(),
        optional,
    };
    let resolution = run(&[
        ("talos", &talos()),
        ("hetzner", &hetzner()),
        ("cilium", &cilium()),
    ])
    .unwrap();
    let providers = [
        ("cloud-infrastructure", "hetzner"),
        ("cni", "cilium"),
        ("gateway-api", "cilium"),
        ("kubernetes-api", "talos"),
    ];
    assert_eq!(
        resolution,
        Resolution {
            providers: providers
                .iter()
                .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
                .collect(),
            waves: vec![
                vec!["cilium".to_owned(), "hetzner".to_owned()],
                vec!["talos".to_owned()]
            ],
            edges: vec![
                edge("cilium", "cni", false),
                edge("cilium", "gateway-api", true),
                edge("hetzner", "cloud-infrastructure", false),
            ],
        }
    );
    let hetzner = BTreeSet::from(["hetzner".to_owned()]);
    assert_eq!(
        resolution.with_dependents(&hetzner),
        BTreeSet::from(["hetzner".to_owned(), "talos".to_owned()])
    );
}

#[test]
fn an_optional_capability_may_be_missing() {
    let plain = manifest(&[("cni", "1.2")], &[]);
    let resolution = run(&[
        ("talos", &talos()),
        ("hetzner", &hetzner()),
        ("plain", &plain),
    ])
    .unwrap();
    assert_eq!(resolution.received("talos").count(), 2);
}

#[test]
fn a_missing_provider_is_named_with_the_adapters_that_would_do() {
    refused(
        &[("talos", &talos()), ("hetzner", &hetzner())],
        "adapter `talos` requires the capability `cni`, which no adapter in platform.yaml provides",
        "talos",
        "add `calico` to `adapters` in platform.yaml (`ztc init --resume` asks for its inputs)",
    );
    refused(
        &[("talos", &talos()), ("cilium", &cilium())],
        "adapter `talos` requires the capability `cloud-infrastructure`, which no adapter in platform.yaml provides",
        "talos",
        "no installed adapter provides it; look for one with `ztc plugins list`",
    );
}

#[test]
fn two_providers_are_refused() {
    refused(
        &[("hetzner", &hetzner()), ("metal", &hetzner())],
        "adapters `hetzner` and `metal` both provide the capability `cloud-infrastructure`",
        "metal",
        "keep one of `hetzner` or `metal` in platform.yaml",
    );
}

#[test]
fn unknown_capabilities_are_refused() {
    refused(
        &[("x", &manifest(&[], &[("cmi", "^1.0", false)]))],
        "adapter `x` requires the unknown capability `cmi`: it is neither standard nor of the form `vendor/name`",
        "x",
        "did you mean `cni`?",
    );
    let mut without_schema = manifest(&[("acme/storage", "1.0")], &[]);
    without_schema.provides[0].schema = None;
    refused(
        &[("x", &without_schema)],
        "adapter `x` provides the unknown capability `acme/storage`: the adapter ships no schema for it",
        "x",
        "the standard capabilities are `cloud-infrastructure`, `cni`, `gateway-api`, or `kubernetes-api`; any other is named \
         `vendor/name` and its provider ships a schema",
    );
}

#[test]
fn versions_must_match() {
    let new = manifest(&[("cni", "2.1")], &[]);
    refused(
        &[
            ("talos", &manifest(&[], &[("cni", "^1.0", true)])),
            ("new", &new),
        ],
        "adapter `talos` requires `cni` ^1.0, but adapter `new` provides 2.1: 2.1 is not in ^1.0",
        "talos",
        "use versions of `new` and `talos` that go together; `ztc plugins list` shows what is installed",
    );
    let wrong = run(&[
        ("a", &manifest(&[], &[("cni", "one", false)])),
        ("new", &new),
    ])
    .unwrap_err();
    assert_eq!(
        wrong[0].to_string(),
        "adapter `a` requires `cni` one, but adapter `new` provides 2.1: `one` is not a range of versions such as `^1.0`"
    );
}

#[test]
fn a_cycle_is_shown_with_its_capabilities() {
    let a = manifest(&[("acme/a", "1.0")], &[("acme/b", "^1.0", false)]);
    let b = manifest(&[("acme/b", "1.0")], &[("acme/a", "^1.0", false)]);
    refused(
        &[("b", &b), ("a", &a)],
        "adapters wait for each other: `a` requires `acme/b` from `b`, which requires `acme/a` from `a`",
        "a",
        "replace one of `a` or `b` by an adapter that does not need the other",
    );
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let errors = run(&[("talos", &talos())]).unwrap_err();
    let failure = failure(&errors, |_| None, &BTreeMap::new());
    assert_eq!(
        failure.message,
        "the adapters in platform.yaml do not fit together"
    );
    assert_eq!(failure.findings.len(), 2);
}

/// Sections s0.. of which each may require what others provide.
fn sections() -> impl Strategy<Value = Vec<(String, Manifest)>> {
    prop::collection::vec(prop::collection::vec(0..7_usize, 0..3), 1..6).prop_map(|requires| {
        let one = |(index, requires): (usize, Vec<usize>)| {
            let name = |index: usize| format!("acme/c{index}");
            let requires: Vec<(String, &str, bool)> = requires
                .iter()
                .map(|index| (name(*index), "^1.0", index % 2 == 0))
                .collect();
            let requires: Vec<(&str, &str, bool)> = requires
                .iter()
                .map(|(a, b, c)| (a.as_str(), *b, *c))
                .collect();
            (
                format!("s{index}"),
                manifest(&[(&name(index), "1.0")], &requires),
            )
        };
        requires.into_iter().enumerate().map(one).collect()
    })
}

proptest! {
    #[test]
    fn the_order_of_the_file_does_not_matter(pair in sections().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle()))) {
        let (first, second) = pair;
        let view = |all: &[(String, Manifest)]| {
            let participants: Vec<_> = all.iter().map(|(section, manifest)| Participant { section, manifest }).collect();
            resolve(&participants)
        };
        prop_assert_eq!(view(&first), view(&second));
    }
}
