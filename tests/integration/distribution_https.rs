//! Trees behind TLS: whose certificates count, and what is said of all others. The authority is the test's own.

use std::fs;

use crate::distribution::Publisher;
use crate::distribution_oci_attacks::Fake;
use crate::environment::Run;
use crate::web::{Authority, Web, proxy, status};

/// A publisher's tree behind TLS on this machine.
struct World {
    publisher: Publisher,
    web: Web,
    authority: Authority,
}

/// A year in which every certificate is valid.
const LATER: i32 = 2999;

impl World {
    fn new() -> Self {
        let publisher = Publisher::new();
        let web = Web::directory(publisher.tree());
        Self {
            web,
            authority: Authority::new("an authority of a test"),
            publisher,
        }
    }

    /// Makes an authority count, as the operator would.
    fn trust(&mut self, pem: &str) {
        let file = self.publisher.environment.root().join("authorities.pem");
        fs::write(&file, pem).unwrap();
        let file = file.display().to_string();
        self.publisher.environment.set("SSL_CERT_FILE", file);
    }

    fn install(&self, port: u16) -> Run {
        self.install_from(&format!("https://localhost:{port}"), port)
    }

    fn install_from(&self, source: &str, port: u16) -> Run {
        let command = ["plugins", "install", "hello", "--source", source];
        let mut run = self.publisher.run(&command);
        for stream in [&mut run.stdout, &mut run.stderr] {
            *stream = stream
                .replace(&format!(":{port}"), ":[PORT]")
                .replace(&self.web.address, "[PLAIN]");
        }
        run
    }
}

#[test]
fn an_authority_counts_where_the_operator_names_it() {
    let mut world = World::new();
    let port = world
        .authority
        .before(&world.web.address, &["localhost"], LATER);
    let pem = world.authority.pem.clone();
    world.trust(&pem);
    insta::assert_snapshot!(world.install(port), @"
    exit: 0
    --- stderr
    the publisher's key of https://localhost:[PORT] is trusted from now on: [KEY]
      compare it with what the publisher shows elsewhere
    ✓ hello 1.0.0 installed from https://localhost:[PORT]
      touches network example.org:443
    ");
    // In a directory, as OpenSSL has them.
    world.publisher.environment.unset("SSL_CERT_FILE");
    let directory = world.publisher.environment.root().join("authorities");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("0123abcd.0"), &pem).unwrap();
    let directory = directory.display().to_string();
    world.publisher.environment.set("SSL_CERT_DIR", directory);
    assert_eq!(world.install(port).code, Some(0));
}

