//! The bootstrap without ztc: the text of `run.sh` and of the README beside it. Pure.
//!
//! `run.sh` runs the tasks one by one in the order of the pipeline, gives each script what ztc would give it, and remembers in `succeeded/` what succeeded.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Map;
use ztc_protocol::health::Health;
use ztc_protocol::stage::{AfterFailure, Retry};

use crate::error::Failure;
use crate::pipeline::context;
use crate::pipeline::file::{Kind, Pipeline};
use crate::pipeline::gates::{self, Action};
use crate::pipeline::tasks::{Task, Tasks};
use crate::shell::quoted;

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
    text.push_str(
        "\n# What tasks are told is for them, not for this shell.\n# shellcheck disable=SC2016\nall() {\n",
    );
    for task in 0..tasks.list.len() {
        text.push_str(&call(pipeline, tasks, task)?);
    }
    text.push_str("}\n");
    text.push_str(TAIL);
    Ok(text)
}

/// Writes one line of the list of tasks: the options that `task` in `run.sh` understands, then the script's arguments, or what the probe
/// or the person is asked.
fn call(pipeline: &Pipeline, tasks: &Tasks, task: usize) -> Result<String, Failure> {
    let of = |task: &Task| word(&task.file_name());
    let (number, task) = (task, &tasks.list[task]);
    let entry = task.entry(pipeline);
    let context = context::merge(&Map::new(), task.item(pipeline), &pipeline.variables());
    let action = gates::action(entry, &context, &pipeline.variables());
    let script = match &action {
        Action::Script => word(&script_path(&entry.script))?,
        Action::Health(_) | Action::Manual(_) => action.word().to_owned(),
    };
    let flag = |condition: bool, letter: &str| {
        if condition {
            letter.to_owned()
        } else {
            "-".to_owned()
        }
    };
    let secrets: Vec<&str> = entry
        .secrets
        .iter()
        .map(|secret| secret.variable.as_str())
        .collect();
    let (delays, codes) = entry.retry.as_ref().map(again).unwrap_or_default();
    let before: Vec<String> = match entry.after_failure {
        AfterFailure::Run => Vec::new(),
        AfterFailure::Skip => tasks
            .before(number)
            .map(|task| tasks.list[task].file_name())
            .collect(),
    };
    let mut words = vec![
        "  task".to_owned(),
        word(&task.name)?,
        of(task)?,
        script,
        entry.timeout.to_string(),
        flag(entry.required, "required"),
        flag(entry.cache_key.is_some(), "cached"),
        flag(entry.destructive, "destructive"),
        word(entry.skip_if_empty.as_deref().unwrap_or("-"))?,
        word(&secrets.join(" "))?,
        word(&delays)?,
        word(&codes)?,
        word(&before.join(" "))?,
    ];
    let asked = match action {
        Action::Script => entry.args.clone(),
        Action::Health(health) => questions(&health),
        Action::Manual(instructions) => vec![instructions],
    };
    for argument in &asked {
        words.push(word(argument)?);
    }
    Ok(words.join(" ") + "\n")
}

/// The seconds before each further attempt, and the exit codes after which there is one.
fn again(retry: &Retry) -> (String, String) {
    let delays = (1..retry.max_attempts).map(|attempt| retry.wait_after(attempt).to_string());
    let codes = retry.exit_codes.iter().map(ToString::to_string);
    (
        delays.collect::<Vec<_>>().join(" "),
        codes.collect::<Vec<_>>().join(" "),
    )
}

/// What `healthy` in `run.sh` is told: numbers, then the probe.
fn questions(health: &Health) -> Vec<String> {
    let mut intervals = vec![health.interval_seconds.min(health.max_interval_seconds)];
    while let Some(last) = intervals.last()
        && *last < health.max_interval_seconds
        && health.backoff_factor > 1.0
        && intervals.len() < 100
    {
        intervals.push((last * health.backoff_factor).min(health.max_interval_seconds));
    }
    let intervals: Vec<String> = intervals
        .iter()
        .map(|seconds| format!("{seconds:.2}"))
        .collect();
    let mut words = vec![
        health.successes.to_string(),
        format!("{:.2}", health.initial_delay_seconds),
        format!("{:.2}", health.probe_timeout_seconds),
        intervals.join(" "),
    ];
    match (&health.http, &health.tcp, &health.command) {
        (Some(http), ..) => {
            let status: Vec<String> = http.status.iter().map(ToString::to_string).collect();
            let ca_file = http.ca_file.clone().unwrap_or_default();
            words.extend(["http".into(), http.url.clone(), status.join(" "), ca_file]);
        }
        (None, Some(address), _) => {
            let (host, port) = gates::split(address).unwrap_or((address, 0));
            words.extend(["tcp".into(), host.to_owned(), port.to_string()]);
        }
        (None, None, command) => {
            words.push("command".into());
            words.extend(command.iter().flatten().cloned());
        }
    }
    words
}

