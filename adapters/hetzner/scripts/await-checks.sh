#!/usr/bin/env bash
# Joins the ways of all servers: behind it stands what switches them off. Stages that run for the same servers follow each other server by
# server, and one that is refused would come too late for those before it.
#
# Needs:    nothing. Context: servers, the number of them.
# Changes:  nothing.
set -euo pipefail
# shellcheck source=/dev/null
. "$ZTC_CONTEXT_SH"

printf '%s\n' "all servers are checked ($CTX_SERVERS)"
