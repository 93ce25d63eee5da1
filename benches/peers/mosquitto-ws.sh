#!/usr/bin/env bash
# Mosquitto with `guaranteed` over WebSocket instead of TCP, which costs it less with much in flight,
# and lets an answer wait up to 100 ms now and then.
export MOSQUITTO_MODES=guaranteed MOSQUITTO_GUARANTEED_OVER=websockets
exec "$(dirname "$0")/mosquitto.sh" "$@"
