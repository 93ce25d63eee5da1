#!/usr/bin/env bash
# Mosquitto: an MQTT broker, with its WebSocket listener and nothing written to disk.
source "$(dirname "$0")/common.sh"
MODES="fanout idle"
peer_install() { command -v mosquitto >/dev/null || apt_install mosquitto; }
peer_version() { dpkg-query -W -f 'mosquitto ${Version}, QoS 0\n' mosquitto; }
peer_command() {
    # 2.0.11 does not start with a WebSocket listener alone, hence the other one.
    cat >"$3/mosquitto.conf" <<CONF
listener 0 $3/plain.sock
listener $2 127.0.0.1
protocol websockets
allow_anonymous true
set_tcp_nodelay true
max_queued_messages 10000
persistence false
log_type error
user $(id -un)
CONF
    command=("$(command -v mosquitto || echo /usr/sbin/mosquitto)" -c "$3/mosquitto.conf")
}
peer_args() { echo "--protocol mqtt --url ws://127.0.0.1:$2/mqtt"; }
main "$@"
