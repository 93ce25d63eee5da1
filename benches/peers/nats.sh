#!/usr/bin/env bash
# nats-server: core subjects over TCP, and JetStream on files for `guaranteed`. It has no WebSocket
# frames to write, and takes as many CPUs as there are.
source "$(dirname "$0")/common.sh"
MODES="fanout fanout-topics guaranteed idle connect"
peer_install() { command -v nats-server >/dev/null || apt_install nats-server; }
peer_version() {
    local sync="answered before a sync, since this version has no sync_interval"
    if can_sync_always; then sync="answered after a sync"; fi
    nats-server --version | tr '\n' ' ' && echo "(core, TCP; guaranteed: JetStream, file storage, $sync)"
}
# From 2.10 on it can answer after a sync; before, it answers when the file system has the bytes.
can_sync_always() {
    local file
    file=$(mktemp)
    echo 'jetstream { sync_interval: always }' >"$file"
    nats-server -t -c "$file" >/dev/null 2>&1
    local code=$?
    rm -f "$file"
    return $code
}
peer_command() {
    cat >"$3/nats.conf" <<CONF
listen: 127.0.0.1:$2
max_connections: 200000
CONF
    if [ "$1" = guaranteed ]; then
        local sync=""
        if can_sync_always; then sync="sync_interval: always"; fi
        printf 'jetstream {\n  store_dir: "%s/data"\n  %s\n}\n' "$3" "$sync" >>"$3/nats.conf"
    fi
    command=(nats-server -c "$3/nats.conf")
}
peer_args() { echo "--protocol nats --url tcp://127.0.0.1:$2"; }
main "$@"
