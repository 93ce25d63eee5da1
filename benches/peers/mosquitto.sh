#!/usr/bin/env bash
# Mosquitto: an MQTT broker, with its WebSocket listener. Nothing is written to disk but for
# `guaranteed`: QoS 1 with persistence, which saves its database every half hour and when it ends.
source "$(dirname "$0")/common.sh"
MODES="fanout guaranteed idle"
peer_install() { command -v mosquitto >/dev/null || apt_install mosquitto; }
peer_version() { dpkg-query -W -f 'mosquitto ${Version}, QoS 0; guaranteed: QoS 1, lasting sessions, answered before anything is on disk\n' mosquitto; }
peer_command() {
    local persistence="persistence false"
    local queued=10000
    if [ "$1" = guaranteed ]; then
        persistence=$(printf 'persistence true\npersistence_location %s/data/' "$3")
        queued=0
    fi
    # 2.0.11 does not start with a WebSocket listener alone, hence the other one.
    cat >"$3/mosquitto.conf" <<CONF
listener 0 $3/plain.sock
listener $2 127.0.0.1
protocol websockets
allow_anonymous true
set_tcp_nodelay true
max_inflight_messages 0
max_queued_messages $queued
$persistence
log_type error
user $(id -un)
CONF
    command=("$(command -v mosquitto || echo /usr/sbin/mosquitto)" -c "$3/mosquitto.conf")
}
peer_args() { echo "--protocol mqtt --url ws://127.0.0.1:$2/mqtt"; }
main "$@"