/// Returns where a script lies in the directory.
pub fn script_path(script: &str) -> String {
    format!("scripts/{}", script.replacen("://", "/", 1))
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
        let script = match entry.kind {
            Kind::Script => format!("`{}`", script_path(&entry.script)),
            Kind::Health => "waits until it is healthy".to_owned(),
            Kind::Manual => "asks you".to_owned(),
        };
        let undo = entry.rollback.as_ref().map_or(String::new(), |undo| {
            format!(", undone by `{}`", script_path(&undo.script))
        });
        text.push_str(&format!(
            "| `{}` | {} | {script}{undo} | {mark} |\n",
            task.name, entry.description
        ));
    }
    text.push_str(&format!("\nTools: {}.\n", tools(pipeline).join(", ")));
    text
}

/// The tools that scripts and `run.sh` need, each once, with the highest version that is asked for.
fn tools(pipeline: &Pipeline) -> Vec<String> {
    let own = ["bash", "jq"].into_iter().chain(
        pipeline
            .stages
            .iter()
            .filter_map(|stage| stage.health.as_ref()?.http.as_ref())
            .map(|_| "curl"),
    );
    let mut tools: BTreeMap<&str, &str> = own.map(|name| (name, "")).collect();
    for tool in pipeline.stages.iter().flat_map(|stage| &stage.tools) {
        let version = tools.entry(&tool.name).or_default();
        if numbers(&tool.minimum_version) > numbers(version) {
            *version = &tool.minimum_version;
        }
    }
    let said = tools.into_iter().map(|(name, version)| match version {
        "" => name.to_owned(),
        version => format!("{name} {version} or newer"),
    });
    said.collect()
}

/// The numbers of a version, to compare it.
fn numbers(version: &str) -> Vec<u64> {
    let parts = version.split(|c: char| !c.is_ascii_digit());
    parts.filter_map(|part| part.parse().ok()).collect()
}

const HEAD: &str = r#"#!/usr/bin/env bash
# Runs the bootstrap without ztc: one task after the other, remembering in succeeded/ what succeeded.
#   ./run.sh              everything that has not succeeded yet
#   ./run.sh --list       the tasks in their order, with their state
#   ./run.sh --only TASK  one task, whatever succeeded before
#   ./run.sh --from TASK  this task and all after it
# ZTC_CONFIRM=CLUSTER confirms what destroys data, ZTC_YES=1 what a person is to do. Exit code 3: something failed that is not required.
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

# Asks a probe once. What it prints is why it is not healthy.
probe() {
  local limit=$1 kind=$2 said status
  shift 2
  case $kind in
    http)
      local url=$1 wanted=$2 ca=()
      if [[ -n $3 ]]; then ca=(--cacert "$ZTC_REPO/$3"); fi
      if ! said=$(curl -sS -o /dev/null -w '%{http_code}' --max-time "$limit" "${ca[@]}" -- "$url" 2>&1); then
        # curl writes the status too: 000, beside what went wrong.
        said=${said#000} said=${said%000}
        printf '%s: %s' "$url" "${said%%$'\n'*}"
        return 1
      fi
      if [[ -z $wanted && $said == 2?? || " $wanted " == *" $said "* ]]; then return 0; fi
      printf '%s: status %s' "$url" "$said"
      return 1
      ;;
    tcp)
      # shellcheck disable=SC2016
      limited "$limit" bash -c 'exec 3<>"/dev/tcp/$1/$2"' tcp "$1" "$2" 2>/dev/null && return 0
      printf '%s:%s: no connection' "$1" "$2"
      return 1
      ;;
    command)
      status=0
      said=$(cd "$ZTC_REPO" && limited "$limit" "$@" 2>&1 </dev/null) || status=$?
      if ((status == 0)); then return 0; fi
      printf '%s ended with %s: %s' "$1" "$status" "${said##*$'\n'}"
      return 1
      ;;
  esac
}

