//! Whole conversations: with somebody who knows the answers, with one who leaves in the middle, and with the twin.

mod world;

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use ztc_protocol::Manifest;

use super::*;
use world::{Knowing, adapters, converse, knowing, read, twin};

const WANTED: &str = "apiVersion: ztc/v1
environment: staging
adapters:
  cloud:
    version: v1
    api_token: {from: command, command: [pass, a b]}
    server_ips: [10.0.0.1, 10.0.0.2]
  net:
    version: v1.10
    bgp: true
    asn: 64600
    mode: native
  os:
    cluster_name: prod
    nodes:
      - {name: cp01, zone: a}
      - {name: w1}
plugins:
  net:
    environment: [NET_ZONE]
";

#[test]
fn a_conversation_asks_group_by_group_and_makes_the_document() {
    let wanted = read(WANTED, false);
    let (ended, prompter, _, draft) = converse(knowing(&wanted, usize::MAX), Draft::default());
    assert!(ended.is_ok());
    let text = document::write(&draft).unwrap();
    assert_eq!(text.split_once('\n').unwrap().1, WANTED);
    assert_eq!(
        prompter.said.join("\n"),
        "environment: Environment
provider: Which provider?
# cloud
cloud.version: Version of cloud
cloud.api_token: api_token
cloud.api_token: Program and arguments, such as `pass show hcloud`
cloud.server_ips: server_ips
# net
net.version: Version of net
plugins.net.environment: Let `net` see your variable `NET_ZONE`?
net.bgp: bgp
net.asn: asn
net.mode: mode
net.extra: extra
# os
os.cluster_name: cluster_name
os.nodes: nodes 1: name
os.nodes: nodes 1: zone
os.nodes: nodes: 1 so far. Add another?
os.nodes: nodes 2: name
os.nodes: nodes 2: zone
os.nodes: nodes: 2 so far. Add another?
os.note: note"
    );
}

#[test]
fn what_an_adapter_may_see_is_granted_by_set_too_and_by_nothing_else() {
    let manifests = adapters().manifests;
    let base = read(WANTED, false);
    let set = |text: &str| {
        let mut draft = Draft::default();
        draft.set(text, &base, &manifests).map(|()| draft.plugins)
    };
    assert_eq!(
        set("plugins.net.environment=[NET_ZONE, B]").unwrap(),
        json!({ "net": { "environment": ["NET_ZONE", "B"] } })
    );
    assert_eq!(
        set("plugins.net.environment=[]").unwrap(),
        json!({ "net": {} })
    );
    for (wrong, why) in [
        ("plugins.nett.environment=[A]", "there is no adapter `nett`"),
        (
            "plugins.net.environment=A-B",
            "`--set plugins.net.environment` needs a list of names of variables",
        ),
    ] {
        assert_eq!(set(wrong).unwrap_err().message, why);
    }
    let without = WANTED.split("plugins:").next().unwrap();
    let (_, _, _, draft) = converse(knowing(&read(without, false), usize::MAX), Draft::default());
    assert!(draft.plugins.is_null());
}

#[test]
fn whoever_leaves_at_any_question_goes_on_there() {
    let wanted = read(WANTED, false);
    let questions = converse(knowing(&wanted, usize::MAX), Draft::default())
        .1
        .said
        .iter()
        .filter(|line| !line.starts_with('#'))
        .count();
    for patience in 0..questions {
        let (ended, first, kept, _) = converse(knowing(&wanted, patience), Draft::default());
        assert!(matches!(ended, Err(Stop::Interrupted)));
        let resumed = kept
            .text
            .as_deref()
            .map(|text| read(text, false))
            .unwrap_or_default();
        let (ended, second, _, draft) = converse(knowing(&wanted, usize::MAX), resumed);
        assert!(ended.is_ok());
        assert_eq!(
            document::write(&draft).unwrap().split_once('\n').unwrap().1,
            WANTED,
            "left after {patience} answers"
        );
        let asked = |prompter: &Knowing| {
            prompter
                .said
                .iter()
                .filter(|line| !line.starts_with('#'))
                .cloned()
                .collect::<Vec<_>>()
        };
        let again: Vec<_> = asked(&second)
            .into_iter()
            .filter(|question| asked(&first).contains(question))
            .collect();
        // Only an answer of several questions begins anew.
        assert!(
            again
                .iter()
                .all(|question| question.contains("api_token") || question.contains("os.nodes")),
            "{again:?}"
        );
    }
}

#[test]
fn only_what_is_missing_or_wrong_is_asked_again() {
    let broken = WANTED
        .replace("asn: 64600", "asn: many")
        .replace("name: w1", "name: cp01")
        .replace("    cluster_name: prod\n", "")
        .replace("v1.10", "v1.8");
    let (ended, prompter, _, draft) = converse(
        knowing(&read(WANTED, false), usize::MAX),
        read(&broken, true),
    );
    assert!(ended.is_ok());
    assert_eq!(
        document::write(&draft).unwrap().split_once('\n').unwrap().1,
        WANTED
    );
    assert_eq!(
        prompter.said,
        [
            "# cloud",
            "# net",
            "! `net.asn`: expected a whole number, found text `many`",
            "net.asn: asn",
            "! `net.version`: adapter `net` does not support `v1.8`",
            "net.version: Version of net",
            "# os",
            "os.cluster_name: cluster_name",
            "! `os.nodes[1].name`: \"cp01\" is taken",
            "os.nodes: nodes 2: name",
        ]
    );
}

