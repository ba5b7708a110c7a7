#!/usr/bin/env bash
# Gives a control plane its machine configuration.
# Needs: talosctl. Context: server_ip, role, item name. Files: config.yaml, talosconfig.
set -euo pipefail
# shellcheck source=/dev/null
. "$ZTC_CONTEXT_SH"
# shellcheck source=lib.sh
. lib.sh

configure_node "$CTX_SERVER_IP" "$CTX_ITEM_NAME" "$CTX_ROLE"
