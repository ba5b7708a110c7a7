# Functions that every script of this adapter uses; they take the place of the line `# ztc: common.sh`.
# Needs: kubectl, jq; CTX_KUBECONFIG and CTX_WAIT_SECONDS from the context.

# What the last check saw: why it is not satisfied yet.
reason="nothing was seen yet"
# The objects that `fetch` got, as JSON.
answer=""
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Seconds for one call of kubectl, which may hang where a firewall drops what it sends.
readonly call_limit=15

# kube ARGUMENTS...: kubectl with a limit of its own, which is not larger than what is left for the whole script.
kube() {
  local left=$((CTX_WAIT_SECONDS - SECONDS)) code=0
  left=$((left < 1 ? 1 : left < call_limit ? left : call_limit))
  timeout -k 2 "$left" kubectl --request-timeout "${left}s" --kubeconfig "$ZTC_REPO/$CTX_KUBECONFIG" "$@" || code=$?
  if ((code == 124 || code == 137)); then
    echo "kubectl gave no answer within $left s (timeout)" >&2
  fi
  return "$code"
}

# fetch KIND [NAME] [OPTIONS]: gets objects into `answer`; where that fails, kubectl's own words are the reason.
fetch() {
  if answer=$(kube get "$@" -o json 2>"$scratch/error"); then
    return 0
  fi
  reason="kubectl get $*: $(tail -n 1 "$scratch/error")"
  return 1
}

# satisfied FILTER [JQ OPTIONS]: the filter gives the reason why `answer` is not good enough, or nothing when it is.
satisfied() {
  local filter=$1
  shift
  reason=$(jq -r "$@" "$filter" <<<"$answer") || reason="kubectl's answer is not what was asked for"
  [[ -z "$reason" ]]
}

# wait_until WHAT CHECK: runs the function CHECK until it succeeds; the script as a whole has CTX_WAIT_SECONDS.
wait_until() {
  local what=$1 check=$2 pause=1 said="" left
  echo "waiting for $what"
  until "$check"; do
    if [[ "$reason" != "$said" ]]; then
      echo "not yet: $reason"
      said=$reason
    fi
    left=$((CTX_WAIT_SECONDS - SECONDS))
    if ((left <= 0)); then
      return 1
    fi
    sleep "$((pause < left ? pause : left))"
    pause=$((pause < 8 ? pause * 2 : 10))
  done
  echo "$what: done after $SECONDS s"
}

# give_up WHAT CAUSE: ends the script with the reason and with what to do about it.
give_up() {
  echo "gave up on $1 after $SECONDS s: $reason" >&2
  echo "ZTC_CAUSE: $2"
  exit 1
}

# Says what hinders the pods with a label: a container that cannot start, or no node to run on; nothing where all is well.
pod_trouble() {
  local seen=$reason
  if fetch pods -n kube-system -l "$1"; then
    jq -r '[.items[] | .metadata.name as $pod
      | ((.status.initContainerStatuses // []) + (.status.containerStatuses // []) | .[]
          | select((.state.waiting.reason // "PodInitializing") as $why
              | $why != "PodInitializing" and $why != "ContainerCreating")
          | "\($pod): container \(.name): \(.state.waiting.reason)"),
        ((.status.conditions // [])[]
          | select(.type == "PodScheduled" and .status == "False")
          | "\($pod): \(.message // "not scheduled")")] | .[0] // empty' <<<"$answer"
  fi
  reason=$seen
}

# cause_of TEXT: the likely cause behind a reason or a pod's trouble, and what to do.
cause_of() {
  case "$1" in
    *ImagePull* | *ErrImage*)
      echo "the nodes cannot pull Cilium's images; check that they reach quay.io (routes, DNS, proxy)" ;;
    *CrashLoopBackOff* | *RunContainerError* | *CreateContainer*)
      echo "a container keeps failing; read its log: kubectl -n kube-system logs <pod> --all-containers --previous" ;;
    *"not found"* | *NotFound*)
      echo "the object is not in the cluster; control planes apply it from their machine configuration, so look at their log: talosctl logs controller-runtime" ;;
    *refused* | *"no such host"* | *"no route to host"* | *timeout* | *"timed out"* | *"Unable to connect"* | *EOF*)
      echo "the Kubernetes API does not answer; check the control plane's machines and the firewall before port 6443" ;;
    *Unauthorized* | *x509* | *certificate*)
      echo "the cluster does not know $CTX_KUBECONFIG; it belongs to another installation or has expired" ;;
    *)
      echo "look at the pods: kubectl -n kube-system get pods -o wide; kubectl -n kube-system describe pod <pod>" ;;
  esac
}

# daemonset_ready NAME: the daemon set runs, in its present form, on every node that it wants.
daemonset_ready() {
  fetch daemonset "$1" -n kube-system || return 1
  # shellcheck disable=SC2016 # the variables are jq's
  satisfied '(.status // {}) as $now | ($now.desiredNumberScheduled // 0) as $wanted
    | if ($now.observedGeneration // 0) < (.metadata.generation // 0) then "daemon set \($name) was changed a moment ago"
      elif $wanted == 0 then "daemon set \($name) has no node to run on"
      elif ($now.updatedNumberScheduled // $wanted) < $wanted
      then "daemon set \($name): \($now.updatedNumberScheduled) of \($wanted) pods are up to date"
      elif ($now.numberReady // 0) < $wanted
      then "daemon set \($name): \($now.numberReady // 0) of \($wanted) pods are ready"
      else empty end' --arg name "$1"
}
