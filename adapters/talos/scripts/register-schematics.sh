#!/usr/bin/env bash
# Tells the image factory what the images are made from, so that it can make them; telling it again does no harm.
# Needs: curl, jq. Context: factory_url, schematics (id -> text).
set -euo pipefail
# shellcheck source=/dev/null
. "$ZTC_CONTEXT_SH"
# shellcheck source=lib.sh
. lib.sh

# register ID: the factory answers with the id that it computes itself.
register() {
    local id=$1 text answer end=$((SECONDS + 120)) attempt=0
    text=$(jq -r --arg id "$id" '.schematics[$id]' "$ZTC_CONTEXT_FILE" && printf x)
    text=${text%?x}
    until limit=30 try curl -fsS --max-time 25 -X POST --data-binary "$text" "$CTX_FACTORY_URL/schematics"; do
        if ((SECONDS >= end)); then
            fail "the image factory $CTX_FACTORY_URL took no schematic within 120 s; last error: $last_error"
        fi
        pause $((attempt++))
    done
    answer=$(jq -r '.id // "none"' <<<"$output" 2>/dev/null || echo none)
    if [[ $answer != "$id" ]]; then
        fail "the image factory $CTX_FACTORY_URL knows this schematic as $answer and not as $id: make it there by hand, and give its id as schematic_id"
    fi
    say "the image factory knows the schematic $id"
}

for id in $(jq -r '.schematics | keys[]' "$ZTC_CONTEXT_FILE"); do
    register "$id"
done
