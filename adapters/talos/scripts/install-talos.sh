#!/usr/bin/env bash
# Writes the Talos image to the disk of a machine in its rescue system, and boots it.
# Needs: ssh, talosctl. Context: server_ip, disk, image_url, ssh_user, ssh_identity_file, ssh_config_file.
# Destroys everything on that disk.
set -euo pipefail
# shellcheck source=/dev/null
. "$ZTC_CONTEXT_SH"
# shellcheck source=lib.sh
. lib.sh

ip=$CTX_SERVER_IP
disk=$CTX_DISK
record="$ZTC_STATE_DIR/talos/$ip.installed"
ssh_options=(-o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR
    -o ConnectTimeout=10 -o ServerAliveInterval=15 -o ServerAliveCountMax=8)
if [[ -n $CTX_SSH_IDENTITY_FILE ]]; then
    ssh_options+=(-o IdentitiesOnly=yes -i "$ZTC_STATE_DIR/$CTX_SSH_IDENTITY_FILE")
fi
if [[ -n $CTX_SSH_CONFIG_FILE ]]; then
    ssh_options=(-F "$ZTC_REPO/$CTX_SSH_CONFIG_FILE" "${ssh_options[@]}")
fi

# The command is one text that is made here and read by the shell over there.
# shellcheck disable=SC2029
remote() {
    ssh "${ssh_options[@]}" "$CTX_SSH_USER@$ip" "$1"
}

# The image was written in an earlier attempt and the machine runs it: writing it again would only wipe a working node.
is_installed() {
    [[ -f $record && $(<"$record") == "$CTX_IMAGE_URL $disk" ]] || return 1
    node_state "$ip"
    [[ $state == maintenance || $state == configured ]]
}

wait_for_rescue() {
    local end=$((SECONDS + 300)) attempt=0 name
    say "waiting up to 300 s for the rescue system of $ip"
    while true; do
        if limit=30 try ssh "${ssh_options[@]}" "$CTX_SSH_USER@$ip" hostname; then
            name=$output
            [[ $name == rescue ]] && return
            fail "$ip runs \`$name\` and not its rescue system, so nothing was written; boot this machine into it again: ztc bootstrap --only 'enable_rescue_mode[$ip]'"
        fi
        if is_installed; then
            say "Talos is on $disk of $ip already and runs ($state)"
            exit 0
        fi
        if ((SECONDS >= end)); then
            fail "the rescue system of $ip did not answer over ssh within 300 s; last error: $last_error"
        fi
        pause $((attempt++))
    done
}

discard() {
    if remote "blkdiscard -f $disk" 2>"$errors"; then
        # The disk reads as zeros now, so blocks of zeros need not be written.
        dd_options=" conv=sparse"
    elif grep -qi "not supported" "$errors"; then
        say "$disk cannot be discarded; writing every block"
        dd_options=""
    else
        last_error=$(tail -c 600 "$errors" | tr '\n' ' ')
        fail "$disk of $ip cannot be wiped: it does not exist or is in use; set install_disk of the node to one of the disks listed above; last error: $last_error"
    fi
}

mkdir -p "$ZTC_STATE_DIR/talos"
wait_for_rescue
say "disks of $ip:"
remote lsblk
rm -f "$record" "$ZTC_STATE_DIR/talos/$ip.applied"

say "wiping $disk of $ip"
discard
say "writing $CTX_IMAGE_URL to $disk"
if ! remote "set -o pipefail; curl -fsSL --retry 3 $CTX_IMAGE_URL | xz -dc | dd of=$disk bs=4M$dd_options && sync"; then
    fail "the image was not written to $disk of $ip: the machine cannot fetch $CTX_IMAGE_URL, or the disk is too small or broken"
fi
echo "$CTX_IMAGE_URL $disk" >"$record"

say "booting Talos on $ip"
# The connection may end before the command does.
remote reboot || true
