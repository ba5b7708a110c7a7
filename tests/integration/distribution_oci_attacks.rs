//! What an OCI registry that means ill can do, each refused with its own message; and where a pass goes, and where not.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use ztc_protocol::sha256_hex;

use crate::distribution::Publisher;
use crate::distribution_oci::run;
use crate::distribution_publish::begin_anew;
use crate::environment::Run;

/// How a registry lies.
#[derive(Clone, Debug, PartialEq)]
enum Lie {
    Nothing,
    /// Other bytes for what has this path in the tree.
    Other(&'static str),
    /// Bytes without end for it.
    Endless(&'static str),
    /// It is left out.
    Without(&'static str),
    EndlessManifest,
    /// Blobs are elsewhere.
    Redirect(String),
    /// It wants a token that is given out there, and then sends for blobs to the second place.
    Token(String, Option<String>),
    /// It is no tree of adapters.
    Image,
}

/// A registry that shows a directory as the repository `acme/hello`, and lies. It ends with the test.
pub(crate) struct Fake {
    pub(crate) address: String,
    lie: Arc<Mutex<Lie>>,
    /// The heads of all requests.
    heads: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    pub(crate) fn start(tree: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let fake = Self {
            address: listener.local_addr().unwrap().to_string(),
            lie: Arc::new(Mutex::new(Lie::Nothing)),
            heads: Arc::default(),
        };
        let (lie, heads) = (Arc::clone(&fake.lie), Arc::clone(&fake.heads));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (tree, lie, heads) = (
                    tree.clone(),
                    lie.lock().unwrap().clone(),
                    Arc::clone(&heads),
                );
                std::thread::spawn(move || answer(stream, &tree, &lie, &heads));
            }
        });
        fake
    }

    fn lies(&self, lie: Lie) {
        *self.lie.lock().unwrap() = lie;
        self.heads.lock().unwrap().clear();
    }

    pub(crate) fn source(&self) -> String {
        format!("oci://{}/acme/hello", self.address)
    }

    fn install(&self, publisher: &Publisher, options: &[&str]) -> Run {
        let source = self.source();
        let command = ["plugins", "install", "hello", "--source", &source];
        run(publisher, &self.address, &[&command, options].concat())
    }
}

fn answer(
    mut stream: TcpStream,
    tree: &std::path::Path,
    lie: &Lie,
    heads: &Mutex<Vec<String>>,
) -> Option<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let path = head.split(' ').nth(1)?.to_owned();
    heads.lock().unwrap().push(head.clone());
    let mut files = BTreeMap::new();
    crate::environment::collect(tree, tree, &mut files);
    let rest = path.strip_prefix("/v2/acme/hello/")?;
    let mut say = |status: &str, header: &str, body: &[u8]| {
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\n{header}Content-Length: {length}\r\n\r\n"
        );
        stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(body))
            .ok()
    };
    if let Lie::Token(realm, _) = lie
        && !head.to_lowercase().contains("authorization: bearer good")
    {
        let challenge = format!("WWW-Authenticate: Bearer realm=\"{realm}\",service=\"all\"\r\n");
        return say("401 Unauthorized", &challenge, b"");
    }
    if rest == "manifests/index" {
        if *lie == Lie::EndlessManifest {
            return endless(&mut stream);
        }
        let layers: Vec<Value> = files
            .iter()
            .filter(|(path, _)| *lie != Lie::Without(name(path)))
            .filter(|_| *lie != Lie::Image)
            .map(|(path, content)| {
                json!({"mediaType": "application/octet-stream", "size": content.len(), "digest": format!("sha256:{}", sha256_hex(content)),
                    "annotations": {"org.opencontainers.image.title": path}})
            })
            .collect();
        let manifest = json!({"schemaVersion": 2, "layers": layers}).to_string();
        return say("200 OK", "", manifest.as_bytes());
    }
    if rest.starts_with("manifests/") {
        return say("404 Not Found", "", b"");
    }
    // It is shown, and nothing is taken.
    let Some(digest) = rest.strip_prefix("blobs/sha256:") else {
        return say("405 Method Not Allowed", "", b"");
    };
    let Some((path, content)) = files
        .iter()
        .find(|(_, content)| sha256_hex(content) == digest)
    else {
        return say("404 Not Found", "", b"");
    };
    match lie {
        Lie::Other(this) if *this == name(path) => {
            let other = String::from_utf8_lossy(content).replace('1', "2");
            say("200 OK", "", other.as_bytes())
        }
        Lie::Endless(this) if *this == name(path) => endless(&mut stream),
        Lie::Redirect(to) | Lie::Token(_, Some(to)) if name(path) == "program" => say(
            "307 Temporary Redirect",
            &format!("Location: {to}\r\n"),
            b"",
        ),
        _ => say("200 OK", "", content),
    }
}

