#!/usr/bin/env bash
# The floor for servers that merge writes: frames read together are written together.
source "$(dirname "$0")/common.sh"
MODES="fanout"
peer_install() { "$HERE/floor.sh" install; }
peer_version() { [ -x "$STATE/floor" ] && echo "floor.c, frames read together are written together"; }
peer_command() { command=("$STATE/floor" merged "$2"); }
peer_args() { echo "--protocol raw --url ws://127.0.0.1:$2/"; }
main "$@"
