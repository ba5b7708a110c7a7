//! Trees behind a web server that is not there, behind a proxy or somewhere else; and keys with passwords.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc;

use crate::distribution_robust::{Answer, Server, World, in_namespace, request, serve};
use crate::distribution_team::{rendered, team};
use crate::environment::TestEnv;
use crate::terminal::Terminal;

#[test]
fn without_a_network_the_address_and_the_way_out_are_named() {
    let world = World::new(0);
    let script = r#"
        "$ZTC" plugins install hello --source https://192.0.2.1/tree; echo "exit: $?"
        "$ZTC" plugins install hello --source http://127.0.0.1:1/tree; echo "exit: $?"
        "$ZTC" plugins install hello --source ../tree --quiet; echo "exit: $?""#;
    let Some(output) = in_namespace(&world, "-rn", script) else {
        return;
    };
    insta::assert_snapshot!(output, @"
    error: `https://192.0.2.1/tree` cannot be reached
      io: Network is unreachable (os error 101)
      help: check the network and run the same command again; without one, install from a mirror (`ZTC_PLUGINS_MIRROR=DIR`), or go on with what is installed already (`ztc plugins list`)
    exit: 1
    error: `http://127.0.0.1:1/tree` cannot be reached
      io: Network is unreachable (os error 101)
      help: check the network and run the same command again; without one, install from a mirror (`ZTC_PLUGINS_MIRROR=DIR`), or go on with what is installed already (`ztc plugins list`)
    exit: 1
    the publisher's key of file://[ROOT]/tree is trusted from now on: [KEY]
      compare it with what the publisher shows elsewhere
    exit: 0
    ");
}

#[test]
fn what_is_locked_is_rendered_and_validated_without_any_network() {
    let mut world = World::new(0);
    let publisher = team();
    rendered(&publisher);
    world.environment = publisher.environment;
    let script = r#"
        "$ZTC" render --locked; echo "exit: $?"
        "$ZTC" validate --locked --quiet; echo "exit: $?"
        "$ZTC" plan --locked --quiet >/dev/null; echo "exit: $?"
        "$ZTC" plugins install --locked; echo "exit: $?""#;
    let Some(output) = in_namespace(&world, "-rn", script) else {
        return;
    };
    insta::assert_snapshot!(output, @"
    ✓ nothing changed for `test`: 1 artifacts, 0 stages
    exit: 0
    exit: 0
    exit: 0
    ✓ hello 1.0.0 was installed from file://[ROOT]/tree
    exit: 0
    ");
}

#[test]
fn proxies_are_asked_but_not_for_this_machine() {
    let mut world = World::new(0);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    let (sender, asked) = mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let line = request(&mut stream).unwrap_or_default();
            sender.send(line).unwrap();
            let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
        }
    });
    world.environment.set("HTTPS_PROXY", proxy.clone());
    let run = world.run(&mut world.install("https://plugins.example.org/tree"));
    assert_eq!(
        asked.recv().unwrap(),
        "CONNECT plugins.example.org:443 HTTP/1.1"
    );
    insta::assert_snapshot!(run, @"
    exit: 1
    --- stderr
    error: `https://plugins.example.org/tree` cannot be reached
      CONNECT proxy failed: proxy server responded 403/403
      through the proxy that `HTTPS_PROXY` names
      help: check the network and run the same command again; without one, install from a mirror (`ZTC_PLUGINS_MIRROR=DIR`), or go on with what is installed already (`ztc plugins list`)
    ");
    world.environment.unset("HTTPS_PROXY");
    world.environment.set("HTTP_PROXY", proxy);
    let server = serve(world.tree(), |_| Answer::Whole);
    assert_eq!(world.run(&mut world.install(&server.address)).code, Some(0));
    assert!(
        asked.try_recv().is_err(),
        "the proxy was asked for this machine"
    );
}

