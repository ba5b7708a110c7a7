#!/usr/bin/env bash
# Compares the cluster with the namespaces that are wanted. Needs: kubectl. Context: kubeconfig. File: namespaces.json.
set -euo pipefail
# shellcheck source=/dev/null
. "$ZTC_CONTEXT_SH"

status=0
kubectl --kubeconfig "$ZTC_REPO/$CTX_KUBECONFIG" diff --request-timeout=60s -f "$ZTC_FILES_DIR/namespaces.json" || status=$?
case $status in
    0) echo "all namespaces are as configured" ;;
    1)
        echo "ZTC_CAUSE: the namespaces were changed in the cluster, see above; ztc bootstrap --skip-cache --only apply_namespaces puts them right"
        exit 1
        ;;
    *)
        echo "ZTC_CAUSE: kubectl could not compare the namespaces (exit code $status)"
        exit 1
        ;;
esac
