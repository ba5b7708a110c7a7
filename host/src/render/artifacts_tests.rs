//! Tests of the collection: where files go and what is refused.

use serde_json::json;
use ztc_protocol::manifest::SecretBundle;
use ztc_protocol::message::RenderResult;
use ztc_protocol::stage::{ForEach, Item};

use super::*;

fn manifest() -> Manifest {
    Manifest {
        name: "talos".into(),
        phase: "foundation".into(),
        output_dir: "os/talos".into(),
        bundles: vec![SecretBundle {
            name: "talos".into(),
            description: String::new(),
            from: Vec::new(),
        }],
        ..Manifest::default()
    }
}

fn artifact(path: &str, content: &str) -> Artifact {
    Artifact {
        path: path.into(),
        content: content.into(),
        ..Artifact::default()
    }
}

fn script(name: &str) -> Script {
    Script {
        name: name.into(),
        content: "true\n".into(),
        ..Script::default()
    }
}

fn answer(artifacts: Vec<Artifact>, scripts: Vec<Script>) -> Answer {
    Answer {
        result: RenderResult {
            artifacts,
            ..RenderResult::default()
        },
        scripts,
        ..Answer::default()
    }
}

fn collect(
    manifest: &Manifest,
    scratch: &Path,
    answer: &Answer,
) -> Result<Vec<(String, String, bool)>, Failure> {
    let bundles = BTreeMap::new();
    let mut collection = Collection::new(&bundles);
    collection.take(
        &Owner {
            section: "talos",
            manifest,
            scratch,
        },
        answer,
    )?;
    collection.finish()?;
    let text = |output: &Output| String::from_utf8(output.content.clone()).unwrap();
    Ok(collection
        .tree
        .iter()
        .map(|(path, output)| (path.clone(), text(output), output.executable))
        .collect())
}

#[track_caller]
fn refused(answer: &Answer, message: &str) {
    let scratch = tempfile::tempdir().unwrap();
    assert_eq!(
        collect(&manifest(), scratch.path(), answer)
            .unwrap_err()
            .message,
        message
    );
}

#[test]
fn artifacts_scripts_and_contexts_have_their_places() {
    let with_context = Script {
        context_data: json!({"disk": "/dev/sda"}).as_object().unwrap().clone(),
        files: BTreeMap::from([("config".into(), "os/talos/nodes/a.yaml".into())]),
        ..script("install.sh")
    };
    let answer = answer(
        vec![artifact("nodes/a.yaml", "k: ztc-secret:talos/x\n")],
        vec![with_context, script("wait.sh")],
    );
    let place = |path: &str, text: &str, executable| {
        (
            format!("platform/generated/{path}"),
            text.to_owned(),
            executable,
        )
    };
    assert_eq!(
        collect(&manifest(), Path::new("/nowhere"), &answer).unwrap(),
        [
            place("debug/scripts/README.md", README, false),
            place("debug/scripts/talos/install.sh", "true\n", true),
            place(
                "debug/scripts/talos/install.sh.context.json",
                "{\n  \"disk\": \"/dev/sda\"\n}\n",
                false
            ),
            place("debug/scripts/talos/wait.sh", "true\n", true),
            place("os/talos/nodes/a.yaml", "k: ztc-secret:talos/x\n", false),
        ]
    );
}

#[test]
fn without_an_output_directory_the_phase_and_the_name_are_it() {
    let manifest = Manifest {
        output_dir: String::new(),
        ..manifest()
    };
    let files = collect(
        &manifest,
        Path::new("/nowhere"),
        &answer(vec![artifact("a", "")], vec![]),
    )
    .unwrap();
    assert_eq!(files[0].0, "platform/generated/foundation/talos/a");
}

#[test]
fn what_an_adapter_may_not_send_is_refused() {
    refused(
        &answer(vec![artifact("../x", "")], vec![]),
        "adapter `talos` rendered an artifact with the path `../x`: it has `..`",
    );
    refused(
        &answer(vec![artifact("a", "ztc-secret:other/key")], vec![]),
        "adapter `talos` put a placeholder of the secret bundle `other` into `a`",
    );
    let digest = Artifact {
        sha256: Some("00".into()),
        ..artifact("a", "text")
    };
    refused(
        &answer(vec![digest], vec![]),
        "adapter `talos` sent the artifact `a` with a digest that is not its own",
    );
    let files = BTreeMap::from([("x".to_owned(), "os/talos/none".to_owned())]);
    let unknown =
        "adapter `talos` gives its stages the artifact `os/talos/none`, which was not rendered";
    refused(
        &answer(
            vec![],
            vec![Script {
                files: files.clone(),
                ..script("a.sh")
            }],
        ),
        unknown,
    );
    let mut with_item = answer(vec![], vec![script("a.sh")]);
    let each = ForEach {
        item: "node".into(),
        items: vec![Item {
            files,
            ..Item::default()
        }],
    };
    with_item.result.stages = vec![Stage {
        for_each: Some(each),
        ..Stage::default()
    }];
    refused(&with_item, unknown);
}

#[test]
fn the_debug_directory_belongs_to_the_host() {
    let manifest = Manifest {
        output_dir: "Debug/x".into(),
        ..manifest()
    };
    let failure = collect(&manifest, Path::new("/nowhere"), &answer(vec![], vec![])).unwrap_err();
    assert_eq!(
        failure.message,
        "adapter `talos` wants its artifacts in `Debug/x`: `debug` belongs to ztc"
    );
}

#[test]
fn large_content_comes_from_the_scratch_directory_only() {
    let world = tempfile::tempdir().unwrap();
    let scratch = world.path().join("scratch");
    fs::create_dir(&scratch).unwrap();
    fs::write(scratch.join("large"), "large").unwrap();
    fs::write(world.path().join("outside"), "large").unwrap();
    std::os::unix::fs::symlink("../outside", scratch.join("link")).unwrap();
    let send = |file: &str, sha256: Option<String>| {
        let artifact = Artifact {
            content_file: Some(file.into()),
            sha256,
            ..artifact("a", "")
        };
        collect(&manifest(), &scratch, &answer(vec![artifact], vec![]))
            .map(|files| files[0].1.clone())
            .map_err(|failure| failure.message)
    };
    let digest = || Some(sha256_hex(b"large"));
    let refused = |file: &str| {
        Err(format!(
            "adapter `talos` sent the artifact `a` in `{file}`, which is not a file in its scratch directory"
        ))
    };
    assert_eq!(send("large", digest()), Ok("large".to_owned()));
    assert_eq!(
        send(scratch.join("large").to_str().unwrap(), digest()),
        Ok("large".to_owned())
    );
    assert_eq!(send("../outside", digest()), refused("../outside"));
    assert_eq!(send("link", digest()), refused("link"));
    assert_eq!(send("none", digest()), refused("none"));
    assert_eq!(
        send("large", None),
        Err("adapter `talos` sent the artifact `a` in a file without a digest".into())
    );
    assert_eq!(
        send("large", Some("0".into())),
        Err("adapter `talos` sent the artifact `a` with a digest that is not its own".into())
    );
}