#[test]
fn redirects_have_an_end_and_lead_nowhere_without_tls() {
    let world = World::new(0);
    let refused = |server: &Server| {
        let run = world.run(&mut world.install(&server.address));
        run.to_string().replace(&server.address, "[WEB]")
    };
    let endless = serve(world.tree(), |path| Answer::Redirect(format!("/{path}")));
    insta::assert_snapshot!(refused(&endless), @"
    exit: 1
    --- stderr
    error: `[WEB]` sends elsewhere more than 5 times
      help: run the same command again later
    ");
    let away = serve(world.tree(), |path| match path {
        "index.json" => Answer::Redirect("http://192.0.2.1/index.json".to_owned()),
        _ => Answer::Whole,
    });
    insta::assert_snapshot!(refused(&away), @"
    exit: 5
    --- stderr
    error: `[WEB]` sends to `http://192.0.2.1`, where everybody on the way can answer
      help: tell its publisher: only `https://` addresses are followed
    ");
    let real = serve(world.tree(), |_| Answer::Whole).address;
    let moved = serve(world.tree(), move |path| {
        Answer::Redirect(format!("{real}/{path}"))
    });
    assert_eq!(world.run(&mut world.install(&moved.address)).code, Some(0));
    assert_eq!(world.installed(), ["1.0.0"]);
}

#[test]
fn keys_have_passwords() {
    let mut environment = TestEnv::new();
    fs::create_dir(environment.root().join("tree")).unwrap();
    let table = environment
        .ztc_ok(&["plugins", "run", "talos", "versions"])
        .stdout;
    let file = environment.root().join("tree/ztc-versions-talos-2.yaml");
    fs::write(file, table.replace("serial: 1", "serial: 2")).unwrap();
    let keygen = ["plugins", "keygen", "../key"];
    insta::assert_snapshot!(environment.ztc(&keygen), @"
    exit: 2
    --- stderr
    error: the key has a password, and nobody can be asked for it
      help: set `ZTC_KEY_PASSWORD`, or add `--no-password` to `ztc plugins keygen`
    ");
    environment.set("ZTC_KEY_PASSWORD", "");
    insta::assert_snapshot!(environment.ztc(&keygen), @"
    exit: 2
    --- stderr
    error: the password is empty
      help: give one, or add `--no-password` where a secret store keeps the file itself
    ");
    environment.set("ZTC_KEY_PASSWORD", "correct horse");
    environment.ztc_ok(&keygen);
    let mode = fs::metadata(environment.root().join("key"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let publish = [
        "plugins", "publish", "../tree", "--key", "../key", "--quiet",
    ];
    environment.unset("ZTC_KEY_PASSWORD");
    insta::assert_snapshot!(environment.ztc(&publish), @"
    exit: 2
    --- stderr
    error: the key has a password, and nobody can be asked for it
      help: set `ZTC_KEY_PASSWORD`, or add `--no-password` to `ztc plugins keygen`
    ");
    environment.set("ZTC_KEY_PASSWORD", "battery staple");
    insta::assert_snapshot!(environment.ztc(&publish), @"
    exit: 2
    --- stderr
    error: the password does not open the secret key `[REPO]/../key`
      help: type it again, or correct `ZTC_KEY_PASSWORD`
    ");
    assert!(!environment.root().join("tree/index.json").exists());
    environment.set("ZTC_KEY_PASSWORD", "correct horse");
    environment.ztc_ok(&publish);
    environment.ztc_ok(&["plugins", "publish-check", "../tree"]);
}

#[test]
fn a_person_types_a_new_password_twice() {
    let environment = TestEnv::new();
    let keygen = |again: &str| {
        let mut terminal = Terminal::ztc(&environment, &["plugins", "keygen", "../key"]);
        terminal.answer("Password for the new key", "correct horse\r");
        terminal.answer("The same password again", again);
        terminal.exit_code()
    };
    assert_eq!(keygen("correct hose\r"), Some(2));
    assert!(!environment.root().join("key").exists());
    assert_eq!(keygen("correct horse\r"), Some(0));
    fs::create_dir(environment.root().join("tree")).unwrap();
    let table = environment.ztc_ok(&["plugins", "run", "hetzner", "versions"]);
    let file = environment.root().join("tree/ztc-versions-hetzner-1.yaml");
    fs::write(file, table.stdout).unwrap();
    let publish = ["plugins", "publish", "../tree", "--key", "../key"];
    let mut terminal = Terminal::ztc(&environment, &publish);
    terminal.answer("Password of the key", "correct horse\r");
    terminal.wait_for("signed the index");
    assert_eq!(terminal.exit_code(), Some(0));
}