#[test]
fn of_two_adapters_of_one_group_the_chosen_one_stays() {
    let both = WANTED.replacen("  net:\n", "  metal: {server_ips: [10.0.0.9]}\n  net:\n", 1);
    let (ended, prompter, _, draft) =
        converse(knowing(&read(WANTED, false), usize::MAX), read(&both, true));
    assert!(ended.is_ok());
    assert_eq!(
        document::write(&draft).unwrap().split_once('\n').unwrap().1,
        WANTED
    );
    assert_eq!(
        prompter.said[..2],
        [
            "provider: Which provider?",
            "- the answers for `metal` go: `cloud` takes its place"
        ]
    );

    let adapters = adapters();
    let groups = groups(&adapters.manifests, |_| true);
    let findings = read(&both, false).findings(&adapters.manifests, &groups);
    assert_eq!(findings.len(), 1);
    assert_eq!(
        findings[0].1.message,
        "`cloud` and `metal` are both of the group `provider`, of which one is chosen"
    );

    let mut draft = read(WANTED, true);
    let gone = draft.lay_over(
        read("adapters: {metal: {server_ips: [10.0.0.9]}}", false),
        &groups,
    );
    assert_eq!(gone, [("cloud".to_owned(), "metal".to_owned())]);
    assert_eq!(
        draft
            .sections
            .iter()
            .map(|section| section.name.as_str())
            .collect::<Vec<_>>(),
        ["net", "os", "metal"]
    );
}

#[test]
fn a_secret_is_kept_as_a_reference_and_its_value_is_only_stored() {
    let wanted = read(
        &WANTED.replace(
            "{from: command, command: [pass, a b]}",
            "{from: store, name: cloud-api-token}",
        ),
        false,
    );
    let (ended, prompter, kept, draft) = converse(knowing(&wanted, usize::MAX), Draft::default());
    assert!(ended.is_ok());
    assert_eq!(draft.sections, wanted.sections);
    assert_eq!(
        kept.stored,
        [("cloud-api-token".to_owned(), "typed-s3cret".to_owned())].into()
    );
    assert!(!format!("{:?} {:?} {:?}", prompter.said, kept.text, draft).contains("s3cret"));
}

#[test]
fn a_plain_secret_is_taken_out_wherever_it_came_from() {
    let adapters = adapters();
    let mut draft = read(
        &WANTED.replace("{from: command, command: [pass, a b]}", "plain-s3cret"),
        false,
    );
    let taken = draft.clone().take_plain_secrets(&adapters.manifests);
    assert_eq!(taken.len(), 1);
    assert_eq!(
        (taken[0].0.as_str(), taken[0].1.as_str()),
        ("cloud", "/api_token")
    );
    let failure = twin(draft.clone()).unwrap_err();
    assert!(!format!("{taken:?} {failure:?}").contains("s3cret"));
    draft.take_plain_secrets(&adapters.manifests);
    assert!(!draft.sections[0].config.contains_key("api_token"));
}

#[test]
fn a_secret_typed_in_the_wrong_place_is_refused_and_not_kept() {
    let wanted = read(
        &WANTED.replace(
            "    mode: native\n",
            "    mode: native\n    extra: {password: plain-s3cret, user: me}\n",
        ),
        false,
    );
    let (ended, prompter, kept, _) = converse(knowing(&wanted, 14), Draft::default());
    assert!(matches!(ended, Err(Stop::Interrupted)));
    let text = kept.text.unwrap();
    assert!(text.contains("extra: {user: me}"), "{text}");
    assert!(
        prompter
            .said
            .iter()
            .any(|line| line.starts_with("! `net.extra.password`: a secret never stands")),
        "{:?}",
        prompter.said
    );
    assert!(!format!("{:?} {text}", prompter.said).contains("s3cret"));
}

#[test]
fn the_twin_names_all_that_has_no_answer_and_all_that_is_wrong() {
    let failure = twin(read(
        "adapters: {net: {bgp: maybe, zzz: 1}, os: {cluster_name: A1}}",
        false,
    ))
    .unwrap_err();
    let messages: Vec<&str> = failure
        .findings
        .iter()
        .map(|finding| finding.message.as_str())
        .collect();
    assert_eq!(
        messages,
        [
            "`cloud.server_ips` has no answer: server_ips",
            "`net.bgp`: expected `true` or `false`, found text `maybe`",
            "`os.cluster_name`: `A1` does not match the pattern `[a-z]+`",
            "`os.nodes` has no answer: nodes",
        ]
    );
}

