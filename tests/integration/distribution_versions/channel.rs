//! Where newer tables come from, and how long anybody waits for them: a channel behind a web server, one that is silent, one in use; and for whom it speaks.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::distribution::{Lie, Publisher, machine, serve};
use crate::distribution_versions::{World, leave};
use crate::environment::Run;
use crate::terminal::Terminal;

/// A channel of Talos with a table that prefers another release, which this machine's operator has configured and trusts.
fn configured() -> (World, String) {
    let world = World::new();
    world.put("talos", 2, &[("default: v1.11.5", "default: v1.11.6")]);
    assert_eq!(world.publish(&[]).code, Some(0));
    let web = serve(world.tree(), Arc::new(Mutex::new(Lie::Nothing)));
    let run = world.run(&["update-versions", "--source", &web]);
    assert_eq!(run.code, Some(0), "{run}");
    fs::remove_file(world.environment.repo().join("platform.yaml")).unwrap();
    (world, web)
}

#[test]
fn a_newer_table_comes_over_http_by_command_and_while_the_wizard_begins() {
    let (world, web) = configured();
    let table = |run: &Run| {
        let talos = &run.json()["versions"]["talos"];
        (
            talos["serial"].clone(),
            talos["origin"].clone(),
            talos["source"].clone(),
        )
    };
    let offline = world
        .environment
        .ztc_ok(&["update-versions", "--offline", "--json"]);
    assert_eq!(table(&offline), (json!(2), json!("cached"), json!(web)));
    world.put("talos", 3, &[("default: v1.11.5", "default: v1.11.4")]);
    world.publish(&[]);
    let mut terminal = Terminal::ztc(&world.environment, &["init"]);
    terminal.wait_for("versions of talos: table 3, of http://127.0.0.1:");
    leave(terminal);
    // It is kept: the next one needs no network for it.
    let mut terminal = Terminal::ztc(&world.environment, &["init", "--offline"]);
    terminal.wait_for("versions of talos: table 3, cached, of http://127.0.0.1:");
    leave(terminal);
    world.put("talos", 4, &[]);
    world.publish(&[]);
    let fetched = world.environment.ztc_ok(&["update-versions", "--json"]);
    assert_eq!(table(&fetched), (json!(4), json!("remote"), json!(web)));
}

#[test]
fn the_wizard_does_not_wait_for_a_channel_that_is_silent() {
    let world = World::published();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let config = world.environment.root().join("home/.config/ztc");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("versions.yaml"), format!("source: {address}\n")).unwrap();
    // It takes the connection and the request, and says nothing.
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 64]);
            held.push(stream);
        }
    });
    fs::remove_file(world.environment.repo().join("platform.yaml")).unwrap();
    let begun = Instant::now();
    let mut terminal = Terminal::ztc(&world.environment, &["init"]);
    // The screen is not empty meanwhile.
    terminal.wait_for(&format!("asking {address} for newer versions"));
    terminal.wait_for("did not answer within 2 seconds");
    let waited = begun.elapsed();
    terminal.wait_for("versions of talos: table 1, its own");
    leave(terminal);
    // On a machine that is slow with everything else, and far from the minute in which a silent server is given up.
    let bounds = Duration::from_secs(2)..Duration::from_secs(30);
    assert!(bounds.contains(&waited), "{waited:?}");
    // Who asks for no network is asked at once, and the channel never is.
    let mut terminal = Terminal::ztc(&world.environment, &["init", "--offline"]);
    terminal.wait_for("versions of talos: table 1, its own");
    leave(terminal);
}

#[test]
fn the_wizard_does_not_wait_for_an_installation() {
    let (world, _) = configured();
    world.put("talos", 3, &[("default: v1.11.5", "default: v1.11.4")]);
    world.publish(&[]);
    // Another ztc is about to change something, for as long as this file is open.
    let lock = world
        .environment
        .root()
        .join("home/.local/share/ztc/plugins.lock");
    let lock = fs::File::open(lock).unwrap();
    lock.lock().unwrap();
    let mut terminal = Terminal::ztc(&world.environment, &["init"]);
    terminal.wait_for("no newer versions were fetched: another ztc changes what is installed");
    terminal.wait_for("versions of talos: table 2, cached, of http://127.0.0.1:");
    leave(terminal);
    drop(lock);
    let mut terminal = Terminal::ztc(&world.environment, &["init"]);
    terminal.wait_for("versions of talos: table 3, of http://127.0.0.1:");
    leave(terminal);
}

