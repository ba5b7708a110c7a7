//! No secret in any file, stream or argument list: a canary as the token, and every value of the generated bundles, searched for everywhere.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::environment::{Lab, TestEnv, collect};

/// Tools whose arguments are written down before they run.
const TOOLS: [&str; 6] = ["bash", "curl", "ssh", "ssh-keygen", "jq", "git"];

/// Puts a wrapper before each tool that writes its arguments to `arguments.log`.
fn watch_arguments(environment: &TestEnv, world_bin: &str) {
    let log = environment.root().join("arguments.log");
    let cluster_tools = ["talosctl", "kubectl"].map(|tool| (tool, format!("{world_bin}/{tool}")));
    let tools = TOOLS.iter().filter_map(|tool| {
        let found =
            ["/usr/local/bin", "/usr/bin", "/bin"].map(|directory| format!("{directory}/{tool}"));
        Some((
            *tool,
            found.into_iter().find(|path| Path::new(path).exists())?,
        ))
    });
    for (tool, path) in tools.chain(cluster_tools) {
        let log = log.display();
        environment.tool(
            tool,
            &format!("#!/bin/sh\nprintf '%s\\n' \"{tool} $*\" >> '{log}'\nexec '{path}' \"$@\"\n"),
        );
    }
}

/// Returns every secret value that must not appear, by name.
fn secrets(environment: &TestEnv, token: &str) -> BTreeMap<String, String> {
    let mut values = BTreeMap::from([("token".to_owned(), token.to_owned())]);
    for bundle in ["talos", "talos-admin"] {
        let text = environment.read(&format!("secrets/lab/{bundle}.yaml"));
        for line in text.lines() {
            let Some((key, value)) = line.trim().split_once(": ") else {
                continue;
            };
            let value = value.trim_matches(['"', '\'']);
            // Certificates are public; everything else that is long enough to be a secret is one.
            if key != "crt" && key != "ca" && value.len() >= 16 {
                values.insert(format!("{bundle} {key} {}", values.len()), value.to_owned());
            }
        }
    }
    assert!(
        values.len() > 8,
        "the bundles hold fewer secrets than expected: {:?}",
        values.keys()
    );
    values
}

/// Fails with every place that holds a secret.
#[track_caller]
fn assert_clean(secrets: &BTreeMap<String, String>, places: &BTreeMap<String, Vec<u8>>) {
    let mut found = Vec::new();
    for (place, content) in places {
        let content = String::from_utf8_lossy(content);
        for (name, value) in secrets {
            if content.contains(value.as_str()) {
                found.push(format!("{name} in {place}"));
            }
        }
    }
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn no_secret_reaches_a_file_a_stream_or_an_argument_list() {
    let mut environment = TestEnv::new();
    let lab = Lab::start(&mut environment, &[]);
    watch_arguments(&environment, &lab.bin());
    environment.prepend_path(&environment.bin().display().to_string());
    let mut streams = BTreeMap::new();
    let mut run = |arguments: &[&str], code: i32| {
        let output = environment.command(arguments).output().unwrap();
        let text = [output.stdout, b"\n".to_vec(), output.stderr].concat();
        assert_eq!(
            output.status.code(),
            Some(code),
            "ztc {arguments:?}\n{}",
            String::from_utf8_lossy(&text)
        );
        streams.insert(format!("output of ztc {}", arguments.join(" ")), text);
    };
    run(&["-vv", "init", "--answers", &lab.answers()], 0);
    run(&["-vv", "secrets", "generate"], 0);
    run(&["-vv", "render"], 0);
    run(&["-vv", "validate"], 0);
    run(&["-vv", "plan"], 0);
    lab.fault("image-missing");
    run(&["-vv", "bootstrap", "--confirm", "lab"], 1);
    lab.mend();
    run(&["-vv", "bootstrap", "--confirm", "lab", "--json"], 0);
    run(&["-vv", "status", "--json"], 0);
    run(&["-vv", "eject", "--output", "ejected"], 0);
    run(&["-vv", "secrets", "check"], 0);

    let secrets = secrets(&environment, &lab.token());
    let mut places = streams;
    collect(environment.root(), environment.root(), &mut places);
    assert!(places.contains_key("arguments.log"), "no tool was started");
    let log = fs::read_to_string(environment.root().join("arguments.log")).unwrap();
    for tool in ["curl", "ssh", "talosctl", "kubectl"] {
        assert!(log.contains(tool), "{tool} was not started");
    }
    // The world keeps what it was told, and `secrets/` is where secrets are.
    places.retain(|place, _| !place.starts_with("world/") && !place.starts_with("repo/secrets/"));
    assert_clean(&secrets, &places);
}