#[test]
fn set_takes_texts_lists_and_paths_and_never_shows_a_value() {
    let manifests = BTreeMap::from([(
        "os".to_owned(),
        Manifest {
            config_schema: json!({"properties": {"text": {"type": ["string", "null"]}}}),
            ..Manifest::default()
        },
    )]);
    let base = read(
        "adapters: {os: {nodes: [{name: a}, {name: b}], keep: 1}}",
        false,
    );
    let set = |assignments: &[&str]| {
        let mut draft = Draft::default();
        for assignment in assignments {
            draft.set(assignment, &base, &manifests)?;
        }
        Ok(draft)
    };
    let draft = set(&[
        "environment=dev",
        "os.version=1.10",
        "os.text=1.10",
        "os.number=1.5",
        "os.list=[{a: 1}]",
        "os.nodes.1.name=c",
        "os.a.b.c=x",
        "os.none=",
    ]);
    let draft: Draft = draft
        .map_err(|finding: crate::error::Finding| finding.message)
        .unwrap();
    assert_eq!(draft.environment.as_deref(), Some("dev"));
    assert_eq!(
        Value::Object(draft.sections[0].config.clone()),
        json!({"version": "1.10", "text": "1.10", "number": 1.5, "list": [{"a": 1}], "nodes": [{"name": "a"}, {"name": "c"}], "a": {"b": {"c": "x"}}, "none": null})
    );
    let wrong = |assignment: &str| {
        set(&[assignment])
            .map_err(|finding| finding.message)
            .unwrap_err()
    };
    assert_eq!(
        wrong("nothing"),
        "`--set` needs a key and a value with `=` between them"
    );
    assert_eq!(wrong("os=s3cret"), "`--set os` names no answer");
    assert_eq!(wrong("oss.x=s3cret"), "there is no adapter `oss`");
    assert_eq!(
        wrong("os.nodes.7.name=x"),
        "`--set os.nodes.7.name`: `nodes` is a list of 2, and `7` is the number of none of its items, from 0"
    );
    assert!(!wrong("os.x=[s3cret").contains("s3cret"));
}

fn any_wanted() -> impl Strategy<Value = Draft> {
    let token = prop_oneof![
        "[A-Z][A-Z_]{0,8}".prop_map(|name| json!({"from": "env", "name": name})),
        "[a-z/.]{1,9}".prop_map(|path| json!({"from": "file", "path": path})),
        Just(json!({"from": "command", "command": ["pass", "a b"]})),
    ];
    let ips = prop::collection::vec("[0-9.]{1,8}", 1..4);
    let bgp = prop::option::of(1u32..70_000);
    let mode = prop::option::of(prop::sample::select(vec!["tunnel", "native"]));
    let extra = prop::option::of(prop_oneof![
        Just(json!({"a": [1, "x"]})),
        Just(json!([true, "yes", 2])),
        Just(json!("- text"))
    ]);
    let names = prop::collection::btree_set("[a-z][a-z0-9]{0,5}", 1..4);
    let zone = prop::option::of("[a-z]{1,3}");
    let note = prop::option::of("[!-~]( ?[!-~é]){0,12}");
    let rest = (extra, names, zone, note, prop::bool::ANY, "[a-z]{1,9}");
    (token, ips, bgp, mode, rest).prop_map(
        |(token, ips, bgp, mode, (extra, names, zone, note, metal, cluster))| {
            let mut provider = Map::new();
            if !metal {
                provider.insert("version".into(), "v2".into());
            }
            provider.extend([
                ("api_token".to_owned(), token),
                ("server_ips".to_owned(), json!(ips)),
            ]);
            let mut net = json!({"version": "v1.9", "bgp": bgp.is_some()});
            bgp.into_iter().for_each(|asn| net["asn"] = json!(asn));
            mode.into_iter().for_each(|mode| net["mode"] = json!(mode));
            extra.into_iter().for_each(|extra| net["extra"] = extra);
            let nodes = names.into_iter().map(|name| match &zone {
                Some(zone) => json!({"name": name, "zone": zone}),
                None => json!({"name": name}),
            });
            let mut os = json!({"cluster_name": cluster, "nodes": nodes.collect::<Vec<_>>()});
            note.into_iter().for_each(|note| os["note"] = json!(note));
            let sections =
                json!({(if metal { "metal" } else { "cloud" }): provider, "net": net, "os": os});
            let text =
                crate::yaml::write(&json!({"environment": "e1", "adapters": sections})).unwrap();
            read(&text, false)
        },
    )
}

/// The same answers with all keys in another order.
fn shuffled(draft: &Draft) -> Draft {
    let mut draft = draft.clone();
    draft.sections.reverse();
    for section in &mut draft.sections {
        section.config = std::mem::take(&mut section.config)
            .into_iter()
            .rev()
            .collect();
    }
    draft
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn terminal_and_twin_write_the_identical_file(wanted in any_wanted()) {
        let (ended, _, _, typed) = converse(knowing(&wanted, usize::MAX), Draft::default());
        prop_assert!(ended.is_ok());
        let given = twin(shuffled(&wanted)).map_err(|failure| TestCaseError::fail(format!("{:?}", failure.findings)))?;
        prop_assert_eq!(document::write(&typed).unwrap(), document::write(&given).unwrap());
    }
}