#[test]
fn a_tree_that_nobody_has_configured_has_no_say_in_the_adapters_of_ztc() {
    let publisher = Publisher::new();
    let environment = &publisher.environment;
    // Somebody publishes an adapter under the name of one of ztc's, and a table for it, which that one would take.
    publisher.put("talos", "9.0.0", &machine());
    let own = environment.command(&["plugins", "run", "talos", "versions"]);
    let own = String::from_utf8({ own }.output().unwrap().stdout).unwrap();
    let file = publisher.tree().join("ztc-versions-talos-2.yaml");
    fs::write(file, own.replace("serial: 1\n", "serial: 2\n")).unwrap();
    publisher.publish(&[]);
    environment.ztc_ok(&["plugins", "install", "talos", "--source", "../tree"]);
    let talos = |run: &Run| {
        let versions = &run.json()["versions"]["talos"];
        let text = |name: &str| versions[name].as_str().unwrap().to_owned();
        format!("{} {}: {}", versions["serial"], text("origin"), text("why"))
    };
    let update = environment.ztc_ok(&["update-versions", "--json"]);
    assert_eq!(talos(&update), "1 embedded: no channel is configured");
    // Not even once it is kept, as the text of a table of somebody else would be.
    environment.ztc_ok(&["update-versions", "--source", "../tree"]);
    environment.ztc_ok(&["update-versions", "--forget"]);
    let offline = environment.ztc_ok(&["update-versions", "--offline", "--json"]);
    assert_eq!(talos(&offline), "1 embedded: no channel is configured");
    // The operator's own word is another thing.
    let configured = ["update-versions", "--source", "../tree", "--json"];
    let update = environment.ztc_ok(&configured);
    assert_eq!(talos(&update), "2 remote: it was fetched just now");
}

#[test]
fn a_lock_cannot_name_a_file_outside_of_a_tree_or_without_end() {
    let world = World::published();
    world.update();
    world.environment.ztc_ok(&["render"]);
    world.another_machine();
    let lock = world.environment.read("platform/lock.json");
    let changes = [
        ("path", json!("../../../etc/passwd")),
        ("path", json!("/etc/passwd")),
        ("size", json!(u64::MAX)),
        ("sha256", json!("../../x")),
    ];
    let refusals = changes.map(|(field, value)| {
        let mut lock: Value = serde_json::from_str(&lock).unwrap();
        lock["versions"]["cilium"][field] = value;
        world
            .environment
            .write("platform/lock.json", lock.to_string());
        let run = world.run(&["update-versions"]);
        assert_eq!(run.code, Some(5), "{run}");
        let error = run.stderr.lines().find(|line| line.starts_with("error: "));
        error.unwrap_or_default().to_owned()
    });
    insta::assert_snapshot!(refusals.join("\n"), @"
    error: platform/lock.json pins a table of the versions of `cilium` that nobody can have published: the path `../../../etc/passwd` is refused: it leaves the tree
    error: platform/lock.json pins a table of the versions of `cilium` that nobody can have published: the path `/etc/passwd` is refused: it is absolute
    error: platform/lock.json pins a table of the versions of `cilium` that nobody can have published: 18446744073709551615 bytes are more than a table may have (1048576)
    error: platform/lock.json pins a table of the versions of `cilium` that nobody can have published: `../../x` is not a SHA-256
    ");
}

#[test]
fn a_dry_run_fetches_checks_and_keeps_nothing() {
    let world = World::published();
    let data = || {
        let mut files = std::collections::BTreeMap::new();
        let home = world.environment.root().join("home");
        crate::environment::collect(&home, &home, &mut files);
        files
    };
    let before = data();
    let dry = ["update-versions", "--source", "../tree", "--dry-run"];
    insta::assert_snapshot!(world.run(&dry), @"
    exit: 0
    --- stdout
    ADAPTER  TABLE  ORIGIN  SOURCE  WHY
    cilium  2  remote  file://[ROOT]/tree  it was fetched just now
    hetzner  1  embedded  -  file://[ROOT]/tree has no newer one
    talos  1  embedded  -  file://[ROOT]/tree has no newer one
    --- stderr
    the publisher's key of file://[ROOT]/tree would be trusted from now on: [KEY]
      compare it with what the publisher shows elsewhere
    ✓ file://[ROOT]/tree has serial 1, valid until [TIME]
    ");
    assert_eq!(data(), before);
    let mut command = world.environment.command(&[&dry[..], &["--json"]].concat());
    let json: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    assert_eq!(
        (&json["dry_run"], &json["versions"]["cilium"]["serial"]),
        (&json!(true), &json!(2))
    );
    crate::schemas::valid("update-versions.schema.json", &json);
    // What a lock pins, on a machine that has nothing yet.
    world.update();
    world.environment.ztc_ok(&["render"]);
    world.another_machine();
    let before = data();
    insta::assert_snapshot!(world.run(&["update-versions", "--dry-run"]), @"
    exit: 0
    --- stdout
    ADAPTER  TABLE  ORIGIN  SOURCE  WHY
    cilium  2  cached  file://[ROOT]/tree  platform/lock.json pins it
    hetzner  1  embedded  -  no channel is configured
    talos  1  embedded  -  no channel is configured
    --- stderr
    ✓ would fetch table 2 of the versions of `cilium`, which platform/lock.json pins, from file://[ROOT]/tree
    ");
    assert_eq!(data(), before);
    world.update();
    insta::assert_snapshot!(world.run(&["update-versions", "--forget", "--dry-run"]), @"
    exit: 0
    --- stderr
    ✓ adapters would work with their own tables of versions again, and with those that a lock pins
    ");
    let offline = world.run(&["update-versions", "--offline", "--json"]);
    assert!(!offline.json()["channel"].is_null());
}