/// What a file is called here.
fn name(path: &str) -> &'static str {
    match path {
        "index.json" => "index",
        "index.json.minisig" => "signature",
        path if path.contains("ztc-adapter-") => "program",
        _ => "sums",
    }
}

fn endless(stream: &mut TcpStream) -> Option<()> {
    stream
        .write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        .ok()?;
    // It goes on until the other side has enough.
    while stream.write_all(&[b'x'; 65536]).is_ok() {}
    Some(())
}

#[test]
fn a_registry_that_shows_other_bytes_or_no_end_is_refused() {
    let publisher = Publisher::new();
    let fake = Fake::start(publisher.tree());
    let refused = |lie: Lie| {
        fake.lies(lie);
        fake.install(&publisher, &[])
    };
    insta::assert_snapshot!(refused(Lie::Other("program")), @"
    exit: 5
    --- stderr
    error: `hello/1.0.0/ztc-adapter-hello-1.0.0-[MACHINE]` of `oci://[REGISTRY]/acme/hello` does not have the bytes that were signed
      signed: [SHA256]
      found: [SHA256]
      help: do not use this tree: tell its publisher by another way than this source
    ");
    insta::assert_snapshot!(refused(Lie::Other("index")), @"
    exit: 5
    --- stderr
    error: `index.json` of `oci://[REGISTRY]/acme/hello` does not have the bytes that its artifact names
      named: [SHA256]
      found: [SHA256]
      help: do not use this registry: tell its publisher by another way
    ");
    insta::assert_snapshot!(refused(Lie::Other("signature")), @"
    exit: 5
    --- stderr
    error: `index.json.minisig` of `oci://[REGISTRY]/acme/hello` does not have the bytes that its artifact names
      named: [SHA256]
      found: [SHA256]
      help: do not use this registry: tell its publisher by another way
    ");
    insta::assert_snapshot!(refused(Lie::Endless("program")), @"
    exit: 5
    --- stderr
    error: `hello/1.0.0/ztc-adapter-hello-1.0.0-[MACHINE]` of `oci://[REGISTRY]/acme/hello` is longer than the 900 bytes that were signed
      help: do not use this tree: tell its publisher by another way than this source
    ");
    insta::assert_snapshot!(refused(Lie::Endless("index")), @"
    exit: 5
    --- stderr
    error: `index.json` of `oci://[REGISTRY]/acme/hello` has no end: it is longer than 8388608 bytes
      help: do not use this tree: tell its publisher by another way than this source
    ");
    insta::assert_snapshot!(refused(Lie::EndlessManifest), @"
    exit: 5
    --- stderr
    error: `manifests/index` of `oci://[REGISTRY]/acme/hello` has no end: it is longer than 4194304 bytes
      help: do not use this tree: tell its publisher by another way than this source
    ");
    insta::assert_snapshot!(refused(Lie::Without("signature")), @"
    exit: 5
    --- stderr
    error: `oci://[REGISTRY]/acme/hello` has no signature: there is no `index.json.minisig`
      help: add `--allow-unsigned` where you know these bytes by another way
    ");
    insta::assert_snapshot!(refused(Lie::Image), @"
    exit: 1
    --- stderr
    error: `oci://[REGISTRY]/acme/hello` cannot be used: its artifact `index` is no tree of adapters
      help: name a repository that `ztc plugins push` has filled
    ");
    // Nothing of all that was believed.
    let trusted = publisher.run(&["plugins", "trust", "list"]);
    assert_eq!(trusted.stdout.lines().count(), 1, "{trusted}");
    insta::assert_snapshot!(refused(Lie::Nothing), @"
    exit: 0
    --- stderr
    the publisher's key of oci://[REGISTRY]/acme/hello is trusted from now on: [KEY]
      compare it with what the publisher shows elsewhere
    ✓ hello 1.0.0 installed from oci://[REGISTRY]/acme/hello
      touches network example.org:443
    ");
}

#[test]
fn a_registry_that_sends_to_plain_http_elsewhere_is_refused() {
    let publisher = Publisher::new();
    let fake = Fake::start(publisher.tree());
    fake.lies(Lie::Redirect(
        "http://192.0.2.1/blob?pass=sesame".to_owned(),
    ));
    insta::assert_snapshot!(fake.install(&publisher, &[]), @"
    exit: 5
    --- stderr
    error: `oci://[REGISTRY]/acme/hello` sends to `http://192.0.2.1`, where everybody on the way can answer
      help: tell its publisher: only `https://` addresses are followed
    ");
    fake.lies(Lie::Redirect("file:///etc/passwd".to_owned()));
    insta::assert_snapshot!(fake.install(&publisher, &[]), @"
    exit: 5
    --- stderr
    error: `oci://[REGISTRY]/acme/hello` sends to `file://`, where everybody on the way can answer
      help: tell its publisher: only `https://` addresses are followed
    ");
    let around = format!(
        "http://{}/v2/acme/hello/blobs/sha256:{}",
        fake.address,
        sha256_hex(&fs::read(publisher.executable()).unwrap())
    );
    fake.lies(Lie::Redirect(around));
    insta::assert_snapshot!(fake.install(&publisher, &[]), @"
    exit: 1
    --- stderr
    error: `oci://[REGISTRY]/acme/hello` sends elsewhere more than 5 times
      help: run the same command again later
    ");
    // A registry that gives out passes elsewhere, in the open: it does not get the password.
    let docker = publisher.environment.root().join("home/.docker");
    fs::create_dir(&docker).unwrap();
    let config = json!({"auths": {&fake.address: {"username": "me", "password": "open sesame"}}});
    fs::write(docker.join("config.json"), config.to_string()).unwrap();
    fake.lies(Lie::Token("http://192.0.2.1/token".to_owned(), None));
    insta::assert_snapshot!(fake.install(&publisher, &[]), @"
    exit: 5
    --- stderr
    error: `oci://[REGISTRY]/acme/hello` sends to `http://192.0.2.1`, where everybody on the way can answer
      help: tell its publisher: only `https://` addresses are followed
    ");
}

/// A web server for one question; returns its address, and later the head of the question.
fn once(body: Vec<u8>) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let start = format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(start.as_bytes()).unwrap();
        stream.write_all(&body).unwrap();
        String::from_utf8(head).unwrap()
    });
    (address, asked)
}

#[test]
fn a_token_is_fetched_with_the_credentials_and_goes_to_its_registry_only() {
    let publisher = Publisher::new();
    let fake = Fake::start(publisher.tree());
    let docker = publisher.environment.root().join("home/.docker");
    fs::create_dir(&docker).unwrap();
    let config = json!({"auths": {&fake.address: {"username": "me", "password": "open sesame"}}});
    fs::write(docker.join("config.json"), config.to_string()).unwrap();
    let (realm, asked) = once(br#"{"token": "good"}"#.to_vec());
    let (elsewhere, fetched) = once(fs::read(publisher.executable()).unwrap());
    fake.lies(Lie::Token(
        format!("{realm}/token"),
        Some(format!("{elsewhere}/blob?pass=1")),
    ));
    let installed = fake.install(&publisher, &[]);
    assert_eq!(installed.code, Some(0), "{installed}");
    let asked = asked.join().unwrap().to_lowercase();
    let first = asked.lines().next().unwrap();
    assert_eq!(
        first,
        "get /token?scope=repository%3aacme%2fhello%3apull&service=all http/1.1"
    );
    assert!(
        asked.contains("authorization: basic bwu6b3blbibzzxnhbwu="),
        "{asked}"
    );
    // The password itself never went to the registry, and every question but the first had the token.
    let heads = fake.heads.lock().unwrap().join("").to_lowercase();
    assert!(!heads.contains("basic"), "{heads}");
    let count = |text: &str| heads.matches(text).count();
    assert_eq!(
        count("http/1.1\r\n"),
        count("authorization: bearer good") + 1
    );
    // Where it sent on to saw neither.
    let fetched = fetched.join().unwrap().to_lowercase();
    assert!(fetched.starts_with("get /blob?pass=1 "), "{fetched}");
    assert!(!fetched.contains("authorization"), "{fetched}");
}

#[test]
fn an_older_index_another_key_and_other_bytes_of_a_version_are_refused_in_a_registry_too() {
    let publisher = Publisher::new();
    let fake = Fake::start(publisher.tree());
    let tree = publisher.tree();
    let files = ["index.json", "index.json.minisig"];
    let old = files.map(|file| fs::read(tree.join(file)).unwrap());
    publisher.publish(&[]);
    assert_eq!(fake.install(&publisher, &[]).code, Some(0));
    for (file, text) in files.iter().zip(&old) {
        fs::write(tree.join(file), text).unwrap();
    }
    insta::assert_snapshot!(fake.install(&publisher, &[]), @"
    exit: 5
    --- stderr
    error: the index of `oci://[REGISTRY]/acme/hello` is older than the one that this machine has seen: serial 1, seen was 2
      help: run the same command again later; where it stays so, somebody shows an old copy; where its publisher has begun anew, and you know it from them, run `ztc plugins trust remove oci://[REGISTRY]/acme/hello`
    ");
    let text = fs::read_to_string(publisher.executable()).unwrap();
    fs::write(
        publisher.executable(),
        text.replace("says hello", "says jello"),
    )
    .unwrap();
    begin_anew(&tree);
    for _ in 0..3 {
        publisher.publish(&[]);
    }
    insta::assert_snapshot!(fake.install(&publisher, &[]), @"
    exit: 5
    --- stderr
    error: `hello` 1.0.0 of `oci://[REGISTRY]/acme/hello` has other bytes than before for [MACHINE]
      was: [SHA256]
      now: [SHA256]
      help: a version never changes its bytes: ask its publisher, who has to give the change a new version
    ");
    publisher
        .environment
        .ztc_ok(&["plugins", "keygen", "../other", "--no-password"]);
    publisher.environment.ztc_ok(&[
        "plugins",
        "publish",
        "../tree",
        "--key",
        "../other",
        "--replace-key",
    ]);
    insta::assert_snapshot!(fake.install(&publisher, &[]), @"
    exit: 5
    --- stderr
    error: `oci://[REGISTRY]/acme/hello` is signed with another key than the one that the list of trusted publishers names
      known: [KEY] (id [ID])
      signed with: a key with the id [ID]
      help: ask its publisher by another way; where the key was changed on purpose, run `ztc plugins trust add oci://[REGISTRY]/acme/hello KEY`
    ");
    fake.lies(Lie::Without("signature"));
    insta::assert_snapshot!(fake.install(&publisher, &["--allow-unsigned"]), @"
    exit: 5
    --- stderr
    error: `oci://[REGISTRY]/acme/hello` has no signature any more, and it had one
      trusted: [KEY]
      help: ask its publisher; `ztc plugins trust remove oci://[REGISTRY]/acme/hello` forgets that it was signed
    ");
}
