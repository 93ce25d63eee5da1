#!/usr/bin/env bash
# Node with the npm package ws; the server is node-ws.js.
source "$(dirname "$0")/common.sh"
MODES="echo fanout idle connect"
export NODE_PATH=$STATE/node_modules
peer_install() { mkdir -p "$STATE" && npm install --silent --no-save --prefix "$STATE" ws@8; }
peer_version() { echo "Node $(node --version), ws $(node -p 'require("ws/package.json").version')"; }
peer_command() { command=(node "$HERE/node-ws.js" "$1" "$2"); }
peer_args() { echo "--protocol raw --url ws://127.0.0.1:$2/"; }
main "$@"
