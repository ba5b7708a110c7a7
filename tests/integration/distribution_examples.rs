//! The example adapter with releases of its own ships its table of versions, and takes a newer one that its publisher has signed.

use std::fs;

use crate::environment::TestEnv;
use crate::kit::has;
use crate::tidy::root;

const PUBLISH: [&str; 5] = ["plugins", "publish", "../tree", "--key", "../key"];

#[test]
fn an_example_ships_its_table_and_takes_a_newer_one_of_its_publisher() {
    if !has("node") {
        return;
    }
    let environment = TestEnv::new();
    environment.ztc_ok(&["plugins", "keygen", "../key", "--no-password"]);
    let program = root().join("examples/adapter-node/ztc-adapter-hetzner-ccm");
    let program = program.display().to_string();
    environment.ztc_ok(&[&PUBLISH[..], &["--add", &program]].concat());
    environment.ztc_ok(&["plugins", "install", "hetzner-ccm", "--source", "../tree"]);
    let own = environment.ztc_ok(&["plugins", "run", "hetzner-ccm", "versions"]);
    insta::assert_snapshot!(own.stdout, @r#"
    {
      "serial": 1,
      "supported": ["v1.26.0", "v1.25.1", "v1.24.0"]
    }
    "#);
    let put = |serial: u64, change: (&str, &str)| {
        let text = own
            .stdout
            .replace("\"serial\": 1", &format!("\"serial\": {serial}"));
        let file = format!("ztc-versions-hetzner-ccm-{serial}.yaml");
        let changed = text.replace(change.0, change.1);
        assert_ne!(changed, text);
        fs::write(environment.root().join("tree").join(file), changed).unwrap();
    };
    put(2, ("\"v1.26.0\"", "\"v1.26.3\", \"v1.26.0\""));
    environment.ztc_ok(&PUBLISH);
    environment.ztc_ok(&["update-versions"]);
    let info = environment
        .ztc_ok(&["plugins", "info", "hetzner-ccm"])
        .stdout;
    let lines = info
        .lines()
        .filter(|line| line.contains("versions ") || line.contains("table "));
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @"
    versions     v1.26.3 (default), v1.26.0, v1.25.1, v1.24.0
    table        table 2, cached, of file://[ROOT]/tree (it is the newest that was fetched)
    ");
    // What would become an image of somebody else's is no release.
    put(3, ("\"v1.26.0\"", "\"v1.26.0@sha256:0000\""));
    insta::assert_snapshot!(environment.ztc(&PUBLISH), @r#"
    exit: 2
    --- stderr
    error: `hetzner-ccm` does not take table 3 of its versions
      adapter `hetzner-ccm`: the table of versions 3 is refused: "v1.26.0@sha256:0000" is not a release of 1.24, 1.25 or 1.26 (in `initialize`)
      help: correct the table; nothing was published
    "#);
}
