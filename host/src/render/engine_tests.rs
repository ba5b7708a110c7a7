//! Tests of a render without processes: what adapters see, in which order, and what comes out.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::json;
use ztc_protocol::manifest::{Provision, Requirement, SecretInput};
use ztc_protocol::message::Artifact;
use ztc_protocol::sha256_hex;
use ztc_protocol::stage::Stage;

use super::*;
use crate::error::Exit;
use crate::lock::Lock;
use crate::mask::Mask;
use crate::paths::Repository;
use crate::render::assemble::{Assembly, Origin, Rendered, config_hash};
use crate::render::bundles::Bundles;
use crate::render::output::LOCK;
use crate::resolve::{Participant, resolve};

/// An adapter that answers from memory and writes down what it is asked.
#[derive(Default)]
struct Fake {
    section: &'static str,
    result: RenderResult,
    scripts: Vec<Script>,
    diagnostics: Vec<Diagnostic>,
    asked: RefCell<Vec<String>>,
}

impl Fake {
    fn ask(&self, method: &str, what: &Value) {
        self.asked
            .borrow_mut()
            .push(format!("{} {method} {what}", self.section));
    }
}

impl Calls for Fake {
    async fn validate(&self, params: ValidateParams) -> Result<ValidateResult, Failure> {
        self.ask("validate", &json!(params.capabilities));
        Ok(ValidateResult {
            diagnostics: self.diagnostics.clone(),
        })
    }

    async fn discover(&self, params: DiscoverParams) -> Result<DiscoverResult, Failure> {
        self.ask(
            "discover",
            &json!(params.secrets.keys().collect::<Vec<_>>()),
        );
        Ok(DiscoverResult {
            facts: Facts::from([("found".to_owned(), json!("new"))]),
            diagnostics: Vec::new(),
        })
    }

    async fn render(&self, params: RenderParams) -> Result<RenderResult, Failure> {
        self.ask("render", &json!([params.facts, params.capabilities]));
        Ok(self.result.clone())
    }

    async fn scripts(&self, _: ScriptsParams) -> Result<ScriptsResult, Failure> {
        Ok(ScriptsResult {
            scripts: self.scripts.clone(),
        })
    }
}

struct World {
    _directory: tempfile::TempDir,
    repository: Repository,
    mask: Mask,
    platform: Platform,
    manifests: BTreeMap<String, Manifest>,
    fakes: BTreeMap<String, Fake>,
}

const PLATFORM: &str = "\
apiVersion: ztc/v1
environment: test
adapters:
  os: {version: v1}
  cloud:
    token: {from: file, path: token}
    unused: {from: env, name: ZTC_TEST_UNSET}
  other: {}
";

