//! A Hetzner Cloud API for this crate's tests: gives prepared answers in order and remembers what it was asked.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// A server on loopback that lives as long as its answers last.
pub(crate) struct FakeApi {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl FakeApi {
    /// Starts it; connection n gets answer n.
    pub(crate) fn start(answers: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                    request.push(byte[0]);
                }
                let head = String::from_utf8_lossy(&request).to_lowercase();
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
                    .unwrap_or(0);
                let mut body = vec![0; length];
                stream.read_exact(&mut body).unwrap();
                request.extend(body);
                // Before the answer, so that whoever got it finds the request here.
                seen.lock()
                    .unwrap()
                    .push(String::from_utf8(request).unwrap());
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        Self { address, requests }
    }

    /// Returns its address with the API's version.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Returns every request so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// Makes an answer.
pub(crate) fn answer(status: u16, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Status\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// Makes an error answer.
pub(crate) fn refusal(status: u16, code: &str) -> String {
    answer(
        status,
        &json!({"error": {"code": code, "message": "because"}}).to_string(),
    )
}

/// Makes a page of servers.
pub(crate) fn page(servers: &[Value], next: Option<u32>) -> String {
    answer(
        200,
        &json!({"servers": servers, "meta": {"pagination": {"next_page": next}}}).to_string(),
    )
}

/// Makes a server without the fields that the API is dropping.
pub(crate) fn server(id: u64, name: &str, ip: &str) -> Value {
    json!({
        "id": id,
        "name": name,
        "status": "running",
        "public_net": {"ipv4": {"ip": ip}, "ipv6": {"ip": "2001:db8::/64"}},
        "server_type": {"name": "cpx21", "architecture": "x86"},
        "location": {"name": "fsn1"},
        "protection": {"delete": false, "rebuild": false},
    })
}
