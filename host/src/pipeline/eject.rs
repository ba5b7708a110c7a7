//! The bootstrap without ztc: the text of `run.sh` and of the README beside it. Pure.
//!
//! `run.sh` runs the tasks one by one in the order of the pipeline, gives each script what ztc would give it, and remembers in `succeeded/` what succeeded.

use std::collections::BTreeSet;

use crate::error::Failure;
use crate::pipeline::context::quoted;
use crate::pipeline::file::{Pipeline, StageEntry};
use crate::pipeline::tasks::{Task, Tasks};

/// What the texts need to know besides the pipeline.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Confirms destructive stages.
    pub cluster: String,
    /// The repository as seen from the directory: relative where the directory is inside it.
    pub repository: String,
    /// Whether the files hold secrets instead of placeholders.
    pub filled: bool,
}

/// Writes `run.sh`.
pub fn run_sh(pipeline: &Pipeline, tasks: &Tasks, setting: &Setting) -> Result<String, Failure> {
    let mut text = HEAD
        .replace("@ENVIRONMENT@", &word(&pipeline.mode)?)
        .replace("@CLUSTER@", &word(&setting.cluster)?)
        .replace("@REPOSITORY@", &word(&setting.repository)?);
    for (name, value) in &pipeline.env {
        text.push_str(&format!("export {name}={}\n", word(value)?));
    }
    text.push_str("\nall() {\n");
    for task in &tasks.list {
        text.push_str(&call(pipeline, task)?);
    }
    text.push_str("}\n");
    text.push_str(TAIL);
    Ok(text)
}

/// Writes one line of the list of tasks: the options that `task` in `run.sh` understands, then the script's arguments.
fn call(pipeline: &Pipeline, task: &Task) -> Result<String, Failure> {
    let entry = task.entry(pipeline);
    let mut words = vec![
        "  task".to_owned(),
        word(&task.name)?,
        word(&task.file_name())?,
        word(&script_path(entry))?,
        entry.timeout.to_string(),
    ];
    let flag = |condition: bool, letter: &str| {
        if condition {
            letter.to_owned()
        } else {
            "-".to_owned()
        }
    };
    words.push(flag(entry.required, "required"));
    words.push(flag(entry.cache_key.is_some(), "cached"));
    words.push(flag(entry.destructive, "destructive"));
    words.push(word(entry.skip_if_empty.as_deref().unwrap_or("-"))?);
    let secrets: Vec<&str> = entry
        .secrets
        .iter()
        .map(|secret| secret.variable.as_str())
        .collect();
    words.push(word(&secrets.join(" "))?);
    for argument in &entry.args {
        words.push(word(argument)?);
    }
    Ok(words.join(" ") + "\n")
}

/// Returns where a stage's script lies in the directory.
pub fn script_path(entry: &StageEntry) -> String {
    format!("scripts/{}", entry.script.replacen("://", "/", 1))
}

fn word(text: &str) -> Result<String, Failure> {
    quoted(text).ok_or_else(|| {
        Failure::invalid("the pipeline holds a NUL character, which bash cannot hold")
    })
}

/// Writes the README.
pub fn readme(pipeline: &Pipeline, tasks: &Tasks, setting: &Setting) -> String {
    let mut text = README_HEAD
        .replace("@ENVIRONMENT@", &pipeline.mode)
        .replace("@CLUSTER@", &setting.cluster);
    let variables: BTreeSet<&str> = pipeline
        .stages
        .iter()
        .flat_map(|stage| &stage.secrets)
        .map(|secret| secret.variable.as_str())
        .collect();
    for variable in &variables {
        text.push_str(&format!("    read -rs {variable} && export {variable}\n"));
    }
    text.push_str(README_RUN);
    text.push_str(if setting.filled {
        README_FILLED
    } else {
        README_PLACEHOLDERS
    });
    text.push_str("\n## Tasks\n\n| task | what | script | |\n|---|---|---|---|\n");
    for task in &tasks.list {
        let entry = task.entry(pipeline);
        let mark = if entry.destructive {
            "**destroys data**"
        } else {
            ""
        };
        let script = script_path(entry);
        text.push_str(&format!(
            "| `{}` | {} | `{script}` | {mark} |\n",
            task.name, entry.description
        ));
    }
    let tools: BTreeSet<String> = pipeline
        .stages
        .iter()
        .flat_map(|stage| &stage.tools)
        .map(|tool| match tool.minimum_version.as_str() {
            "" => tool.name.clone(),
            version => format!("{} {version} or newer", tool.name),
        })
        .collect();
    text.push_str(&format!(
        "\nTools: bash, jq, {}.\n",
        tools.into_iter().collect::<Vec<_>>().join(", ")
    ));
    text
}

const HEAD: &str = r#"#!/usr/bin/env bash
# Runs the bootstrap without ztc: one task after the other, remembering in succeeded/ what succeeded.
#   ./run.sh              everything that has not succeeded yet
#   ./run.sh --list       the tasks in their order, with their state
#   ./run.sh --only TASK  one task, whatever succeeded before
#   ./run.sh --from TASK  this task and all after it
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
here=$PWD

