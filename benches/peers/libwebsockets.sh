#!/usr/bin/env bash
# libwebsockets from Debian's packages: a plain echo on its default loop. See libwebsockets.c.
source "$(dirname "$0")/common.sh"
MODES="echo idle connect"
peer_install() {
    [ -e /usr/include/libwebsockets.h ] || apt_install libwebsockets-dev libssl-dev libcap-dev
    mkdir -p "$STATE" && cc -O2 -Wall -Wextra -o "$STATE/libwebsockets" "$HERE/libwebsockets.c" -lwebsockets
}
peer_version() { [ -x "$STATE/libwebsockets" ] && "$STATE/libwebsockets" version; }
peer_command() { command=("$STATE/libwebsockets" "$2"); }
peer_args() { echo "--protocol raw --url ws://127.0.0.1:$2/"; }
main "$@"