# Says a time in milliseconds.
now() {
  local at=${EPOCHREALTIME:-$SECONDS.000000}
  at=${at/[.,]/}
  printf '%s' "$((10#$at / 1000))"
}

# Says so many seconds (with two decimals), but no more than are left until a time.
within() {
  local milliseconds=$((10#${1/./} * 10)) left=$(($2 - $(now)))
  if ((left < milliseconds)); then milliseconds=$left; fi
  if ((milliseconds < 1)); then milliseconds=1; fi
  printf '%d.%03d' $((milliseconds / 1000)) $((milliseconds % 1000))
}

# Asks until the answers are good often enough in a row.
healthy() {
  local deadline=$(($(now) + $1 * 1000)) successes=$2 delay=$3 limit=$4 good=0 said intervals at=0
  read -r -a intervals <<<"$5"
  shift 5
  if [[ $delay != 0.00 ]]; then sleep "$(within "$delay" "$deadline")"; fi
  while (($(now) < deadline)); do
    if said=$(probe "$(within "$limit" "$deadline")" "$@"); then
      good=$((good + 1)) at=0
      if ((good >= successes)); then return 0; fi
    else
      good=0
      printf '      %s; again in %s s\n' "$said" "${intervals[at]}"
    fi
    sleep "$(within "${intervals[at]}" "$deadline")"
    if ((good == 0 && at + 1 < ${#intervals[@]})); then at=$((at + 1)); fi
  done
  return 124
}

# Asks the person; ZTC_YES=1 says that everything is done.
asked() {
  local name=$1 answer=
  printf '%s is for you to do:\n%s\n' "$name" "$2" >&2
  if [[ ${ZTC_YES:-} == 1 ]]; then return 0; fi
  [[ -t 0 ]] || fail "$name must be confirmed: do what it says, then set ZTC_YES=1" 5
  while [[ $answer != yes ]]; do
    read -r -p 'Type yes when it is done, or no if it cannot be done: ' answer || return 1
    if [[ $answer == no ]]; then return 1; fi
  done
}

failed=' '
task() {
  local name=$1 file=$2 script=$3 limit=$4 required=$5 cached=$6 destructive=$7 skip=$8 variables=$9
  local delays=${10} codes=${11} before=${12}
  shift 12
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
  local need
  for need in $before; do
    if [[ $failed == *" $need "* ]]; then
      printf 'skip  %s: %s failed\n' "$name" "$need"
      failed+="$file "
      return 0
    fi
  done
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
  local status attempt=1
  read -r -a delays <<<"$delays"
  while :; do
    status=0
    case $script in
      health) healthy "$limit" "$@" || status=$? ;;
      manual) asked "$name" "$@" || status=$? ;;
      *)
        (
          cd "$ZTC_REPO"
          export ZTC_STAGE=$name ZTC_ATTEMPT=$attempt ZTC_FILES_DIR="$here/files/$file"
          export ZTC_CONTEXT_FILE="$here/context/$file.json" ZTC_CONTEXT_SH="$here/context/$file.sh"
          limited "$limit" bash "$here/$script" "$@" </dev/null
        ) || status=$?
        ;;
    esac
    if ((status == 0 || attempt > ${#delays[@]})); then break; fi
    if [[ -n $codes && " $codes " != *" $status "* ]]; then break; fi
    printf 'again %s: exit code %s; in %s s\n' "$name" "$status" "${delays[attempt - 1]}"
    sleep "${delays[attempt - 1]}"
    attempt=$((attempt + 1))
  done
  if ((status == 0)); then
    : >"succeeded/$file"
  elif [[ $required == required ]]; then
    fail "$name failed with exit code $status; put it right and run ./run.sh again"
  else
    failed+="$file "
    printf 'warn  %s failed with exit code %s and is not required\n' "$name" "$status" >&2
  fi
}

mode=all wanted='' reached=''
case ${1:-} in
  '') ;;
  --list) mode=list ;;
  --only | --from)
    if [[ -z ${2:-} || ${2:-} == -* ]]; then fail "$1 needs the name of a task, see ./run.sh --list" 2; fi
    mode=${1#--} wanted=$2
    shift
    ;;
  *) fail "unknown option $1; see the first lines of run.sh" 2 ;;
esac
if (($# > 1)); then fail "one option at a time: $2 does not go with what stands before it; nothing has been run" 2; fi
all
if [[ -n $wanted && -z $reached ]]; then fail "there is no task $wanted; see ./run.sh --list" 2; fi
if [[ $failed != ' ' ]]; then exit 3; fi
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