environment=@ENVIRONMENT@
cluster=@CLUSTER@
export ZTC_ENVIRONMENT=$environment
repository=@REPOSITORY@
ZTC_REPO=$(cd "${ZTC_REPO:-$repository}" && pwd)
export ZTC_REPO
export ZTC_STATE_DIR="$ZTC_REPO/.zerotouch-cache/state/$environment"
export ZTC_SECRETS_DIR="$ZTC_REPO/secrets/$environment"
"#;

const TAIL: &str = r#"
fail() {
  printf 'run.sh: %s\n' "$1" >&2
  exit "${2:-1}"
}

# Asks once for the cluster's name before anything is destroyed; ZTC_CONFIRM answers where there is no terminal.
confirmed=
confirm() {
  [[ -z $confirmed ]] || return 0
  local answer=${ZTC_CONFIRM:-}
  if [[ -z $answer && -t 0 ]]; then
    printf '%s destroys data. Type the name of the cluster to go on: ' "$1" >&2
    read -r answer
  fi
  [[ $answer == "$cluster" ]] || fail "not confirmed: type the cluster's name, or set ZTC_CONFIRM to it" 5
  confirmed=yes
}

# Without --kill-after a script that ignores TERM would hold everything up.
limited() {
  if command -v timeout >/dev/null; then
    timeout --kill-after=10 "$@"
  else
    shift
    "$@"
  fi
}

task() {
  local name=$1 file=$2 script=$3 limit=$4 required=$5 cached=$6 destructive=$7 skip=$8 variables=$9
  shift 9
  case $mode in
    list)
      if [[ -e succeeded/$file ]]; then printf 'done     %s\n' "$name"; else printf 'not yet  %s\n' "$name"; fi
      return 0
      ;;
    only) [[ $name == "$wanted" ]] || return 0 ;;
    from) if [[ -z $reached && $name != "$wanted" ]]; then return 0; fi ;;
    all) if [[ $cached == cached && -e succeeded/$file ]]; then printf 'skip  %s: done before\n' "$name"; return 0; fi ;;
  esac
  reached=yes
  if [[ $skip != - && -z ${!skip:-} ]]; then
    printf 'skip  %s: %s is empty\n' "$name" "$skip"
    return 0
  fi
  local variable
  for variable in $variables; do
    [[ -n ${!variable:-} ]] || fail "$name needs the variable $variable: read -rs $variable && export $variable" 2
  done
  if grep -rqs 'ztc-secret:' "files/$file"; then
    fail "the files of $name hold placeholders: eject again with --with-secrets" 5
  fi
  if [[ $destructive == destructive ]]; then confirm "$name"; fi
  mkdir -p succeeded "$ZTC_STATE_DIR" "$ZTC_SECRETS_DIR"
  chmod 700 "$ZTC_STATE_DIR" "$ZTC_SECRETS_DIR"
  printf 'run   %s\n' "$name"
  local status=0
  (
    cd "$ZTC_REPO"
    export ZTC_STAGE=$name ZTC_ATTEMPT=1 ZTC_FILES_DIR="$here/files/$file"
    export ZTC_CONTEXT_FILE="$here/context/$file.json" ZTC_CONTEXT_SH="$here/context/$file.sh"
    limited "$limit" bash "$here/$script" "$@" </dev/null
  ) || status=$?
  if ((status == 0)); then
    : >"succeeded/$file"
  elif [[ $required == required ]]; then
    fail "$name failed with exit code $status; put it right and run ./run.sh again"
  else
    printf 'warn  %s failed with exit code %s and is not required\n' "$name" "$status" >&2
  fi
}

mode=all wanted='' reached=''
case ${1:-} in
  '') ;;
  --list) mode=list ;;
  --only | --from) mode=${1#--} wanted=${2:?"$1 needs the name of a task, see ./run.sh --list"} ;;
  *) fail "unknown option $1; see the first lines of run.sh" 2 ;;
esac
all
if [[ -n $wanted && -z $reached ]]; then fail "there is no task $wanted; see ./run.sh --list" 2; fi
"#;

const README_HEAD: &str = "\
# The bootstrap of `@CLUSTER@` (@ENVIRONMENT@), without ztc

Everything that `ztc bootstrap` runs, for reading, changing and running by hand.

| path | what |
|---|---|
| `run.sh` | runs the tasks one by one; `--list`, `--only TASK`, `--from TASK` |
| `scripts/<adapter>/` | the scripts |
| `context/<task>.json`, `.sh` | the data of each task, as JSON and to be sourced |
| `files/<task>/` | the files of each task |
| `pipeline/` | the pipeline, for reading |
| `succeeded/` | what succeeded; remove a file to run its task again |

## Run it

    cd this-directory
";

const README_RUN: &str = "    ./run.sh

One script alone, here the first of the list:

    ./run.sh --only \"$(./run.sh --list | awk 'NR == 1 {print $NF}')\"

`succeeded/` begins with what ztc had done when this was written. ztc does not know what was done here: after a run by hand, `ztc bootstrap` would
install every machine again (it lists them and asks first). So go on by hand, or let ztc begin anew.

";

const README_FILLED: &str =
    "The files hold secrets. Remove this directory when you are done with it; git ignores it.\n";

const README_PLACEHOLDERS: &str = "The files hold placeholders instead of secrets, so tasks that need them stop: eject with `--with-secrets` to run everything.\n";
