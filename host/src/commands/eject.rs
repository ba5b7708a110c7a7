//! `ztc eject`: the bootstrap without ztc. Needs no adapter and no agreement with the lock: it is for the moment when something is wrong.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::atomic::{self, Existing};
use crate::commands::Context;
use crate::digest::sha256_hex;
use crate::error::{Exit, Failure, Location};
use crate::lock::Lock;
use crate::paths::Repository;
use crate::pipeline::cache::{Cache, Entry};
use crate::pipeline::context;
use crate::pipeline::eject::{Setting, readme, run_sh, script_path};
use crate::pipeline::file::Pipeline;
use crate::pipeline::tasks::{Task, Tasks};
use crate::platform::Platform;
use crate::secrets::bundle::{self, Bundle};
use crate::secrets::stored;
use crate::shell::word;
use crate::yaml;

/// Options of `ztc eject`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Environment [default: that of the lock]
    #[arg(long, value_name = "ENV")]
    pub(crate) env: Option<String>,
    /// Where to write; must not exist or be empty
    #[arg(long, value_name = "DIR", default_value = "debug")]
    pub(crate) output: PathBuf,
    /// Fill secrets into the files, readable by you only and ignored by git
    #[arg(long)]
    pub(crate) with_secrets: bool,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let repository = &context.repository;
    let lock = Lock::load(repository)?.ok_or_else(|| {
        Failure::invalid("nothing is rendered yet").help("run `ztc render` first")
    })?;
    let environment = arguments.env.as_deref().unwrap_or(&lock.environment);
    if environment != lock.environment {
        return Err(Failure::new(
            Exit::Refused,
            format!(
                "`{}` was rendered last, not `{environment}`",
                lock.environment
            ),
        )
        .help(format!("run `ztc render --env {environment}` first")));
    }
    let pipeline = read_pipeline(repository, environment)?;
    let tasks = Tasks::of(&pipeline)?;
    let output = empty_directory(repository, &arguments.output)?;
    let ejector = Ejector {
        context,
        lock: &lock,
        pipeline: &pipeline,
        output: &output,
        cache: Cache::load(repository, environment)?,
        bundles: if arguments.with_secrets {
            Some(bundles(context, &lock)?)
        } else {
            None
        },
    };
    let setting = Setting {
        cluster: Platform::load(repository, Some(environment))
            .ok()
            .and_then(|platform| platform.cluster_name().map(str::to_owned))
            .unwrap_or_else(|| environment.to_owned()),
        repository: seen_from(repository.root(), &output),
        filled: arguments.with_secrets,
    };
    let written = ejector.write(&tasks, &setting);
    if written.is_err() {
        // Nothing half-written: the directory was empty or absent before.
        let _ = fs::remove_dir_all(&output);
    }
    written?;
    report(context, &arguments.output, &tasks);
    Ok(Exit::Done)
}

fn report(context: &Context, output: &Path, tasks: &Tasks) {
    let output = output.display();
    if context.ui.is_json() {
        let names: Vec<&str> = tasks.list.iter().map(|task| task.name.as_str()).collect();
        context
            .ui
            .json(&serde_json::json!({ "directory": output.to_string(), "tasks": names }));
        return;
    }
    context
        .ui
        .done(format!("ejected {} tasks to {output}/", tasks.list.len()));
    context.ui.next(
        &format!("cat {output}/README.md"),
        "how to run them by hand",
    );
}

fn read_pipeline(repository: &Repository, environment: &str) -> Result<Pipeline, Failure> {
    let path = repository.pipeline(environment);
    let text = fs::read_to_string(&path).map_err(|error| {
        Failure::io("read", repository.display(&path), &error).help(format!(
            "run `ztc render --env {environment}`, or give the environment that was rendered"
        ))
    })?;
    yaml::parse(&text).map_err(|error| {
        Failure::invalid("the pipeline is not valid")
            .at(Location {
                file: repository.display(&path),
                line: error.line,
                column: error.column,
            })
            .detail(error)
            .help("run `ztc render` to make it again")
    })
}

/// Makes the directory; refuses one that holds anything.
fn empty_directory(repository: &Repository, output: &Path) -> Result<PathBuf, Failure> {
    let path = repository.root().join(output);
    let is_taken = fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some());
    if is_taken {
        return Err(Failure::new(
            Exit::Refused,
            format!("`{}` is not empty", output.display()),
        )
        .help(format!(
            "give another directory with `--output`, or remove it: `rm -r {}`",
            word(&output.display().to_string())
        )));
    }
    atomic::private_directory(&path)?;
    fs::canonicalize(&path).map_err(|error| Failure::io("open", &path, &error))
}

/// Every bundle that the lock knows, and those beside them that are made from others, of which no lock says anything.
fn bundles(context: &Context, lock: &Lock) -> Result<BTreeMap<String, Bundle>, Failure> {
    let load = |name: &str| {
        let bundle = Bundle::load(
            &context.repository,
            &lock.environment,
            context.ui.mask(),
            name,
        )?;
        Ok(bundle.map(|bundle| (name.to_owned(), bundle)))
    };
    let mut found: BTreeMap<String, Bundle> = lock
        .secrets
        .keys()
        .filter_map(|name| load(name).transpose())
        .collect::<Result<_, Failure>>()?;
    let directory = context.repository.secrets_of(&lock.environment);
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let file = entry.file_name();
        let Some(name) = file.to_str().and_then(|file| file.strip_suffix(".yaml")) else {
            continue;
        };
        if !found.contains_key(name) {
            // What cannot be read is missed where a placeholder needs it.
            found.extend(load(name).ok().flatten());
        }
    }
    stored::join(&context.repository, context.ui.mask(), &mut found)?;
    Ok(found)
}

