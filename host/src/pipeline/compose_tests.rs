//! The order that the rules make, and every way in which contributions do not fit together.

use serde_json::json;
use ztc_protocol::manifest::EnvironmentVariable;
use ztc_protocol::stage::{ForEach, Item, ScriptSecret};

use super::*;
use crate::pipeline::file::SecretEntry;

fn adapter(section: &str, stages: Vec<Stage>) -> AdapterStages {
    let scripts = stages
        .iter()
        .map(|stage| Script {
            name: format!("{}.sh", stage.name),
            kind: stage.kind,
            ..Script::default()
        })
        .collect();
    let manifest = Manifest {
        name: format!("{section}-type"),
        ..Manifest::default()
    };
    let stages = stages
        .into_iter()
        .map(|stage| Stage {
            script: format!("{section}-type://{}.sh", stage.name),
            ..stage
        })
        .collect();
    AdapterStages {
        section: section.into(),
        manifest,
        stages,
        scripts,
        env_vars: BTreeMap::new(),
    }
}

fn stage(kind: StageKind, name: &str, barrier: Option<&str>, reaches: &[&str]) -> Stage {
    Stage {
        name: name.into(),
        kind,
        cache_key: (kind != StageKind::Validation).then(|| name.to_owned()),
        barrier: barrier.map(str::to_owned),
        reaches: reaches.iter().map(|name| (*name).to_owned()).collect(),
        ..Stage::default()
    }
}

fn built_in() -> Vec<AdapterStages> {
    use StageKind::{PostWork, PreWork, Validation};
    vec![
        adapter(
            "hetzner",
            vec![
                stage(PreWork, "enable_rescue_mode", None, &["rescue_ready"]),
                stage(Validation, "validate_server_ids", None, &[]),
            ],
        ),
        adapter(
            "cilium",
            vec![
                stage(
                    PostWork,
                    "wait_cilium",
                    Some("cluster_accessible"),
                    &["cni_ready"],
                ),
                stage(PostWork, "wait_gateway_api", Some("cni_ready"), &[]),
                stage(Validation, "validate_cni", None, &[]),
            ],
        ),
        adapter(
            "talos",
            vec![
                stage(PreWork, "install_talos", Some("rescue_ready"), &[]),
                stage(PreWork, "apply_control_plane", None, &["cluster_installed"]),
                stage(
                    PreWork,
                    "bootstrap_talos",
                    Some("cluster_installed"),
                    &["cluster_accessible"],
                ),
                stage(PreWork, "add_worker_nodes", Some("cluster_accessible"), &[]),
                stage(Validation, "validate_cluster", None, &[]),
            ],
        ),
    ]
}

fn messages(adapters: &[AdapterStages]) -> Vec<String> {
    let failure = compose(adapters).unwrap_err();
    failure
        .findings
        .into_iter()
        .map(|finding| {
            finding.message
                + &finding
                    .help
                    .map_or(String::new(), |help| format!(" / {help}"))
        })
        .collect()
}

#[test]
fn the_built_in_stages_stand_in_one_order_with_their_needs() {
    let pipeline = compose(&built_in()).unwrap();
    let lines: Vec<String> = pipeline
        .stages
        .iter()
        .map(|stage| {
            format!(
                "{} {} <- {}",
                stage.adapter,
                stage.name,
                stage.needs.join(" ")
            )
        })
        .collect();
    assert_eq!(pipeline.total_steps, 10);
    assert_eq!(
        lines,
        [
            "hetzner enable_rescue_mode <- ",
            "talos install_talos <- enable_rescue_mode",
            "talos apply_control_plane <- install_talos",
            "talos bootstrap_talos <- apply_control_plane",
            "talos add_worker_nodes <- bootstrap_talos",
            "cilium wait_cilium <- add_worker_nodes",
            "cilium wait_gateway_api <- wait_cilium",
            "hetzner validate_server_ids <- wait_gateway_api",
            "cilium validate_cni <- wait_gateway_api",
            "talos validate_cluster <- wait_gateway_api",
        ]
    );
}

#[test]
fn what_destroys_waits_for_the_providers_of_what_its_adapter_requires() {
    use ztc_protocol::manifest::{Provision, Requirement};
    let pre_work = |name: &str| stage(StageKind::PreWork, name, None, &[]);
    let mut machines = adapter("machines", vec![pre_work("keys"), pre_work("leave_rescue")]);
    machines.manifest.provides = vec![Provision {
        capability: "cloud-infrastructure".into(),
        version: "1.0".into(),
        schema: None,
    }];
    // What has to come after the installation stays there.
    machines.stages[1].needs = vec!["install".into()];
    let stranger = adapter("stranger", vec![pre_work("something_else")]);
    let mut system = adapter("system", vec![pre_work("look"), pre_work("install")]);
    system.manifest.requires = vec![Requirement {
        capability: "cloud-infrastructure".into(),
        version: "^1.0".into(),
        optional: true,
    }];
    system.scripts[1].destructive = true;
    let pipeline = compose(&[machines, stranger, system]).unwrap();
    let stages = pipeline.stages.iter();
    let lines: Vec<String> = stages
        .map(|stage| format!("{} <- {}", stage.name, stage.needs.join(" ")))
        .collect();
    assert_eq!(
        lines,
        [
            "keys <- ",
            "something_else <- ",
            "look <- ",
            "install <- keys look",
            "leave_rescue <- install",
        ]
    );
}

