//! The operator's client files: the talosconfig, which is renewed, and the kubeconfig, which is merged only when somebody says so.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::talos::{bundle, documents, pem, repository, same_key};

#[test]
fn the_talosconfig_is_renewed_without_touching_the_cluster() {
    let environment = repository("none", json!({}));
    environment.secrets();
    insta::assert_snapshot!(environment.ztc(&["secrets", "talosconfig"]), @"
    exit: 3
    --- stderr
    error: nothing has been rendered for this environment that holds a talosconfig
      help: run `ztc render`
    ");
    environment.ztc_ok(&["render"]);
    let lock = environment.read("platform/lock.json");
    let (talos, admin) = (
        environment.read("secrets/lab/talos.yaml"),
        environment.read("secrets/lab/talos-admin.yaml"),
    );

    // The certificate is young: it stays.
    let written = environment
        .ztc_ok(&["secrets", "talosconfig", "--json"])
        .json();
    assert_eq!(
        (&written["path"], &written["renewed"]),
        (&json!("secrets/lab/talosconfig"), &json!(false))
    );
    assert_eq!(environment.read("secrets/lab/talos-admin.yaml"), admin);
    let file = environment.repo().join("secrets/lab/talosconfig");
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let config = &documents(&environment.read("secrets/lab/talosconfig"))[0];
    let context = &config["contexts"]["demo"];
    assert_eq!(
        (&config["context"], &context["endpoints"]),
        (&json!("demo"), &json!(["203.0.113.10"]))
    );
    assert!(same_key(&pem(&context["key"]), &pem(&context["crt"])));

    // A short one is made because somebody wants so; validate and doctor say that it ends soon, and the lock stays as it is.
    let short = environment
        .ztc_ok(&["secrets", "talosconfig", "--ttl", "240h", "--json"])
        .json();
    assert_eq!(short["renewed"], true);
    assert_ne!(environment.read("secrets/lab/talos-admin.yaml"), admin);
    let day = short["expires"].as_str().unwrap();
    let said = environment.ztc_ok(&["validate"]).stderr;
    insta::assert_snapshot!(said.split('✓').next().unwrap().replace(day, "[DAY]"), @"
    secrets/lab/talos-admin.yaml: warning: secret bundle `talos-admin`: crt: the certificate expires on [DAY]
      help: run `ztc secrets talosconfig`: it makes a new certificate from the bundle `talos` and changes nothing else
    ");
    let doctor = environment.ztc(&["doctor", "--json"]).json();
    let row = doctor
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["what"] == "secrets talos-admin")
        .unwrap();
    assert_eq!(
        (&row["state"], row["detail"].as_str().unwrap()),
        (
            &json!("warning"),
            format!("crt: the certificate expires on {day}").as_str()
        )
    );

    // That is reason enough for the next call to make a new one.
    let renewed = environment.ztc_ok(&["secrets", "talosconfig"]);
    let next = renewed.stderr.rsplit(' ').next().unwrap().trim();
    assert!(next > day, "{renewed}");
    environment.ztc_ok(&["validate"]);
    assert_eq!(environment.read("secrets/lab/talos.yaml"), talos);
    assert_eq!(environment.read("platform/lock.json"), lock);
    environment.ztc_ok(&["render", "--check"]);

    for (arguments, code) in [
        (["--output", "talosconfig"], 5),
        (["--output", "no/such/directory/talosconfig"], 1),
        (["--ttl", "1w"], 2),
    ] {
        let run = environment.ztc(&[&["secrets", "talosconfig"][..], &arguments].concat());
        assert_eq!(run.code, Some(code), "{run}");
    }
    let outside = environment.root().join("elsewhere");
    environment.ztc_ok(&[
        "secrets",
        "talosconfig",
        "--output",
        outside.to_str().unwrap(),
    ]);
    assert_eq!(
        fs::metadata(outside).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[test]
fn secrets_that_others_can_read_are_said() {
    let environment = repository("none", json!({}));
    environment.secrets();
    environment.ztc_ok(&["render"]);
    let file = environment.repo().join("secrets/lab/talos.yaml");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let said = "secrets/lab/talos.yaml: warning: `secrets/lab/talos.yaml` holds secrets and can be read by others on this machine\n  help: run `chmod -R go-rwx secrets`\n";
    for command in [&["secrets", "check"][..], &["validate"]] {
        let run = environment.ztc_ok(command);
        assert!(run.stderr.contains(said), "{run}");
    }
    let doctor = environment.ztc(&["doctor", "--json"]);
    assert!(
        doctor.stdout.contains("chmod -R go-rwx secrets"),
        "{doctor}"
    );
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let run = environment.ztc_ok(&["validate"]);
    assert!(!run.stderr.contains("chmod"), "{run}");
}

#[test]
fn an_imported_bundle_brings_a_new_certificate_for_the_operator() {
    let environment = repository("none", json!({}));
    environment.secrets();
    let other = environment.root().join("other.yaml");
    let mut foreign = bundle(&environment, "talos");
    let k8s = foreign["certs"]["etcd"].clone();
    foreign["certs"]["k8s"] = k8s;
    fs::write(&other, foreign.to_string()).unwrap();
    let before = environment.read("secrets/lab/talos-admin.yaml");
    let other = other.to_str().unwrap();
    environment.ztc_ok(&["secrets", "import", "talos", other, "--replace"]);
    assert_ne!(environment.read("secrets/lab/talos-admin.yaml"), before);
    environment.ztc_ok(&["secrets", "check"]);
}

#[test]
fn the_kubeconfig_is_merged_only_when_somebody_says_so() {
    let environment = repository("none", json!({}));
    let own = environment.root().join("home/.kube/config");
    fs::create_dir_all(own.parent().unwrap()).unwrap();
    let before = "# mine\napiVersion: v1\nkind: Config\nclusters: [{name: other, cluster: {server: https://a}}]\nusers: []\ncontexts: []\ncurrent-context: other\n";
    fs::write(&own, before).unwrap();
    insta::assert_snapshot!(environment.ztc(&["secrets", "kubeconfig", "--merge"]), @"
    exit: 2
    --- stderr
    error: there is no kubeconfig of `lab` yet
      --> secrets/lab/kubeconfig
      help: `ztc bootstrap` fetches it as soon as the cluster has one
    ");
    environment.write(
        "secrets/lab/kubeconfig",
        "apiVersion: v1\nkind: Config\nclusters: [{name: demo, cluster: {server: https://b}}]\nusers: [{name: admin@demo, user: {}}]\ncontexts: [{name: admin@demo, context: {cluster: demo, user: admin@demo}}]\ncurrent-context: admin@demo\n",
    );
    insta::assert_snapshot!(environment.filtered(&environment.ztc(&["secrets", "kubeconfig"]).to_string()), @"
    exit: 0
    --- stdout
    [REPO]/secrets/lab/kubeconfig
    --- stderr
      use it with `export KUBECONFIG=[REPO]/secrets/lab/kubeconfig`; `ztc secrets kubeconfig --merge` puts it into your own
    ");
    assert_eq!(fs::read_to_string(&own).unwrap(), before);
    insta::assert_snapshot!(environment.filtered(&environment.ztc(&["secrets", "kubeconfig", "--merge"]).to_string()), @"
    exit: 0
    --- stderr
      what it was before is in [ROOT]/home/.kube/config.before-ztc-1
    ✓ merged into [ROOT]/home/.kube/config
      next: kubectl --context admin@demo get nodes  looks at the cluster
    ");
    let merged = &documents(&fs::read_to_string(&own).unwrap())[0];
    let names: Vec<&str> = merged["clusters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cluster| cluster["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        (names, &merged["current-context"]),
        (vec!["other", "demo"], &json!("other"))
    );
    let copy = own.with_file_name("config.before-ztc-1");
    assert_eq!(fs::read_to_string(copy).unwrap(), before);
    fs::write(&own, "- not one\n").unwrap();
    assert_eq!(
        environment.ztc(&["secrets", "kubeconfig", "--merge"]).code,
        Some(2)
    );
    assert_eq!(fs::read_to_string(&own).unwrap(), "- not one\n");
}
