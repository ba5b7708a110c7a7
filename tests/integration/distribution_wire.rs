//! What goes over the wire: which paths are asked, whom a password reaches, and what happens to answers that never end, stand still, or
//! come from a mirror that lies.

use std::fs;
use std::io::Write;
use std::time::Duration;

use serde_json::json;

use crate::distribution::{Publisher, machine};
use crate::distribution_publish::{change_and_sign, sign};
use crate::environment::Run;
use crate::web::{Web, status, whole};

/// Runs `ztc` without what differs: the server's address, keys, times.
fn run(publisher: &Publisher, web: &Web, arguments: &[&str]) -> Run {
    let mut run = publisher.run(arguments);
    for stream in [&mut run.stdout, &mut run.stderr] {
        *stream = stream.replace(&web.address, "[WEB]");
    }
    run
}

fn install(publisher: &Publisher, web: &Web) -> Run {
    let source = web.url();
    let command = ["plugins", "install", "hello", "--source", &source];
    run(publisher, web, &command)
}

#[test]
fn files_of_the_tree_are_asked_for_and_no_api_is_called() {
    let publisher = Publisher::new();
    let table = publisher
        .environment
        .ztc_ok(&["plugins", "run", "talos", "versions"])
        .stdout;
    let file = publisher.tree().join("ztc-versions-talos-2.yaml");
    fs::write(file, table.replace("serial: 1", "serial: 2")).unwrap();
    publisher.publish(&[]);
    let web = Web::directory(publisher.tree());
    let source = web.url();
    let asked = |arguments: &[&str]| {
        let run = run(&publisher, &web, arguments);
        assert_eq!(run.code, Some(0), "{run}");
        web.take_asked().join("\n").replace(&machine(), "[MACHINE]")
    };
    let command = ["plugins", "install", "hello", "--source", &source];
    insta::assert_snapshot!(asked(&command), @"
    GET /index.json
    GET /index.json.minisig
    GET /hello/1.0.0/ztc-adapter-hello-1.0.0-[MACHINE]
    ");
    insta::assert_snapshot!(asked(&command), @"
    GET /index.json
    GET /index.json.minisig
    ");
    insta::assert_snapshot!(asked(&["plugins", "search", "hello"]), @"
    GET /index.json
    GET /index.json.minisig
    ");
    publisher.put("hello", "1.1.0", &machine());
    publisher.publish(&[]);
    insta::assert_snapshot!(asked(&["plugins", "upgrade", "--dry-run"]), @"
    GET /index.json
    GET /index.json.minisig
    ");
    insta::assert_snapshot!(asked(&["plugins", "upgrade", "--yes"]), @"
    GET /index.json
    GET /index.json.minisig
    GET /hello/1.1.0/ztc-adapter-hello-1.1.0-[MACHINE]
    ");
    insta::assert_snapshot!(asked(&["update-versions", "--source", &source]), @"
    GET /index.json
    GET /index.json.minisig
    GET /talos/versions/ztc-versions-talos-2.yaml
    ");
    let mirror = [
        "plugins",
        "mirror",
        "../mirror",
        "hello",
        "--source",
        &source,
    ];
    insta::assert_snapshot!(asked(&mirror), @"
    GET /index.json
    GET /index.json.minisig
    GET /hello/1.1.0/SHA256SUMS
    GET /hello/1.1.0/SHA256SUMS.minisig
    GET /hello/1.1.0/ztc-adapter-hello-1.1.0-[MACHINE]
    GET /talos/versions/ztc-versions-talos-2.yaml
    ");
    // What is there needs nobody.
    for offline in [
        &["plugins", "list"][..],
        &["plugins", "info", "hello"],
        &["plugins", "verify"],
    ] {
        assert_eq!(asked(offline), "", "{offline:?}");
    }
    let heads = web.heads.lock().unwrap();
    assert!(!heads.contains('?') && !heads.contains("cookie"), "{heads}");
}

#[test]
fn what_has_no_end_is_refused_a_signature_too() {
    let publisher = Publisher::new();
    let tree = publisher.tree();
    let web = Web::start(move |path, stream| match path {
        "index.json.minisig" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            loop {
                stream.write_all(&[b'x'; 65536])?;
            }
        }
        path => whole(stream, &fs::read(tree.join(path))?),
    });
    insta::assert_snapshot!(install(&publisher, &web), @"
    exit: 5
    --- stderr
    error: `index.json.minisig` of `http://[WEB]` has no end: it is longer than 4096 bytes
      help: do not use this tree: tell its publisher by another way than this source
    ");
}

#[test]
fn what_stands_still_or_drips_is_given_up() {
    let mut publisher = Publisher::new();
    publisher.environment.set("ZTC_PLUGINS_STALL", "1");
    let tree = publisher.tree();
    let served = move |slow: &'static str, drips: bool| {
        let tree = tree.clone();
        Web::start(move |path, stream| {
            let content = fs::read(tree.join(path))?;
            if !path.contains(slow) {
                return whole(stream, &content);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            // One byte, and then another now and then, until the other side has had enough.
            for byte in content.iter().cycle() {
                stream.write_all(&[*byte])?;
                std::thread::sleep(match drips {
                    true => Duration::from_millis(50),
                    false => Duration::from_secs(3600),
                });
            }
            Ok(())
        })
    };
    let without_count = |run: Run| {
        let text = run.to_string();
        let word = |word: &str| match word.parse::<u32>() {
            Ok(count) if count > 1 => "[COUNT]".to_owned(),
            _ => word.to_owned(),
        };
        text.split(' ').map(word).collect::<Vec<_>>().join(" ")
    };
    let index = served("index.json", false);
    insta::assert_snapshot!(install(&publisher, &index), @"
    exit: 1
    --- stderr
    error: `index.json` of `http://[WEB]` comes too slowly
      nothing came for 1 s
      help: run the same command again, or take another source or a mirror; `ZTC_PLUGINS_STALL=SECONDS` waits longer
    ");
    let program = served("ztc-adapter-", false);
    insta::assert_snapshot!(install(&publisher, &program), @"
    exit: 1
    --- stderr
    error: `hello/1.0.0/ztc-adapter-hello-1.0.0-[MACHINE]` of `http://[WEB]` comes too slowly
      nothing came for 1 s
      1 of 900 bytes had come
      help: run the same command again, or take another source or a mirror; `ZTC_PLUGINS_STALL=SECONDS` waits longer
    ");
    let drips = served("ztc-adapter-", true);
    insta::assert_snapshot!(without_count(install(&publisher, &drips)), @"
    exit: 1
    --- stderr
    error: `hello/1.0.0/ztc-adapter-hello-1.0.0-[MACHINE]` of `http://[WEB]` comes too slowly
      only [COUNT] bytes came in 1 s
      [COUNT] of [COUNT] bytes had come
      help: run the same command again, or take another source or a mirror; `ZTC_PLUGINS_STALL=SECONDS` waits longer
    ");
    let silent = Web::start(|_, _| {
        std::thread::sleep(Duration::from_secs(3600));
        Ok(())
    });
    insta::assert_snapshot!(install(&publisher, &silent), @"
    exit: 1
    --- stderr
    error: `http://[WEB]` does not answer
      nothing came for 1 s
      help: run the same command again, or take another source or a mirror; `ZTC_PLUGINS_STALL=SECONDS` waits longer
    ");
    publisher.environment.set("ZTC_PLUGINS_STALL", "soon");
    insta::assert_snapshot!(install(&publisher, &silent), @"
    exit: 2
    --- stderr
    error: `ZTC_PLUGINS_STALL` is not a number of seconds from 1 to 3600: `soon`
      help: leave it out for 30 seconds
    ");
}

#[test]
fn a_password_goes_to_the_registry_that_was_named_and_to_nobody_else() {
    let publisher = Publisher::new();
    let thief = Web::start(|_, stream| {
        let challenge = "WWW-Authenticate: Basic realm=\"all\"\r\n";
        status(stream, "401 Unauthorized", challenge)
    });
    let to = thief.address.clone();
    let registry = Web::start(move |path, stream| {
        let location = format!("Location: http://{to}/{path}\r\n");
        status(stream, "307 Temporary Redirect", &location)
    });
    let docker = publisher.environment.root().join("home/.docker");
    fs::create_dir(&docker).unwrap();
    let config =
        json!({"auths": {&registry.address: {"username": "me", "password": "open sesame"}}});
    fs::write(docker.join("config.json"), config.to_string()).unwrap();
    let source = format!("oci://{}/acme/hello", registry.address);
    let command = ["plugins", "install", "hello", "--source", &source];
    let refused = run(&publisher, &registry, &command).to_string();
    insta::assert_snapshot!(refused.replace(&thief.address, "[THIEF]"), @"
    exit: 5
    --- stderr
    error: `oci://[WEB]/acme/hello` sends to `http://[THIEF]`, which wants credentials
      nothing was sent there: yours are for `[WEB]` alone
      help: tell whoever runs the registry: it has to ask for credentials itself
    ");
    insta::assert_snapshot!(thief.take_asked().join("\n"), @"GET /v2/acme/hello/manifests/index");
    // A challenge that sends for a token is as little the registry's own.
    let realm = thief.address.clone();
    let bearer = Web::start(move |_, stream| {
        let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{realm}/token\"\r\n");
        status(stream, "401 Unauthorized", &challenge)
    });
    let to = bearer.address.clone();
    let registry = Web::start(move |path, stream| {
        let location = format!("Location: http://{to}/{path}\r\n");
        status(stream, "307 Temporary Redirect", &location)
    });
    let config =
        json!({"auths": {&registry.address: {"username": "me", "password": "open sesame"}}});
    fs::write(docker.join("config.json"), config.to_string()).unwrap();
    let source = format!("oci://{}/acme/hello", registry.address);
    let command = ["plugins", "install", "hello", "--source", &source];
    assert_eq!(run(&publisher, &registry, &command).code, Some(5));
    assert_eq!(thief.take_asked(), Vec::<String>::new());
    for server in [&thief, &bearer, &registry] {
        let heads = server.heads.lock().unwrap();
        assert!(!heads.contains("authorization"), "{heads}");
    }
}

#[test]
fn a_mirror_that_lies_is_refused_under_the_name_of_its_source() {
    let mut publisher = Publisher::new();
    let web = Web::directory(publisher.tree());
    let source = web.url();
    publisher.publish(&[]);
    assert_eq!(install(&publisher, &web).code, Some(0));
    let mirror = [
        "plugins",
        "mirror",
        "../mirror",
        "hello",
        "--source",
        &source,
    ];
    assert_eq!(run(&publisher, &web, &mirror).code, Some(0));
    publisher
        .environment
        .ztc_ok(&["plugins", "remove", "hello"]);
    let root = publisher.environment.root().to_owned();
    let copy = fs::read_dir(root.join("mirror")).unwrap().next().unwrap();
    let copy = copy.unwrap().path();
    let served = Web::directory(root.join("mirror"));
    let through = served.url();
    publisher
        .environment
        .set("ZTC_PLUGINS_MIRROR", through.as_str());
    web.take_asked();
    let refused = |publisher: &Publisher| {
        let text = install(publisher, &web).to_string();
        let slug = copy.file_name().unwrap().to_str().unwrap();
        text.replace(&served.address, "[MIRROR]")
            .replace(slug, "[SLUG]")
    };
    let (index, program) = (
        copy.join("index.json"),
        format!("hello/1.0.0/ztc-adapter-hello-1.0.0-{}", machine()),
    );
    let good = [&index, &copy.join("index.json.minisig")].map(|path| fs::read(path).unwrap());
    // Other bytes.
    let bytes = fs::read(copy.join(&program)).unwrap();
    let other = String::from_utf8_lossy(&bytes).replace("says hello", "says jello");
    fs::write(copy.join(&program), other).unwrap();
    insta::assert_snapshot!(refused(&publisher), @"
    exit: 5
    --- stderr
    error: `hello/1.0.0/ztc-adapter-hello-1.0.0-[MACHINE]` of `http://[WEB]` does not have the bytes that were signed
      signed: [SHA256]
      found: [SHA256]
      read from the mirror http://[MIRROR]/[SLUG]
      help: do not use this tree: tell its publisher by another way than this source
    ");
    fs::write(copy.join(&program), bytes).unwrap();
    // An index of its own, signed with a key of its own.
    publisher
        .environment
        .ztc_ok(&["plugins", "keygen", "../other", "--no-password"]);
    sign(&index, &root.join("other"));
    insta::assert_snapshot!(refused(&publisher), @"
    exit: 5
    --- stderr
    error: `http://[WEB]` is signed with another key than the one that the list of trusted publishers names
      known: [KEY] (id [ID])
      signed with: a key with the id [ID]
      read from the mirror http://[MIRROR]/[SLUG]
      help: ask its publisher by another way; where the key was changed on purpose, run `ztc plugins trust add http://[WEB] KEY`
    ");
    // An older one of the publisher's.
    let newest = fs::read(publisher.tree().join("index.json")).unwrap();
    change_and_sign(&publisher, |index| index["serial"] = 1.into());
    for file in ["index.json", "index.json.minisig"] {
        fs::copy(publisher.tree().join(file), copy.join(file)).unwrap();
    }
    insta::assert_snapshot!(refused(&publisher), @"
    exit: 5
    --- stderr
    error: the index of `http://[WEB]` is older than the one that this machine has seen: serial 1, seen was 2
      read from the mirror http://[MIRROR]/[SLUG]
      help: run the same command again later; where it stays so, somebody shows an old copy; where its publisher has begun anew, and you know it from them, run `ztc plugins trust remove http://[WEB]`
    ");
    // None.
    fs::remove_file(copy.join("index.json.minisig")).unwrap();
    insta::assert_snapshot!(refused(&publisher), @"
    exit: 5
    --- stderr
    error: `http://[WEB]` has no signature any more, and it had one
      trusted: [KEY]
      read from the mirror http://[MIRROR]/[SLUG]
      help: ask its publisher; `ztc plugins trust remove http://[WEB]` forgets that it was signed
    ");
    fs::write(&index, &good[0]).unwrap();
    fs::write(copy.join("index.json.minisig"), &good[1]).unwrap();
    assert_eq!(newest, good[0]);
    insta::assert_snapshot!(refused(&publisher), @"
    exit: 0
    --- stderr
    ✓ hello 1.0.0 installed from http://[WEB]
      touches network example.org:443
    ");
    assert_eq!(
        web.take_asked(),
        Vec::<String>::new(),
        "the source was asked"
    );
}