#[test]
fn an_entry_holds_everything_that_a_run_needs() {
    let mut hetzner = adapter(
        "cloud",
        vec![stage(StageKind::PreWork, "rescue", None, &["ready"])],
    );
    hetzner.manifest.environment = vec![EnvironmentVariable {
        name: "HCLOUD_ENDPOINT".into(),
        why: "the lab".into(),
    }];
    hetzner.env_vars = BTreeMap::from([("SERVERS".to_owned(), "2".to_owned())]);
    let item = Item {
        key: "192.0.2.1".into(),
        name: "cp01".into(),
        ..Item::default()
    };
    hetzner.stages[0].for_each = Some(ForEach {
        item: "server".into(),
        items: vec![item],
    });
    let script = &mut hetzner.scripts[0];
    script.timeout_seconds = 900;
    script.destructive = true;
    script.context_data = json!({"a": 1}).as_object().cloned().unwrap();
    script.files = BTreeMap::from([("ssh".to_owned(), "cloud/ssh".to_owned())]);
    script.secrets = vec![ScriptSecret {
        variable: "HCLOUD_TOKEN".into(),
        input: "api_token".into(),
    }];
    let pipeline = compose(&[hetzner.clone()]).unwrap();
    assert_eq!(
        pipeline,
        Pipeline {
            mode: String::new(),
            total_steps: 1,
            env: BTreeMap::from([("SERVERS".to_owned(), "2".to_owned())]),
            max_parallel: BTreeMap::new(),
            stages: vec![StageEntry {
                name: "rescue".into(),
                adapter: "cloud".into(),
                script: "cloud://rescue.sh".into(),
                cache_key: Some("rescue".into()),
                required: true,
                context_file: Some("cloud/rescue.sh.context.json".into()),
                reaches: vec!["ready".into()],
                for_each: hetzner.stages[0].for_each.clone(),
                timeout: 900,
                secrets: vec![SecretEntry {
                    variable: "HCLOUD_TOKEN".into(),
                    input: "api_token".into()
                }],
                environment: vec!["HCLOUD_ENDPOINT".into()],
                files: BTreeMap::from([("ssh".to_owned(), "cloud/ssh".to_owned())]),
                destructive: true,
                ..StageEntry::default()
            }],
        }
    );
}

#[test]
fn a_barrier_waits_for_every_stage_that_reaches_it() {
    use StageKind::PreWork;
    let pipeline = compose(&[
        adapter("c", vec![stage(PreWork, "last", Some("ready"), &[])]),
        adapter("a", vec![stage(PreWork, "first", None, &["ready"])]),
        adapter("b", vec![stage(PreWork, "second", None, &["ready"])]),
    ]);
    let stages = pipeline.unwrap().stages;
    let lines: Vec<(&str, Vec<String>)> = stages
        .iter()
        .map(|stage| (stage.name.as_str(), stage.needs.clone()))
        .collect();
    assert_eq!(
        lines,
        [
            ("first", vec![]),
            ("second", vec![]),
            ("last", vec!["first".to_owned(), "second".to_owned()])
        ]
    );
}

#[test]
fn what_does_not_exist_is_named_with_the_nearest_name() {
    let mut adapters = built_in();
    adapters[0].stages[0].script = "hetzner-type://enable_rescue_mod.sh".into();
    adapters[1].stages[0].barrier = Some("cluster_accesible".into());
    adapters[2].stages[1].needs = vec!["instal_talos".into(), "zzz".into()];
    assert_eq!(
        messages(&adapters),
        [
            "stage `enable_rescue_mode` of adapter `hetzner` runs the unknown script `hetzner-type://enable_rescue_mod.sh` / did you mean `enable_rescue_mode.sh`?",
            "stage `wait_cilium` of adapter `cilium` waits for the barrier `cluster_accesible`, which no stage reaches / did you mean `cluster_accessible`?",
            "stage `apply_control_plane` of adapter `talos` needs the unknown stage `instal_talos` / did you mean `install_talos`?",
            "stage `apply_control_plane` of adapter `talos` needs the unknown stage `zzz`",
        ]
    );
}

#[test]
fn another_adapters_script_is_unknown() {
    let mut adapters = built_in();
    adapters[2].stages[0].script = "hetzner-type://enable_rescue_mode.sh".into();
    assert_eq!(
        messages(&adapters),
        [
            "stage `install_talos` of adapter `talos` runs the unknown script `hetzner-type://enable_rescue_mode.sh` / the adapter's `scripts` must hold it, and the stage call it `talos-type://<name>`",
        ]
    );
}

