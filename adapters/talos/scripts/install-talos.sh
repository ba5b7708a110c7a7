#!/usr/bin/env bash
# Writes the Talos image to the disk of a machine in its rescue system, and boots it.
# Needs: ssh, talosctl. Context: server_ip, disk, image_url, ssh_user, ssh_identity_file, ssh_config_file.
# Destroys everything on that disk, but nothing before the image is known to be there. The image streams through; it is stored nowhere.
set -euo pipefail
# shellcheck source=/dev/null
. "$ZTC_CONTEXT_SH"
# shellcheck source=lib.sh
. lib.sh

ip=$CTX_SERVER_IP
disk=$CTX_DISK
image=$CTX_IMAGE_URL
record="$ZTC_STATE_DIR/talos/$ip.installed"
# In the memory of the rescue system, so that it goes with it: what was written since it booted. What is known here may be older,
# because a run can be killed between the last byte and its record.
marker=/run/ztc-install
write_limit=1200
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

# last_words: what the other side complained about, on one line.
last_words() {
    tail -c 600 "$errors" | tr '\n' ' '
}

# The image was written in an earlier attempt and the machine runs it: writing it again would only wipe a working node.
is_installed() {
    [[ -f $record && $(<"$record") == "$image $disk" ]] || return 1
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

# is_written: whether this image was written to this disk since the rescue system booted. A write that still goes on, because only the
# connection to it broke, is waited for: a second one at the same time would make a mixture.
is_written() {
    local end=$((SECONDS + write_limit)) attempt=0 said="" state_of pid what
    while true; do
        # The file does not exist before the first write.
        limit=30 try ssh "${ssh_options[@]}" "$CTX_SSH_USER@$ip" "cat $marker || true" || fail "the rescue system of $ip does not say what was written since it booted; last error: $last_error"
        read -r state_of pid what <<<"$output" || true
        case $state_of in
        written) [[ $what == "$image $disk" ]] && return 0 || return 1 ;;
        writing) ;;
        *) return 1 ;;
        esac
        remote "[ -d /proc/$pid ]" 2>/dev/null || return 1
        ((SECONDS < end)) || fail "an earlier attempt still writes to $disk of $ip after $write_limit s; look at its console, then boot it into its rescue system again: ztc bootstrap --only 'enable_rescue_mode[$ip]'"
        [[ -n $said ]] || say "an earlier attempt still writes to $disk of $ip; waiting for it, at most $write_limit s"
        said=yes
        pause $((attempt++))
    done
}

# How the rescue system fetches. A connection that brings nothing, or less than a trickle for a minute, is broken: it would hold the disk
# until the stage's time is over. 32 KiB/s is far below any line to a server, and far above what a stalled one still says. What was
# written halfway is not fetched again by curl itself, which would go on writing behind it.
fetch="curl -fsSL --connect-timeout 20 --speed-limit 32768 --speed-time 60"

# check_image: fails where the machine cannot fetch the image, while the disk is still as it was. Six bytes tell an image from a login page.
check_image() {
    local magic
    magic=$(remote "curl -fsSL --retry 3 --connect-timeout 20 --max-time 120 --range 0-5 '$image'" 2>"$errors" | head -c 6 | od -An -tx1 | tr -d ' \n') || true
    [[ $magic == fd377a585a00 ]] && return
    if [[ -z $magic ]]; then
        fail "nothing was written: $ip cannot fetch $image ($(last_words)); check schematic_id and the version, and that the machine reaches the factory"
    fi
    fail "nothing was written: what $ip gets from $image is no xz archive; check factory_url and what stands between the machine and the factory"
}