/// `cloud` looks servers up with a secret and gives `acme/servers` to `os`; `other` stands alone.
fn world() -> World {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("token"), "the-secret-token\n").unwrap();
    std::fs::write(directory.path().join("platform.yaml"), PLATFORM).unwrap();
    let repository = Repository::at(directory.path());
    let secret = |input: &str, discover| SecretInput {
        input: input.into(),
        variable: "X".into(),
        why: String::new(),
        discover,
    };
    let schema = json!({"type": "object", "required": ["count"]});
    let manifest = |name: &str| Manifest {
        name: name.into(),
        version: "0.1.0".into(),
        output_dir: name.into(),
        ..Manifest::default()
    };
    let cloud = Manifest {
        provides: vec![Provision {
            capability: "acme/servers".into(),
            version: "1.0".into(),
            schema: Some(schema),
        }],
        secrets: vec![secret("token", true), secret("unused", false)],
        config_schema: json!({
            "properties": { "token": { "x-ztc-secret": true }, "unused": { "x-ztc-secret": true } },
        }),
        discovers: true,
        ..manifest("cloud")
    };
    let requirement = Requirement {
        capability: "acme/servers".into(),
        version: "^1.0".into(),
        optional: false,
    };
    let os = Manifest {
        requires: vec![requirement],
        ..manifest("os")
    };
    let script = Script {
        name: "go.sh".into(),
        content: "true\n".into(),
        sha256: sha256_hex(b"true\n"),
        ..Script::default()
    };
    let stage = Stage {
        name: "go".into(),
        script: "os://go.sh".into(),
        ..Stage::default()
    };
    let artifact = Artifact {
        path: "config".into(),
        content: "k: v\n".into(),
        ..Artifact::default()
    };
    let fakes = [
        Fake {
            section: "cloud",
            result: RenderResult {
                capabilities: BTreeMap::from([("acme/servers".to_owned(), json!({"count": 3}))]),
                ..RenderResult::default()
            },
            ..Fake::default()
        },
        Fake {
            section: "os",
            result: RenderResult {
                artifacts: vec![artifact],
                stages: vec![stage],
                ..RenderResult::default()
            },
            scripts: vec![script],
            ..Fake::default()
        },
        Fake {
            section: "other",
            ..Fake::default()
        },
    ];
    let manifests = [("cloud", cloud), ("os", os), ("other", manifest("other"))];
    World {
        platform: Platform::load(&repository, None).unwrap(),
        repository,
        _directory: directory,
        mask: Mask::default(),
        manifests: manifests
            .into_iter()
            .map(|(name, manifest)| (name.to_owned(), manifest))
            .collect(),
        fakes: fakes
            .into_iter()
            .map(|fake| (fake.section.to_owned(), fake))
            .collect(),
    }
}

impl World {
    fn fake(&mut self, name: &str) -> &mut Fake {
        self.fakes.get_mut(name).unwrap()
    }

    fn asked(&self, name: &str) -> Vec<String> {
        self.fakes[name].asked.take()
    }

