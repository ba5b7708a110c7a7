//! The world from outside: images over SSH, the shells of the rescue system, the cloud's locks and limits.

use std::io::Write;

use serde_json::json;

use crate::support::{World, text};

#[test]
fn an_image_written_over_ssh_boots_talos() {
    let world = World::start(&["--nodes", "1"]);
    let key = world.make_key();
    assert!(text(&world.ssh(&key, "hostname").stderr).contains("Permission denied"));
    std::fs::remove_file(&key).unwrap();
    std::fs::remove_file(key.with_extension("pub")).unwrap();
    let early = world.talosctl(&[
        "apply-config",
        "--insecure",
        "-n",
        "127.42.0.11",
        "-f",
        "/dev/null",
    ]);
    assert!(early.1.contains("connect: connection refused"), "{early:?}");

    let key = world.enter_rescue();
    assert_eq!(text(&world.ssh(&key, "hostname").stdout), "rescue\n");
    let installed = world.install(&key);
    assert!(installed.status.success(), "{}", text(&installed.stderr));
    world.ssh(&key, "reboot");
    let state = world.wait("maintenance mode", |state| {
        state["nodes"][0]["power"]["up"]["talos"]["version"] == "v1.11.5"
    });
    assert_eq!(
        (&state["nodes"][0]["installs"], &state["violations"]),
        (&json!(1), &json!([]))
    );
    world.wait("the end of the login", |_| {
        text(&world.ssh(&key, "hostname").stderr).contains("Connection refused")
    });
    assert_eq!(
        world
            .talosctl(&[
                "get",
                "machinestatus",
                "--insecure",
                "-n",
                "127.42.0.11",
                "-o",
                "jsonpath={.spec.stage}"
            ])
            .0,
        0
    );
}

#[test]
fn half_an_image_does_not_boot_and_a_second_try_does() {
    let world = World::start(&["--nodes", "1", "--fault", "disk-full=1"]);
    let key = world.enter_rescue();
    let failed = world.install(&key);
    assert!(
        !failed.status.success() && text(&failed.stderr).contains("dd: error writing '/dev/sda'"),
        "{}",
        text(&failed.stderr)
    );
    assert_eq!(world.state()["nodes"][0]["disk"], "nothing");
    assert!(world.install(&key).status.success());
    assert_eq!(
        world.state()["nodes"][0]["disk"]["talos"]["platform"],
        "hcloud"
    );
}

#[test]
fn no_command_over_ssh_reaches_anything_but_the_disk_file() {
    let world = World::start(&["--nodes", "1"]);
    let key = world.enter_rescue();
    let victim = world.directory.path().join("victim");
    std::fs::File::create(&victim)
        .unwrap()
        .write_all(b"untouched")
        .unwrap();
    let victim_name = victim.display();
    for hostile in [
        format!("echo x > {victim_name}"),
        format!("bash -c 'echo x > {victim_name}'"),
        format!("echo x | dd of={victim_name}"),
        format!("blkdiscard {victim_name}"),
        format!(
            "curl -o {victim_name} {}/lab/state",
            world.text("factory_url")
        ),
        format!("PATH=/bin:/usr/bin cp /etc/hostname {victim_name}"),
        "bash -c /bin/ls".into(),
        "bash /etc/profile".into(),
        "/bin/ls".into(),
        "echo x | dd of=/dev/sdb".into(),
        "curl -fsS http://192.0.2.1/".into(),
    ] {
        let output = world.ssh(&key, &hostile);
        assert!(!output.status.success(), "`{hostile}` succeeded");
        assert_eq!(
            std::fs::read_to_string(&victim).unwrap(),
            "untouched",
            "`{hostile}`"
        );
    }
    assert_eq!(
        world.state()["violations"],
        json!([
            format!("cp01: `dd` of `{victim_name}`, which is not `/dev/sda`"),
            format!("cp01: `blkdiscard` of `{victim_name}`, which is not `/dev/sda`"),
            "cp01: `dd` of `/dev/sdb`, which is not `/dev/sda`",
        ])
    );
}

#[test]
fn the_cloud_has_pages_locks_limits_and_servers_that_are_not_ours() {
    let world = World::start(&["--fault", "many-servers=60"]);
    let (mut page, mut names) = (json!(1), Vec::new());
    while let Some(number) = page.as_u64() {
        let (_, answer) = world.get(&format!("/servers?per_page=50&page={number}"));
        names.extend(
            answer["servers"]
                .as_array()
                .unwrap()
                .iter()
                .map(|server| server["name"].clone()),
        );
        page = answer["meta"]["pagination"]["next_page"].clone();
    }
    assert_eq!(
        (names.len(), &names[113..]),
        (
            116,
            [json!("cp01"), json!("worker01"), json!("worker02")].as_slice()
        )
    );
    assert_eq!(
        world.get("/servers?name=worker01").1["servers"][0]["id"],
        42_000_002
    );
    assert_eq!(world.get("/servers/1").0, 404);
    assert_eq!(world.get("/actions").0, 410);

    assert_eq!(
        world
            .post("/servers/42000001/actions/poweroff", &json!({}))
            .0,
        201
    );
    let (status, locked) = world.post("/servers/42000001/actions/poweron", &json!({}));
    assert_eq!((status, &locked["error"]["code"]), (423, &json!("locked")));
    assert_eq!(
        world
            .post("/servers/31000000/actions/poweroff", &json!({}))
            .0,
        403
    );
    assert_eq!(
        world.state()["violations"],
        json!(["`poweroff` of server 31000000 (`shop-01`), which is not ours"])
    );

    let anonymous = world
        .agent
        .get(format!("{}/servers", world.text("endpoint")))
        .call()
        .unwrap();
    assert_eq!(anonymous.status().as_u16(), 401);
    assert_eq!(
        (world.fault("readonly-token"), world.fault("nonsense")),
        (204, 400)
    );
    let (status, refused) = world.post("/ssh_keys", &json!({"name": "x", "public_key": "y"}));
    assert_eq!(
        (status, &refused["error"]["code"]),
        (403, &json!("token_readonly"))
    );
    assert_eq!(world.fault("rate-limit=1"), 204);
    let limited = world
        .agent
        .get(format!("{}/servers", world.text("endpoint")))
        .call()
        .unwrap();
    let header = |name: &str| {
        limited
            .headers()
            .get(name)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        (
            limited.status().as_u16(),
            header("ratelimit-limit"),
            header("ratelimit-remaining")
        ),
        (429, "3600".into(), "0".into())
    );
}
