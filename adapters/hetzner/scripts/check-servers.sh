#!/usr/bin/env bash
# Looks at one server of Hetzner Cloud before anything is done to any of them, so that none is switched off for a run that another one stops.
#
# Needs:    curl, jq, kubectl, and where it is there talosctl; HCLOUD_TOKEN (read and write); HCLOUD_ENDPOINT where the API is elsewhere.
# Changes:  nothing.
# Refuses:  what the stage that boots the rescue system refuses, which looks again when its time has come.
# Again:    a server that was booted into its rescue system from here before is not looked at: it is a node by now, as it should be.
set -euo pipefail
# shellcheck source=/dev/null
. "$ZTC_CONTEXT_SH"
exec 3>&1 # the stage's output, also from inside a command substitution

# shellcheck source=server.sh
. server.sh
# shellcheck source=api.sh
. api.sh

label="\`$CTX_SERVER_NAME\` ($CTX_SERVER_IP)"
if [ -f "$ZTC_STATE_DIR/rescue/$CTX_SERVER_IP/id_ed25519" ]; then
  say "$label was booted into its rescue system from here before; where that is to happen again, its stage looks at it"
  exit 0
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/ztc-check.XXXXXX")
trap 'api_report; rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

api_begin
look
settle
refuse_member
check_token
say "$label may be installed"
