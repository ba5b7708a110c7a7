//! The cloud API of the lab with a client that nobody here wrote: the `hcloud` package for Python.
//!
//! The package is looked for in `target/python`, where `.ci/run` puts it. Without it the test says that it skipped; in CI that is a failure.

use std::path::Path;

use crate::support::{World, count, program, text};

/// What the client does. It prints what it found, which is compared.
const SCRIPT: &str = r#"
import os
from hcloud import APIException, Client

client = Client(
    token=os.environ["HCLOUD_TOKEN"],
    api_endpoint=os.environ["HCLOUD_ENDPOINT"],
    poll_interval=0.05,
)

pages, page = [], 1
while page is not None:
    result = client.servers.get_list(page=page, per_page=25)
    pages.append(len(result.servers))
    page = result.meta.pagination.next_page
print("pages", pages, len(client.servers.get_all()))

server = client.servers.get_by_name("cp01")
print("server", server.id, server.public_net.ipv4.ip, server.server_type.architecture, server.location.name)

key = client.ssh_keys.create(name="from-python", public_key=os.environ["PUBLIC_KEY"])
server.power_off().wait_until_finished()
rescue = server.enable_rescue(type="linux64", ssh_keys=[key.id])
rescue.action.wait_until_finished()
print("rescue", rescue.action.command, rescue.action.status, client.servers.get_by_id(server.id).rescue_enabled)
server.power_on().wait_until_finished()
print("keys", [key.name for key in client.ssh_keys.get_all()])
print("deleted", key.delete())

try:
    client.servers.get_by_id(1)
except APIException as error:
    print("error", error.code)
"#;

#[test]
fn the_python_client_lists_enables_rescue_and_waits() {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/python");
    if !packages.join("hcloud").is_dir() {
        assert!(
            std::env::var_os("CI").is_none(),
            "the `hcloud` package is not in target/python, where .ci/run puts it"
        );
        count("hcloud for Python skipped: 1 (not in target/python; .ci/run puts it there)");
        return;
    }
    let world = World::start(&["--fault", "many-servers=4", "--fault", "bad-gateway=1"]);
    let key = world.make_key();
    let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    let output = program("python3")
        .arg("-c")
        .arg(SCRIPT)
        .env("PYTHONPATH", packages)
        .env("HCLOUD_TOKEN", world.text("token"))
        .env("HCLOUD_ENDPOINT", world.text("endpoint"))
        .env("PUBLIC_KEY", public.trim())
        .env("NO_PROXY", "127.0.0.1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(
        text(&output.stdout),
        "pages [25, 25, 10] 60\n\
         server 42000001 127.42.0.11 x86 fsn1\n\
         rescue enable_rescue success True\n\
         keys ['from-python']\n\
         deleted True\n\
         error not_found\n"
    );
    let state = world.state();
    assert_eq!(state["violations"], serde_json::json!([]));
    assert_eq!(state["ssh_keys"], serde_json::json!([]));
    count("hcloud for Python ran: 1/1");
}