#[test]
fn an_authority_that_nobody_trusts_is_refused() {
    let mut world = World::new();
    let port = world
        .authority
        .before(&world.web.address, &["localhost"], LATER);
    let refused = world.install(port).to_string();
    // A machine without any has Mozilla's.
    let known = refused.replace(
        "those that Mozilla lists, because this machine has none",
        "those of this machine",
    );
    insta::assert_snapshot!(known, @"
    exit: 5
    --- stderr
    error: `https://localhost:[PORT]` shows a certificate of an authority that this machine does not trust
      asked: https://localhost:[PORT]
      trusted are those of this machine
      help: where it is your organization's authority, add its certificate to those of this machine (`update-ca-certificates`, on macOS the keychain), or name a file of all authorities that are to count: `SSL_CERT_FILE=FILE`; otherwise somebody else answers in its place
    ");
    let other = Authority::new("another one");
    world.trust(&other.pem);
    insta::assert_snapshot!(world.install(port), @"
    exit: 5
    --- stderr
    error: `https://localhost:[PORT]` shows a certificate of an authority that this machine does not trust
      asked: https://localhost:[PORT]
      trusted are those that `SSL_CERT_FILE` names, and no others
      help: where it is your organization's authority, add its certificate to those of this machine (`update-ca-certificates`, on macOS the keychain), or name a file of all authorities that are to count: `SSL_CERT_FILE=FILE`; otherwise somebody else answers in its place
    ");
    world.trust("no certificates");
    insta::assert_snapshot!(world.install(port), @"
    exit: 2
    --- stderr
    error: `SSL_CERT_FILE` names no certificates of authorities that can be read
      help: name a file of certificates in PEM (`-----BEGIN CERTIFICATE-----`), or leave `SSL_CERT_FILE` out: then those of this machine count
    ");
    // What is behind TLS was never asked.
    assert_eq!(world.web.take_asked(), Vec::<String>::new());
}

#[test]
fn a_certificate_for_another_host_or_another_time_is_refused() {
    let mut world = World::new();
    let pem = world.authority.pem.clone();
    world.trust(&pem);
    let port = world
        .authority
        .before(&world.web.address, &["plugins.example.org"], LATER);
    insta::assert_snapshot!(world.install(port), @"
    exit: 5
    --- stderr
    error: `https://localhost:[PORT]` shows a certificate for another host
      asked: https://localhost:[PORT]
      help: name the source by the host that its certificate is for; otherwise somebody else answers in its place
    ");
    let port = world
        .authority
        .before(&world.web.address, &["localhost"], 1999);
    let refused = world.install(port).to_string();
    let without_times: Vec<&str> = refused
        .lines()
        .filter(|line| !line.contains("certificate expired"))
        .collect();
    insta::assert_snapshot!(without_times.join("\n"), @"
    exit: 5
    --- stderr
    error: `https://localhost:[PORT]` shows a certificate that is not valid now
      asked: https://localhost:[PORT]
      help: look whether the clock of this machine is right; otherwise tell whoever runs the server
    ");
    assert_eq!(world.web.take_asked(), Vec::<String>::new());
}

#[test]
fn nothing_leads_out_of_tls() {
    let mut world = World::new();
    let pem = world.authority.pem.clone();
    world.trust(&pem);
    let plain = world.web.url();
    let moved = Web::start(move |path, stream| {
        status(
            stream,
            "302 Found",
            &format!("Location: {plain}/{path}\r\n"),
        )
    });
    let port = world
        .authority
        .before(&moved.address, &["localhost"], LATER);
    insta::assert_snapshot!(world.install(port), @"
    exit: 5
    --- stderr
    error: `https://localhost:[PORT]` sends to `http://[PLAIN]`, where everybody on the way can answer
      help: tell its publisher: only `https://` addresses are followed
    ");
    // To another host with TLS it does, and its certificate counts as much.
    let other = Authority::new("another one");
    let behind = other.before(&world.web.address, &["localhost"], LATER);
    let moved = Web::start(move |path, stream| {
        let to = format!("Location: https://localhost:{behind}/{path}\r\n");
        status(stream, "302 Found", &to)
    });
    let port = world
        .authority
        .before(&moved.address, &["localhost"], LATER);
    let refused = world.install(port).to_string();
    insta::assert_snapshot!(refused.replace(&behind.to_string(), "[OTHER]"), @"
    exit: 5
    --- stderr
    error: `https://localhost:[PORT]` shows a certificate of an authority that this machine does not trust
      asked: https://localhost:[OTHER]
      trusted are those that `SSL_CERT_FILE` names, and no others
      help: where it is your organization's authority, add its certificate to those of this machine (`update-ca-certificates`, on macOS the keychain), or name a file of all authorities that are to count: `SSL_CERT_FILE=FILE`; otherwise somebody else answers in its place
    ");
    world.trust(&format!("{pem}{}", other.pem));
    assert_eq!(world.install(port).code, Some(0));
}

#[test]
fn a_registry_is_spoken_with_behind_tls_by_the_same_rules() {
    let mut world = World::new();
    let registry = Fake::start(world.publisher.tree());
    let pem = world.authority.pem.clone();
    let hosts = ["registry.example.org"];
    let port = world.authority.before(&registry.address, &hosts, LATER);
    let (address, asked) = proxy(port);
    let source = "oci://registry.example.org/acme/hello";
    let environment = &mut world.publisher.environment;
    environment.set("HTTPS_PROXY", address.as_str());
    let refused = world.install_from(source, port).to_string();
    assert!(
        refused.contains("of an authority that this machine does not trust"),
        "{refused}"
    );
    world.trust(&pem);
    insta::assert_snapshot!(world.install_from(source, port), @"
    exit: 0
    --- stderr
    the publisher's key of oci://registry.example.org/acme/hello is trusted from now on: [KEY]
      compare it with what the publisher shows elsewhere
    ✓ hello 1.0.0 installed from oci://registry.example.org/acme/hello
      touches network example.org:443
    ");
    let asked = asked.lock().unwrap().clone();
    assert!(!asked.is_empty());
    for line in asked {
        assert_eq!(line, "CONNECT registry.example.org:443 HTTP/1.1");
    }
}

#[test]
fn a_proxy_brings_tls_to_its_end_and_sees_nothing_of_it() {
    let mut world = World::new();
    let pem = world.authority.pem.clone();
    world.trust(&pem);
    let port = world
        .authority
        .before(&world.web.address, &["plugins.example.org"], LATER);
    let (address, asked) = proxy(port);
    world
        .publisher
        .environment
        .set("HTTPS_PROXY", address.as_str());
    let source = "https://plugins.example.org/";
    insta::assert_snapshot!(world.install_from(source, port), @"
    exit: 0
    --- stderr
    the publisher's key of https://plugins.example.org is trusted from now on: [KEY]
      compare it with what the publisher shows elsewhere
    ✓ hello 1.0.0 installed from https://plugins.example.org
      touches network example.org:443
    ");
    let asked = asked.lock().unwrap().clone();
    assert!(!asked.is_empty());
    for line in asked {
        assert_eq!(line, "CONNECT plugins.example.org:443 HTTP/1.1");
    }
}
