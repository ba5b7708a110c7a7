//! Rendering: what is written, that it is written whole or not at all, and that every later difference is found.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::environment::{Lab, TestEnv, programs};
use crate::needs::namespaces;

/// Returns a rendered repository in a simulated world.
fn rendered() -> (TestEnv, Lab) {
    let (environment, lab) = prepared();
    environment.ztc_ok(&["render"]);
    (environment, lab)
}

/// Returns a repository with configuration and secrets in a simulated world.
fn prepared() -> (TestEnv, Lab) {
    let mut environment = TestEnv::new();
    let lab = Lab::start(&mut environment, &[]);
    environment.ztc_ok(&["init", "--answers", &lab.answers()]);
    environment.secrets();
    (environment, lab)
}

/// The files that a render owns.
fn owned(environment: &TestEnv) -> BTreeMap<String, Vec<u8>> {
    let mut files = environment.files();
    files.retain(|name, _| name.starts_with("platform/") || name.starts_with("bootstrap/"));
    files
}

#[test]
fn a_render_writes_artifacts_scripts_pipeline_and_lock() {
    let (environment, lab) = prepared();
    let run = environment.ztc_ok(&["render"]);
    insta::assert_snapshot!(lab.filtered(&run.to_string()), @"
    exit: 0
    --- stderr
      hetzner: requests to the API: 3 (at most 200)
    platform.yaml:19:5: warning: `talos.nodes`: `[IP CP01]` is an address of this machine itself, which is right only for a simulation
      help: give the address at which each machine is reached
      added    bootstrap/pipeline/lab.yaml
      added    platform/generated/debug/scripts/README.md
      added    platform/generated/debug/scripts/cilium/validate-cni.sh
      added    platform/generated/debug/scripts/cilium/validate-cni.sh.context.json
      added    platform/generated/debug/scripts/cilium/wait-cilium.sh
      added    platform/generated/debug/scripts/cilium/wait-cilium.sh.context.json
      added    platform/generated/debug/scripts/cilium/wait-gateway-api.sh
      added    platform/generated/debug/scripts/cilium/wait-gateway-api.sh.context.json
      added    platform/generated/debug/scripts/hetzner/await-checks.sh
      added    platform/generated/debug/scripts/hetzner/await-checks.sh.context.json
      added    … and 22 more
    ✓ rendered `lab`: 30 artifacts, 12 stages (32 added, 0 changed, 0 removed, 0 unchanged)
      next: ztc plan  shows what a bootstrap would do
    ");
    let names: Vec<String> = owned(&environment).into_keys().collect();
    insta::assert_snapshot!(names.join("\n"), @"
    bootstrap/pipeline/lab.yaml
    platform/generated/debug/scripts/README.md
    platform/generated/debug/scripts/cilium/validate-cni.sh
    platform/generated/debug/scripts/cilium/validate-cni.sh.context.json
    platform/generated/debug/scripts/cilium/wait-cilium.sh
    platform/generated/debug/scripts/cilium/wait-cilium.sh.context.json
    platform/generated/debug/scripts/cilium/wait-gateway-api.sh
    platform/generated/debug/scripts/cilium/wait-gateway-api.sh.context.json
    platform/generated/debug/scripts/hetzner/await-checks.sh
    platform/generated/debug/scripts/hetzner/await-checks.sh.context.json
    platform/generated/debug/scripts/hetzner/check-servers.sh
    platform/generated/debug/scripts/hetzner/check-servers.sh.context.json
    platform/generated/debug/scripts/hetzner/enable-rescue-mode.sh
    platform/generated/debug/scripts/hetzner/enable-rescue-mode.sh.context.json
    platform/generated/debug/scripts/hetzner/validate-server-ids.sh
    platform/generated/debug/scripts/hetzner/validate-server-ids.sh.context.json
    platform/generated/debug/scripts/talos/add-worker-nodes.sh
    platform/generated/debug/scripts/talos/add-worker-nodes.sh.context.json
    platform/generated/debug/scripts/talos/apply-config.sh
    platform/generated/debug/scripts/talos/apply-config.sh.context.json
    platform/generated/debug/scripts/talos/bootstrap-talos.sh
    platform/generated/debug/scripts/talos/bootstrap-talos.sh.context.json
    platform/generated/debug/scripts/talos/install-talos.sh
    platform/generated/debug/scripts/talos/install-talos.sh.context.json
    platform/generated/debug/scripts/talos/validate-cluster.sh
    platform/generated/debug/scripts/talos/validate-cluster.sh.context.json
    platform/generated/network/cilium/manifests.yaml
    platform/generated/os/talos/nodes/cp01/config.yaml
    platform/generated/os/talos/nodes/worker01/config.yaml
    platform/generated/os/talos/nodes/worker02/config.yaml
    platform/generated/os/talos/talosconfig
    platform/lock.json
    ");
    insta::assert_snapshot!(
        "pipeline",
        lab.filtered(&environment.read("bootstrap/pipeline/lab.yaml"))
    );
}

#[test]
fn a_second_render_writes_nothing() {
    let (environment, _lab) = rendered();
    let inodes = |environment: &TestEnv| -> Vec<(String, u64, i64)> {
        let files = owned(environment).into_keys();
        files
            .map(|name| {
                let metadata = fs::metadata(environment.repo().join(&name)).unwrap();
                (name, metadata.ino(), metadata.mtime_nsec())
            })
            .collect()
    };
    let before = inodes(&environment);
    let run = environment.ztc_ok(&["render"]);
    assert_eq!(inodes(&environment), before);
    insta::assert_snapshot!(run, @"
    exit: 0
    --- stderr
    platform.yaml:19:5: warning: `talos.nodes`: `127.42.0.11` is an address of this machine itself, which is right only for a simulation
      help: give the address at which each machine is reached
    ✓ nothing changed for `lab`: 30 artifacts, 12 stages
    ");
}

#[test]
fn check_shows_the_differences_and_writes_nothing() {
    let (environment, lab) = rendered();
    insta::assert_snapshot!(environment.ztc(&["render", "--check"]), @"
    exit: 0
    --- stderr
    platform.yaml:19:5: warning: `talos.nodes`: `127.42.0.11` is an address of this machine itself, which is right only for a simulation
      help: give the address at which each machine is reached
    ✓ nothing changed for `lab`: 30 artifacts, 12 stages
    ");
    let platform = environment
        .read("platform.yaml")
        .replace("bgp_enabled: false", "bgp_enabled: false\n    mtu: 1400");
    let platform = platform.replace("cluster_name: lab", "cluster_name: other");
    environment.write("platform.yaml", platform);
    let before = owned(&environment);
    let run = environment.ztc(&["render", "--check"]);
    assert_eq!(run.code, Some(3), "{run}");
    assert!(owned(&environment) == before, "--check wrote something");
    assert!(
        run.stdout.contains("-context: lab\n+context: other\n"),
        "{}",
        lab.filtered(&run.to_string())
    );
}

#[test]
fn adapters_as_programs_of_their_own_render_the_same_bytes() {
    let (environment, _lab) = rendered();
    let built_in = owned(&environment);
    let mut plugins = String::from("plugins:\n");
    for name in ["hetzner", "cilium", "talos"] {
        let path = programs().join(format!("ztc-adapter-{name}"));
        let grant = match name {
            "hetzner" => ", environment: [HCLOUD_ENDPOINT]",
            _ => "",
        };
        plugins.push_str(&format!("  {name}: {{path: {}{grant}}}\n", path.display()));
    }
    environment.write(
        "platform.yaml",
        format!("{}{plugins}", environment.read("platform.yaml")),
    );
    environment.ztc_ok(&["render"]);
    let mut external = owned(&environment);
    let sources = external.remove("platform/lock.json").unwrap();
    assert!(
        String::from_utf8(sources)
            .unwrap()
            .contains("\"source\": \"path\"")
    );
    let mut expected = built_in;
    expected.remove("platform/lock.json");
    assert!(
        external == expected,
        "the programs render other bytes than the built-ins"
    );
}

#[test]
fn every_difference_from_the_lock_is_named() {
    let (environment, lab) = rendered();
    let generated = environment.repo().join("platform/generated");
    let node = lab.nodes()[0].clone();
    let changed = generated.join(format!("os/talos/nodes/{node}/config.yaml"));
    fs::write(
        &changed,
        format!("{}# edited\n", fs::read_to_string(&changed).unwrap()),
    )
    .unwrap();
    fs::write(generated.join("os/talos/extra.yaml"), "a: 1\n").unwrap();
    fs::rename(
        generated.join("network/cilium/manifests.yaml"),
        generated.join("network/cilium/renamed.yaml"),
    )
    .unwrap();
    fs::remove_file(generated.join("os/talos/talosconfig")).unwrap();
    insta::assert_snapshot!(lab.filtered(&environment.ztc(&["validate"]).to_string()), @"
    exit: 3
    --- stderr
    error: files differ from the lock
      added: platform/generated/os/talos/extra.yaml
      changed: platform/generated/os/talos/nodes/cp01/config.yaml
      removed: platform/generated/os/talos/talosconfig
      renamed: platform/generated/network/cilium/manifests.yaml to platform/generated/network/cilium/renamed.yaml
      help: put the files back with `ztc render` or `git checkout -- platform bootstrap/pipeline`; generated files are changed through platform.yaml
    ");
    insta::assert_snapshot!(lab.filtered(&environment.ztc(&["bootstrap", "--confirm", "lab"]).to_string()), @"
    exit: 5
    --- stderr
    error: files differ from the lock
      added: platform/generated/os/talos/extra.yaml
      changed: platform/generated/os/talos/nodes/cp01/config.yaml
      removed: platform/generated/os/talos/talosconfig
      renamed: platform/generated/network/cilium/manifests.yaml to platform/generated/network/cilium/renamed.yaml
      help: put the files back with `ztc render` or `git checkout -- platform bootstrap/pipeline`; generated files are changed through platform.yaml
    ");
}

#[test]
fn a_platform_edited_after_the_render_is_refused() {
    let (environment, _lab) = rendered();
    let platform = environment.read("platform.yaml");
    environment.write("platform.yaml", format!("# only a comment\n{platform}"));
    environment.ztc_ok(&["validate"]);
    environment.write(
        "platform.yaml",
        platform.replace("cluster_name: lab", "cluster_name: other"),
    );
    insta::assert_snapshot!(environment.ztc(&["bootstrap", "--confirm", "other"]), @"
    exit: 5
    --- stderr
    error: what was rendered is older than its inputs
      `adapters.talos` was changed in platform.yaml
      help: run `ztc render`, and read what changes with `git diff`
    ");
}

#[test]
fn a_pipeline_edited_by_hand_is_refused() {
    let (environment, _lab) = rendered();
    let pipeline = environment.read("bootstrap/pipeline/lab.yaml");
    environment.write(
        "bootstrap/pipeline/lab.yaml",
        pipeline.replace("required: true", "required: false"),
    );
    insta::assert_snapshot!(environment.ztc(&["bootstrap", "--confirm", "lab"]), @"
    exit: 5
    --- stderr
    error: files differ from the lock
      changed: bootstrap/pipeline/lab.yaml
      help: put the files back with `ztc render` or `git checkout -- platform bootstrap/pipeline`; generated files are changed through platform.yaml
    ");
}

#[test]
fn a_lock_that_is_not_ours_is_refused() {
    let (environment, _lab) = rendered();
    let lock = environment.read("platform/lock.json");
    environment.write(
        "platform/lock.json",
        lock.replace("\"format\": 2", "\"format\": 3"),
    );
    insta::assert_snapshot!(environment.ztc(&["validate"]), @"
    exit: 2
    --- stderr
    error: the lock was written by a newer ztc ([VERSION]): its format is 3, and this program reads 2
      --> platform/lock.json
      help: upgrade ztc; `ztc version` shows what is installed
    ");
    insta::assert_snapshot!(environment.ztc(&["render"]), @"
    exit: 2
    --- stderr
    error: the lock was written by a newer ztc ([VERSION]): its format is 3, and this program reads 2
      --> platform/lock.json
      help: upgrade ztc; `ztc version` shows what is installed
    ");
    let half = lock.find("\"platform_hash\"").unwrap();
    environment.write("platform/lock.json", &lock[..half]);
    insta::assert_snapshot!(environment.ztc(&["validate"]), @"
    exit: 2
    --- stderr
    error: the lock is not JSON
      --> platform/lock.json
      EOF while parsing a value at line 7 column 2
      help: put it back with `git checkout -- platform/lock.json`, or remove it and run `ztc render`
    ");
    fs::remove_file(environment.repo().join("platform/lock.json")).unwrap();
    insta::assert_snapshot!(environment.ztc(&["validate"]), @"
    exit: 3
    --- stderr
    error: nothing has been rendered yet: there is no platform/lock.json
      help: run `ztc render`
    ");
}

#[test]
fn another_environment_than_the_lock_s_is_refused() {
    let (environment, _lab) = rendered();
    insta::assert_snapshot!(environment.ztc(&["bootstrap", "--env", "staging"]), @"
    exit: 2
    --- stderr
    error: nothing describes environment `staging`: `platform.yaml` is for `lab`, and there is no `platform.staging.yaml`
      --> platform.staging.yaml
      help: write what differs into `platform.staging.yaml`, or use `--env lab`
    ");
}

#[test]
fn a_missing_bundle_is_an_error_and_never_remade() {
    let (environment, _lab) = rendered();
    fs::rename(
        environment.repo().join("secrets/lab/talos.yaml"),
        environment.repo().join("secrets/lab/talos.yml"),
    )
    .unwrap();
    let before = environment.files();
    insta::assert_snapshot!(environment.ztc(&["render"]), @"
    exit: 5
    --- stderr
    error: the secret bundle `talos` is missing, but the lock knows it
      --> secrets/lab/talos.yaml
      the lock says: sha256:[SHA256]
      a new one would not fit the cluster that was made with the old one, so none is made
      help: restore `secrets/lab/talos.yaml` from its backup; where the cluster is gone and a new one is meant, `ztc secrets generate talos --new-cluster`
    ");
    insta::assert_snapshot!(environment.ztc(&["secrets", "generate"]), @"
    exit: 5
    --- stderr
    error: secret bundle `talos` is missing but platform/lock.json knows it
      --> secrets/lab/talos.yaml
      a new one would not fit the cluster that was made with the old one
      help: restore the file from its backup; where the cluster is gone and a new one is meant, `ztc secrets generate talos --new-cluster`
    ");
    insta::assert_snapshot!(environment.ztc(&["validate"]), @"
    exit: 5
    --- stderr
    error: the secret bundle `talos` is missing, but the lock knows it
      --> secrets/lab/talos.yaml
      the lock says: sha256:[SHA256]
      a new one would not fit the cluster that was made with the old one, so none is made
      help: restore `secrets/lab/talos.yaml` from its backup; where the cluster is gone and a new one is meant, `ztc secrets generate talos --new-cluster`
    ");
    let mut after = environment.files();
    after.retain(|name, _| before.contains_key(name));
    assert!(after == before, "a file changed");
}

#[test]
fn secrets_that_git_tracks_are_refused() {
    let (environment, _lab) = rendered();
    for arguments in [&["init", "-q"][..], &["add", "-f", "secrets"]] {
        assert!(
            Command::new("git")
                .args(arguments)
                .current_dir(environment.repo())
                .status()
                .unwrap()
                .success()
        );
    }
    insta::assert_snapshot!(environment.ztc(&["validate"]), @"
    exit: 5
    --- stderr
    error: git tracks files that hold secrets
      tracked: secrets/lab/talos-admin.yaml
      tracked: secrets/lab/talos.yaml
      help: take them out with `git rm --cached -r secrets/lab/talos-admin.yaml secrets/lab/talos.yaml`, commit, and make new secrets: what was committed stays readable in the history
    ");
}

#[test]
fn git_never_sees_what_a_render_leaves_beside_its_files() {
    let (environment, _lab) = rendered();
    fs::remove_file(environment.repo().join(".gitignore")).unwrap();
    let seen = environment.shell(
        "repo",
        "git init -q; git add -A; git ls-files -- .zerotouch-cache",
    );
    assert_eq!(seen.to_string(), "exit: 0");
}

#[test]
fn a_git_that_cannot_say_what_it_tracks_is_refused() {
    let (environment, _lab) = rendered();
    environment.write("../repo/.git/config", "[broken");
    for name in ["HEAD", "objects/x", "refs/x"] {
        environment.write(&format!("../repo/.git/{name}"), "ref: refs/heads/main\n");
    }
    insta::assert_snapshot!(environment.ztc(&["validate"]), @"
    exit: 5
    --- stderr
    error: git does not say whether it tracks files that hold secrets
      git: fatal: bad config line 2 in file .git/config
      help: put right what `git -C [REPO] status` complains of, then run this again
    ");
}

/// Runs a shell script in a mount namespace of its own, where `$REPO` is the repository and `$ZTC` the program.
fn in_namespace(environment: &TestEnv, script: &str) -> Option<String> {
    if !namespaces("-rm") {
        return None;
    }
    let ztc = environment.command(&[]);
    let mut command = Command::new("unshare");
    command
        .args(["-rm", "bash", "-c", script])
        .env_clear()
        .current_dir(environment.root());
    for (name, value) in ztc.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    command
        .env("REPO", environment.repo())
        .env("ZTC", programs().join("ztc"));
    let output = command.output().unwrap();
    Some(
        environment.filtered(&String::from_utf8_lossy(&output.stderr))
            + &String::from_utf8_lossy(&output.stdout),
    )
}

#[test]
fn a_read_only_repository_keeps_its_files() {
    let (environment, lab) = rendered();
    let platform = environment
        .read("platform.yaml")
        .replace("cluster_name: lab", "cluster_name: other");
    environment.write("platform.yaml", platform);
    let before = owned(&environment);
    let script = r#"mount --bind "$REPO" "$REPO" && mount -o remount,bind,ro "$REPO" && cd "$REPO" && "$ZTC" render; echo "exit: $?""#;
    let Some(output) = in_namespace(&environment, script) else {
        return;
    };
    insta::assert_snapshot!(lab.filtered(&output), @"
    error: failed to lock `.zerotouch-cache/render.lock`
      Read-only file system (os error 30)
      help: make the place writable for this user and run the same command again
    exit: 1
    ");
    assert!(owned(&environment) == before, "a file changed");
}

#[test]
fn a_full_disk_keeps_the_files() {
    let (environment, lab) = rendered();
    let script = r#"
        mount -t tmpfs -o size=1m tmpfs "$REPO.full" && cp -a "$REPO/." "$REPO.full" && cd "$REPO.full"
        sed -i 's/cluster_name: lab/cluster_name: other/' platform.yaml
        find platform bootstrap -type f -exec sha256sum {} + | sort -k2 > ../before
        dd if=/dev/zero of=.zerotouch-cache/filler bs=4k 2>/dev/null
        "$ZTC" render; echo "exit: $?"
        find platform bootstrap -type f -exec sha256sum {} + | sort -k2 > ../after
        cmp ../before ../after && echo unchanged
        rm .zerotouch-cache/filler
        "$ZTC" render --quiet; echo "exit: $?"
        "$ZTC" validate --quiet; echo "exit: $?""#;
    fs::create_dir(environment.root().join("repo.full")).unwrap();
    let Some(output) = in_namespace(&environment, script) else {
        return;
    };
    // Which file was being written when the disk was full differs from run to run.
    let output: String = output
        .lines()
        .map(|line| match line.split_once(": No space left") {
            Some((_, rest)) => format!("  [FILE]: No space left{rest}\n"),
            None => format!("{line}\n"),
        })
        .collect();
    insta::assert_snapshot!(lab.filtered(&output), @"
    error: failed to write `the rendered files`
      [FILE]: No space left on device (os error 28)
      nothing was changed
      help: free some space on the device and run the same command again
    exit: 1
    unchanged
    exit: 0
    exit: 0
    ");
}

#[test]
fn a_killed_render_leaves_the_old_files_or_the_new_ones() {
    let (environment, _lab) = rendered();
    let old = environment.read("platform.yaml");
    let new = old.replace("cluster_name: lab", "cluster_name: other");
    let started = Instant::now();
    environment.write("platform.yaml", &new);
    environment.ztc_ok(&["render"]);
    let whole = started.elapsed();
    let files_new = owned(&environment);
    environment.write("platform.yaml", &old);
    environment.ztc_ok(&["render"]);
    let files_old = owned(&environment);

    // The moment of the kill moves over the whole render; whatever it hits, the outcome must hold.
    for step in 0..20 {
        let (platform, wanted) = if step % 2 == 0 {
            (&new, &files_new)
        } else {
            (&old, &files_old)
        };
        environment.write("platform.yaml", platform);
        let mut child = environment
            .command(&["render", "--quiet"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let kill_at = Instant::now() + whole * step / 20;
        while Instant::now() < kill_at && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        let _ = child.kill();
        child.wait().unwrap();
        // The next command repairs what was left half-done; only the timestamp tells one render from another.
        let check = environment.ztc(&["validate", "--quiet"]);
        let state = without_timestamp(owned(&environment));
        let is_old_or_new = [&files_old, &files_new]
            .into_iter()
            .any(|files| state == without_timestamp(files.clone()));
        assert!(
            is_old_or_new,
            "step {step}: neither the old files nor the new ones\n{check}"
        );
        environment.ztc_ok(&["render", "--quiet"]);
        assert!(
            without_timestamp(owned(&environment)) == without_timestamp(wanted.clone()),
            "step {step}"
        );
    }
    assert!(started.elapsed() < Duration::from_secs(120));
}

fn without_timestamp(mut files: BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    if let Some(lock) = files.get_mut("platform/lock.json") {
        let text = String::from_utf8(lock.clone()).unwrap();
        *lock = text
            .lines()
            .filter(|line| !line.contains("\"timestamp\""))
            .collect::<String>()
            .into_bytes();
    }
    files
}
