#!/usr/bin/env bash
# Makes the namespaces, or brings them to what is wanted; deletes nothing. Needs: kubectl. Context: kubeconfig. File: namespaces.json.
set -euo pipefail
# shellcheck source=/dev/null
. "$ZTC_CONTEXT_SH"

kubectl --kubeconfig "$ZTC_REPO/$CTX_KUBECONFIG" apply --request-timeout=60s -f "$ZTC_FILES_DIR/namespaces.json"
