#!/usr/bin/env bash
# The floor: a bare epoll loop in C, which is little more than the kernel's part. See floor.c.
source "$(dirname "$0")/common.sh"
MODES="echo fanout idle connect"
peer_install() { mkdir -p "$STATE" && cc -O2 -Wall -Wextra -o "$STATE/floor" "$HERE/floor.c"; }
peer_version() { [ -x "$STATE/floor" ] && echo "floor.c, one write per frame and receiver"; }
peer_command() { command=("$STATE/floor" "$1" "$2"); }
peer_args() { echo "--protocol raw --url ws://127.0.0.1:$2/"; }
main "$@"