    /// Renders with the facts of a lock, where they still hold.
    fn render(&self, old: Option<&Lock>) -> Result<Rendered, Failure> {
        let participants: Vec<_> = self
            .manifests
            .iter()
            .map(|(section, manifest)| Participant { section, manifest })
            .collect();
        let resolution = resolve(&participants).unwrap();
        let vault = Vault::new(&self.repository, &self.mask);
        let trace = Trace::default();
        let engine = Engine {
            platform: &self.platform,
            resolution: &resolution,
            context: &context(&self.platform, &BTreeMap::new()),
            vault: &vault,
            trace: &trace,
        };
        let members = self.platform.sections.iter().map(|section| {
            let locked = old.and_then(|old| old.adapters.get(&section.name));
            let facts = locked
                .filter(|locked| locked.config_hash == config_hash(section))
                .map(|locked| locked.facts.clone());
            let member = Member {
                section,
                manifest: &self.manifests[&section.name],
                calls: &self.fakes[&section.name],
                facts,
                known: Facts::new(),
                files: BTreeMap::new(),
            };
            (section.name.clone(), member)
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let answers = runtime.block_on(engine.run(&members.collect()))?;
        let origin = |manifest: &Manifest| Origin {
            manifest: manifest.clone(),
            scratch: PathBuf::new(),
            source: "built-in".into(),
            plugin: None,
            files: BTreeMap::new(),
            versions: None,
        };
        let origins = self
            .manifests
            .iter()
            .map(|(section, manifest)| (section.clone(), origin(manifest)))
            .collect();
        Assembly {
            repository: &self.repository,
            platform: &self.platform,
            resolution: &resolution,
            origins: &origins,
            bundles: &Bundles::default(),
            mask: &self.mask,
            old,
            named: Some(&BTreeSet::new()),
        }
        .assemble(answers)
    }
}

#[test]
fn adapters_see_what_they_require_and_nothing_else() {
    let world = world();
    let rendered = world.render(None).unwrap();
    let servers = r#"{"acme/servers":{"count":3}}"#;
    assert_eq!(
        world.asked("cloud"),
        [
            "cloud validate {}",
            r#"cloud discover ["token"]"#,
            r#"cloud render [{"found":"new"},{}]"#
        ]
    );
    assert_eq!(
        world.asked("os"),
        [
            format!("os validate {servers}"),
            format!("os render [{{}},{servers}]")
        ]
    );
    assert_eq!(
        world.asked("other"),
        ["other validate {}", "other render [{},{}]"]
    );
    assert_eq!(
        rendered.tree.keys().map(String::as_str).collect::<Vec<_>>(),
        [
            "bootstrap/pipeline/test.yaml",
            "platform/generated/debug/scripts/README.md",
            "platform/generated/debug/scripts/os/go.sh",
            "platform/generated/os/config",
            "platform/lock.json",
        ]
    );
    assert_eq!(rendered.pipeline.mode, "test");
    assert_eq!(rendered.lock.adapters["cloud"].facts["found"], json!("new"));
}

#[test]
fn the_facts_of_the_lock_are_used_while_the_section_is_the_same() {
    let mut world = world();
    let mut old = world.render(None).unwrap().lock;
    old.adapters.get_mut("cloud").unwrap().facts =
        Facts::from([("found".to_owned(), json!("before"))]);
    world.asked("cloud");
    let rendered = world.render(Some(&old)).unwrap();
    assert_eq!(
        world.asked("cloud"),
        [
            "cloud validate {}",
            r#"cloud render [{"found":"before"},{}]"#
        ]
    );
    // Nothing differs from the old lock, so it keeps its time.
    assert_eq!(rendered.lock, old);
    world.platform.sections[1]
        .config
        .insert("more".into(), json!(1));
    world.render(Some(&old)).unwrap();
    assert_eq!(world.asked("cloud")[1], r#"cloud discover ["token"]"#);
}

#[test]
fn a_secret_in_a_file_a_variable_or_a_context_is_refused() {
    let leak = |change: &dyn Fn(&mut Fake), place: &str| {
        let mut world = world();
        change(world.fake("os"));
        let failure = world.render(None).unwrap_err();
        assert_eq!(
            failure.message,
            format!("adapter `os` put the value of a secret into {place}")
        );
        assert_eq!(failure.details[0], "the secret: cloud.token");
    };
    leak(
        &|fake| fake.result.artifacts[0].content = "k: the-secret-token".into(),
        "`platform/generated/os/config`",
    );
    leak(
        &|fake| fake.result.stages[0].args = vec!["--token=the-secret-token".into()],
        "a stage",
    );
    leak(
        &|fake| {
            _ = fake
                .result
                .env_vars
                .insert("T".into(), "the-secret-token".into());
        },
        "a variable",
    );
    let context = json!({"a": [{"b": "the-secret-token"}]});
    leak(
        &|fake| fake.scripts[0].context_data = context.as_object().unwrap().clone(),
        "the context of a script",
    );
}

#[test]
fn findings_of_adapters_end_a_render_or_are_passed_on() {
    let diagnostic = |severity| Diagnostic {
        severity,
        message: "odd".into(),
        ..Diagnostic::default()
    };
    let mut world = world();
    world.fake("other").diagnostics = vec![diagnostic(Severity::Warning)];
    assert_eq!(
        world
            .render(None)
            .unwrap()
            .warnings
            .iter()
            .filter(|warning| warning.message.ends_with("odd"))
            .count(),
        1
    );
    world.fake("other").diagnostics = vec![diagnostic(Severity::Error)];
    let failure = world.render(None).unwrap_err();
    assert_eq!(
        (failure.exit, failure.message.as_str()),
        (
            Exit::Invalid,
            "adapter `other` refuses its section of platform.yaml"
        )
    );
}

#[test]
fn the_lock_file_keeps_its_bytes_while_it_says_the_same() {
    let world = world();
    let first = world.render(None).unwrap();
    let edited = String::from_utf8(first.tree[LOCK].content.clone())
        .unwrap()
        .replace("\n", "\n ");
    std::fs::create_dir_all(world.repository.root().join("platform")).unwrap();
    std::fs::write(world.repository.lock(), &edited).unwrap();
    let second = world
        .render(Some(&Lock::load(&world.repository).unwrap().unwrap()))
        .unwrap();
    assert_eq!(
        String::from_utf8(second.tree[LOCK].content.clone()).unwrap(),
        edited
    );
}
