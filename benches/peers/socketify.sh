#!/usr/bin/env bash
# uWebSockets under Python, by the PyPI package socketify. See socketify-server.py.
source "$(dirname "$0")/common.sh"
MODES="echo fanout idle connect"
VENV=$STATE/socketify-venv
peer_install() { mkdir -p "$STATE" && python3 -m venv "$VENV" && "$VENV/bin/pip" install -q socketify; }
peer_version() { [ -x "$VENV/bin/pip" ] && "$VENV/bin/pip" list 2>/dev/null | awk '$1 == "socketify" {print "uWebSockets by socketify", $2}'; }
peer_command() { command=("$VENV/bin/python" "$HERE/socketify-server.py" "$1" "$2"); }
peer_args() { echo "--protocol raw --url ws://127.0.0.1:$2/ --publisher-path /pub"; }
main "$@"
