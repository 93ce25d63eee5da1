#!/usr/bin/env bash
# nats-server: core subjects over TCP, without JetStream. It has no WebSocket frames to write, and
# takes as many CPUs as there are.
source "$(dirname "$0")/common.sh"
MODES="fanout idle"
peer_install() { command -v nats-server >/dev/null || apt_install nats-server; }
peer_version() { nats-server --version | tr '\n' ' ' && echo "(core, TCP)"; }
peer_command() {
    cat >"$3/nats.conf" <<CONF
listen: 127.0.0.1:$2
max_connections: 200000
CONF
    command=(nats-server -c "$3/nats.conf")
}
peer_args() { echo "--protocol nats --url tcp://127.0.0.1:$2"; }
main "$@"