#[test]
fn one_name_is_one_stage() {
    use StageKind::PreWork;
    let mut same_key = stage(PreWork, "third", None, &[]);
    same_key.cache_key = Some("first".into());
    let adapters = [
        adapter("a", vec![stage(PreWork, "first", None, &[])]),
        adapter("b", vec![stage(PreWork, "first", None, &[]), same_key]),
    ];
    assert_eq!(
        messages(&adapters),
        [
            "adapters `a` and `b` both have a stage `first`",
            "stages `first` and `third` have the same cache key `first`",
        ]
    );
}

#[test]
fn a_circle_is_shown_with_the_rule_behind_each_step() {
    let mut adapters = built_in();
    adapters[0].stages[0].barrier = Some("cluster_accessible".into());
    assert_eq!(
        messages(&adapters),
        [
            "stages wait for each other in a circle, `enable_rescue_mode` → `bootstrap_talos` → `apply_control_plane` → `install_talos` → `enable_rescue_mode`: `enable_rescue_mode` waits for `bootstrap_talos` (barrier `cluster_accessible`), \
         `bootstrap_talos` waits for `apply_control_plane` (barrier `cluster_installed`), \
         `apply_control_plane` waits for `install_talos` (stages of one adapter follow each other), \
         `install_talos` waits for `enable_rescue_mode` (barrier `rescue_ready`)",
        ]
    );
    let mut adapters = built_in();
    adapters[2].stages[0].needs = vec!["wait_cilium".into()];
    assert_eq!(
        messages(&adapters),
        [
            "stages wait for each other in a circle, `wait_cilium` → `install_talos` → `wait_cilium`: `wait_cilium` waits for `install_talos` (its kind comes later), \
         `install_talos` waits for `wait_cilium` (it says so)",
        ]
    );
}

#[test]
fn adapters_agree_on_variables() {
    let mut adapters = built_in();
    adapters[0].env_vars = BTreeMap::from([
        ("SAME".to_owned(), "1".to_owned()),
        ("NODES".to_owned(), "a".to_owned()),
    ]);
    adapters[2].env_vars = BTreeMap::from([
        ("SAME".to_owned(), "1".to_owned()),
        ("NODES".to_owned(), "b".to_owned()),
    ]);
    assert_eq!(
        messages(&adapters),
        [
            "adapters `hetzner` and `talos` set the variable `NODES` to different values: `a` and `b`"
        ]
    );
}

#[test]
fn names_that_would_be_dangerous_are_refused() {
    let mut wrong = adapter(
        "a",
        vec![stage(StageKind::PreWork, "Bad-Name", Some("x y"), &["x y"])],
    );
    wrong.scripts[0].name = "../up.sh".into();
    wrong.stages[0].script = "a-type://../up.sh".into();
    wrong.scripts[0].files = BTreeMap::from([("../f".to_owned(), "x".to_owned())]);
    wrong.env_vars = [
        ("PATH", ""),
        ("ZTC_REPO", ""),
        ("A=B", ""),
        ("LD_PRELOAD", ""),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let item = |key: &str, name: &str| Item {
        key: key.into(),
        name: name.into(),
        ..Item::default()
    };
    wrong.stages[0].for_each = Some(ForEach {
        item: "node".into(),
        items: vec![item("1", "a/b"), item("1", "c"), item("2", "c")],
    });
    assert_eq!(
        messages(&[wrong]),
        [
            "adapter `a`: the pipeline's environment: `A=B` cannot be the name of a variable",
            "adapter `a`: the pipeline's environment: the variable `LD_PRELOAD` is not the adapter's to set",
            "adapter `a`: the pipeline's environment: the variable `PATH` is not the adapter's to set",
            "adapter `a`: the pipeline's environment: the variable `ZTC_REPO` is not the adapter's to set",
            "adapter `a`: `../up.sh` cannot be the name of a script: use letters, digits, `.`, `_` and `-`",
            "adapter `a`: script `../up.sh`: `../f` cannot be the name of a file in `$ZTC_FILES_DIR`",
            "adapter `a`: `Bad-Name` cannot be the name of a stage: use lower-case letters, digits and `_`",
            "adapter `a`: stage `Bad-Name`: `x y` cannot be the name of a barrier: use lower-case letters, digits and `_`",
            "adapter `a`: stage `Bad-Name`: `x y` cannot be the name of a barrier: use lower-case letters, digits and `_`",
            "adapter `a`: stage `Bad-Name`: `a/b` cannot be the name of an item: use letters, digits, `.`, `_` and `-`",
            "adapter `a`: stage `Bad-Name`: two items have the key `1`",
            "adapter `a`: stage `Bad-Name`: two items have the name `c`",
        ]
    );
}
