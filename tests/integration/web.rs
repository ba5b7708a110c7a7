//! Web servers on loopback that a test tells what to answer; they end with the test. They remember what was asked. TLS stands before one of
//! them, with a certificate of an authority that the test makes.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A server.
pub(crate) struct Web {
    /// `127.0.0.1:PORT`.
    pub(crate) address: String,
    /// Every question, such as `GET /index.json`.
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
    /// Their whole heads, in small letters.
    pub(crate) heads: Arc<Mutex<String>>,
}

impl Web {
    /// Starts one; `answer` hears the path without its first slash.
    pub(crate) fn start(
        answer: impl Fn(&str, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let heads: Arc<Mutex<String>> = Arc::default();
        let (answer, seen, read) = (Arc::new(answer), Arc::clone(&asked), Arc::clone(&heads));
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                let read = Arc::clone(&read);
                std::thread::spawn(move || {
                    let head = head(&mut stream)?;
                    *read.lock().unwrap() += &head.to_lowercase();
                    let mut words = head.split(' ');
                    let (method, path) = (words.next()?, words.next()?);
                    seen.lock().unwrap().push(format!("{method} {path}"));
                    answer(path.trim_start_matches('/'), &mut stream).ok()
                });
            }
        });
        Self {
            address,
            asked,
            heads,
        }
    }

    /// One that serves a directory.
    pub(crate) fn directory(directory: PathBuf) -> Self {
        Self::start(
            move |path, stream| match std::fs::read(directory.join(path)) {
                Ok(content) => whole(stream, &content),
                Err(_) => status(stream, "404 Not Found", ""),
            },
        )
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was asked since the last time.
    pub(crate) fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

/// Answers with a content.
pub(crate) fn whole(stream: &mut impl Write, content: &[u8]) -> io::Result<()> {
    let length = content.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    )?;
    stream.write_all(content)
}

/// Answers with a status, and with lines of the head that each end with `\r\n`.
pub(crate) fn status(stream: &mut impl Write, status: &str, lines: &str) -> io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n{lines}\r\n"
    )
}

fn head(stream: &mut impl Read) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

/// An authority of the test's own.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    /// A certificate for hosts, valid in the days before the year.
    fn certificate(&self, hosts: &[&str], until: i32) -> ServerConfig {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap()
    }

    /// Puts TLS before the server at an address; returns the port.
    pub(crate) fn before(&self, address: &str, hosts: &[&str], until: i32) -> u16 {
        let config = Arc::new(self.certificate(hosts, until));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let upstream = address.to_owned();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, upstream) = (Arc::clone(&config), upstream.clone());
                std::thread::spawn(move || relay(stream, config, &upstream).ok());
            }
        });
        port
    }
}

/// One question and its answer.
fn relay(stream: TcpStream, config: Arc<ServerConfig>, upstream: &str) -> io::Result<()> {
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut tls = StreamOwned::new(connection, stream);
    let head = head(&mut tls).ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut behind = TcpStream::connect(upstream)?;
    behind.write_all(head.as_bytes())?;
    io::copy(&mut behind, &mut tls)?;
    tls.conn.send_close_notify();
    tls.flush()
}

/// A proxy that brings every connection to one port of this machine; returns its address.
pub(crate) fn proxy(port: u16) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&asked);
    std::thread::spawn(move || {
        for mut near in listener.incoming().flatten() {
            let seen = Arc::clone(&seen);
            std::thread::spawn(move || {
                let line = head(&mut near)?.lines().next()?.to_owned();
                seen.lock().unwrap().push(line);
                let mut far = TcpStream::connect(("127.0.0.1", port)).ok()?;
                near.write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok()?;
                let (mut from, mut to) = (near.try_clone().ok()?, far.try_clone().ok()?);
                std::thread::spawn(move || io::copy(&mut from, &mut to));
                io::copy(&mut far, &mut near).ok()?;
                near.shutdown(std::net::Shutdown::Both).ok()
            });
        }
    });
    (address, asked)
}
