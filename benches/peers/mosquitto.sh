#!/usr/bin/env bash
# Mosquitto: an MQTT broker, with its WebSocket listener and nothing written to disk. For `guaranteed`
# it is QoS 1 over TCP, since 2.0.11 lets answers over WebSocket wait up to 100 ms now and then, and
# with persistence, which saves its database every half hour and when it ends. mosquitto-ws.sh has it
# over WebSocket.
source "$(dirname "$0")/common.sh"
MODES=${MOSQUITTO_MODES:-fanout fanout-topics guaranteed idle connect}
GUARANTEED_OVER=${MOSQUITTO_GUARANTEED_OVER:-mqtt}
peer_install() { command -v mosquitto >/dev/null || apt_install mosquitto; }
peer_version() { dpkg-query -W -f "mosquitto \${Version}, QoS 0; guaranteed: QoS 1, listener $GUARANTEED_OVER, lasting sessions, answered before anything is on disk\n" mosquitto; }
peer_command() {
    local protocol=websockets queued=10000 persistence="persistence false"
    if [ "$1" = guaranteed ]; then
        protocol=$GUARANTEED_OVER
        queued=0
        persistence=$(printf 'persistence true\npersistence_location %s/data/' "$3")
    fi
    # 2.0.11 does not start with a WebSocket listener alone, hence the other one.
    cat >"$3/mosquitto.conf" <<CONF
listener 0 $3/plain.sock
listener $2 127.0.0.1
protocol $protocol
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
peer_args() {
    local url=ws://127.0.0.1:$2/mqtt
    if [ "$1 $GUARANTEED_OVER" = "guaranteed mqtt" ]; then url=tcp://127.0.0.1:$2; fi
    echo "--protocol mqtt --url $url"
}
main "$@"