/// Returns a directory's parent chain as `..` where `inside` is below `root`, else the absolute root.
fn seen_from(root: &Path, inside: &Path) -> String {
    let root = fs::canonicalize(root).unwrap_or_else(|_| root.to_owned());
    match inside.strip_prefix(&root) {
        Ok(rest) => vec![".."; rest.components().count().max(1)].join("/"),
        Err(_) => root.display().to_string(),
    }
}

struct Ejector<'a> {
    context: &'a Context,
    lock: &'a Lock,
    pipeline: &'a Pipeline,
    output: &'a Path,
    bundles: Option<BTreeMap<String, Bundle>>,
    cache: Cache,
}

impl Ejector<'_> {
    fn write(&self, tasks: &Tasks, setting: &Setting) -> Result<(), Failure> {
        let scripts = self.pipeline.stages.iter().flat_map(|entry| {
            let undo = entry.rollback.as_ref().map(|undo| &undo.script);
            std::iter::once(&entry.script).chain(undo)
        });
        for path in scripts
            .filter(|script| !script.is_empty())
            .map(|script| script_path(script))
        {
            let script = self.artifact(&format!("debug/{path}"))?;
            self.put(&path, script.as_bytes(), 0o700)?;
        }
        for task in &tasks.list {
            self.task(task)?;
            if self.is_done(task) {
                self.put(&format!("succeeded/{}", task.file_name()), b"", 0o600)?;
            }
        }
        let pipeline =
            yaml::write(self.pipeline).map_err(|error| Failure::failed(error.to_string()))?;
        self.put(
            &format!("pipeline/{}.yaml", self.pipeline.mode),
            pipeline.as_bytes(),
            0o600,
        )?;
        self.put(
            "README.md",
            readme(self.pipeline, tasks, setting).as_bytes(),
            0o600,
        )?;
        if setting.filled {
            self.put(".gitignore", b"*\n", 0o600)?;
        }
        self.put(
            "run.sh",
            run_sh(self.pipeline, tasks, setting)?.as_bytes(),
            0o700,
        )
    }

    /// Whether a run of ztc has done a task already.
    fn is_done(&self, task: &Task) -> bool {
        let key = task.entry(self.pipeline).cache_key.as_deref();
        let entry = key.and_then(|key| self.cache.entry(key, task.item_key(self.pipeline)));
        matches!(entry, Some(Entry::Succeeded { .. }))
    }

    fn task(&self, task: &Task) -> Result<(), Failure> {
        let entry = task.entry(self.pipeline);
        let data = match &entry.context_file {
            Some(file) => self.context_data(file)?,
            None => Map::new(),
        };
        let merged = context::merge(&data, task.item(self.pipeline), &self.pipeline.variables());
        let shell = context::shell(&merged).map_err(|why| {
            Failure::invalid(format!(
                "the context of `{}` cannot be written: {why}",
                task.name
            ))
        })?;
        let json = serde_json::to_string_pretty(&merged).unwrap_or_default() + "\n";
        self.put(
            &format!("context/{}.json", task.file_name()),
            json.as_bytes(),
            0o600,
        )?;
        self.put(
            &format!("context/{}.sh", task.file_name()),
            shell.as_bytes(),
            0o600,
        )?;
        let of_item = task.item(self.pipeline).map(|item| &item.files);
        for (name, artifact) in entry.files.iter().chain(of_item.into_iter().flatten()) {
            let text = self.artifact(artifact)?;
            let text = match &self.bundles {
                Some(bundles) => bundle::fill(&text, bundles)?,
                None => text,
            };
            self.put(
                &format!("files/{}/{name}", task.file_name()),
                text.as_bytes(),
                0o600,
            )?;
        }
        Ok(())
    }

    fn context_data(&self, file: &str) -> Result<Map<String, Value>, Failure> {
        let text = self.artifact(&format!("debug/scripts/{file}"))?;
        serde_json::from_str(&text).map_err(|error| {
            Failure::invalid(format!("the context `{file}` is not a JSON object")).detail(error)
        })
    }

    /// Reads an artifact; one that differs from the lock is used all the same, and said.
    fn artifact(&self, path: &str) -> Result<String, Failure> {
        let full = self.context.repository.generated().join(path);
        let text = fs::read_to_string(&full).map_err(|error| {
            Failure::io("read", self.context.repository.display(&full), &error)
                .help("run `ztc render` to make it again")
        })?;
        let locked = self
            .lock
            .artifacts
            .get(path)
            .map(|file| file.sha256.as_str());
        if locked != Some(sha256_hex(text.as_bytes()).as_str()) {
            self.context
                .ui
                .warning(format!("`platform/generated/{path}` differs from the lock"));
        }
        Ok(text)
    }

    fn put(&self, path: &str, content: &[u8], mode: u32) -> Result<(), Failure> {
        let full = self.output.join(path);
        atomic::private(&full, content, Existing::Replace)?;
        fs::set_permissions(&full, fs::Permissions::from_mode(mode))
            .map_err(|error| Failure::io("write", &full, &error))
    }
}