# find_checksum: sets $checksum where the factory publishes one, as hexadecimal digits alone, before the file's name, or in BSD's form. Only
# "not found" means that there is none, and "payment required", with which the public factory says that it does not offer them: whatever
# else comes instead (an outage, a login page) protects nothing, and stops this.
find_checksum() {
    local answer status attempt why=""
    for attempt in 1 2 3 4 5; do
        [[ $attempt -eq 1 ]] || pause $((attempt - 1))
        if ! answer=$(remote "curl -sSL --connect-timeout 20 --max-time 60 --max-filesize 4096 -w '\n%{http_code}' '$image.sha256'" 2>"$errors"); then
            why=$(last_words)
            continue
        fi
        status=${answer##*$'\n'}
        case $status in
        404 | 402)
            checksum=""
            say "the factory publishes no sha256 of the image; its own check sums and the transport are what protects it"
            return
            ;;
        2??) ;;
        *)
            why="the factory answered $status"
            continue
            ;;
        esac
        checksum=$(tr '[:upper:]' '[:lower:]' <<<"${answer%$'\n'*}")
        if [[ $checksum =~ ^[[:space:]]*([0-9a-f]{64})([[:space:]].*)?$ || $checksum =~ ^sha(2-)?256\ ?\(.*\)\ ?=\ ?([0-9a-f]{64})[[:space:]]*$ ]]; then
            checksum=${BASH_REMATCH[1]}
            [[ ${#checksum} -eq 64 ]] || checksum=${BASH_REMATCH[2]}
            say "the factory publishes the image's sha256: $checksum"
            return
        fi
        why="what came is no sha256: $(tr -cd '[:print:]' <<<"${answer:0:60}")"
    done
    fail "nothing was written: whether the image is the right one cannot be checked: $ip gets no answer that can be used from $image.sha256 ($why); check the factory and what stands between the machine and it. A factory that has no checksums answers 404"
}

show_disk() {
    local listing
    if ! listing=$(remote "lsblk -o NAME,SIZE,TYPE,FSTYPE,LABEL,MOUNTPOINT,MODEL '$disk'" 2>"$errors"); then
        say "disks of $ip:"
        remote lsblk || true
        fail "$ip has no disk $disk, so nothing was written; set install_disk of the node to one of the disks listed above"
    fi
    say "what is on $disk of $ip, all of which is erased now:"
    say "$listing"
}

discard() {
    if remote "blkdiscard -f '$disk'" 2>"$errors"; then
        # The disk reads as zeros now, so blocks of zeros need not be written.
        dd_options=" conv=sparse"
    elif grep -qi "not supported" "$errors"; then
        say "$disk cannot be discarded; writing every block"
        dd_options=""
    else
        last_error=$(last_words)
        fail "$disk of $ip cannot be wiped: it does not exist or is in use; set install_disk of the node to one of the disks listed above; last error: $last_error"
    fi
}

# forget_etcd: what was wiped holds no data of etcd any more.
forget_etcd() {
    local members="$ZTC_STATE_DIR/talos/etcd" identity address
    [[ -f $members ]] || return 0
    while read -r identity address; do
        [[ $address == "$ip" ]] || printf '%s %s\n' "$identity" "$address"
    done <"$members" >"$members.$ip"
    mv "$members.$ip" "$members"
}

# write_image: one command over there, which goes on to its end or to its failure also where the connection breaks: it says nothing that
# nobody may be there to hear (`status=none`, `tee -p`). The digest is that of the bytes that were fetched; what does not have the
# published one does not stay on the disk.
write_image() {
    local code=0 answer
    answer=$(remote "set -o pipefail
        echo \"writing \$\$\" '$image $disk' | tee -p $marker
        sum=\$({ $fetch --max-time $write_limit '$image' | tee /dev/fd/3 | xz -dc | dd of='$disk' bs=4M status=none$dd_options; } 3>&1 | sha256sum) && sync || exit 1
        sum=\${sum%% *}
        if [ -n '$checksum' ] && [ \"\$sum\" != '$checksum' ]; then
            blkdiscard -f '$disk' || head -c 64M /dev/zero | dd of='$disk' bs=4M status=none
            sync
            echo \"refused \$sum\" | tee -p $marker
            exit 65
        fi
        echo \"written \$sum\" '$image $disk' | tee -p $marker" 2>"$errors") || code=$?
    case $code in
    0) say "sha256 of the image that was written: $(sed -n 's/^written \([0-9a-f]*\) .*/\1/p' <<<"$answer")" ;;
    65) fail "the image that came from $image is not the one that the factory published: its sha256 is $(sed -n 's/^refused //p' <<<"$answer"), not $checksum; $disk of $ip was wiped again and boots nothing. Try again; if it stays so, ask who runs the factory" ;;
    *) fail "the image was not written to $disk of $ip: the machine cannot fetch $image, or the disk is too small or broken; last error: $(last_words)" ;;
    esac
}

mkdir -p "$ZTC_STATE_DIR/talos"
wait_for_rescue
if is_written; then
    say "the image was written to $disk of $ip before; it is not written again"
else
    check_image
    find_checksum
    show_disk
    rm -f "$record" "$ZTC_STATE_DIR/talos/$ip.applied"
    say "wiping $disk of $ip"
    discard
    forget_etcd
    say "writing $image to $disk"
    write_image
fi
echo "$image $disk" >"$record"

say "booting Talos on $ip"
# The connection may end before the command does.
remote reboot || true
