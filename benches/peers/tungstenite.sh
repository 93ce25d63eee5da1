#!/usr/bin/env bash
# tokio-tungstenite on one thread: a plain echo. See tungstenite/src/main.rs.
source "$(dirname "$0")/common.sh"
MODES="echo idle connect"
BUILT=$STATE/tungstenite-target
peer_install() { CARGO_TARGET_DIR=$BUILT cargo build --release --locked --manifest-path "$HERE/tungstenite/Cargo.toml"; }
peer_version() {
    [ -x "$BUILT/release/tungstenite-echo" ] &&
        awk '/^name = "(tokio|tokio-tungstenite)"/ {gsub(/"/, ""); name = $3; getline; gsub(/"/, ""); printf "%s %s ", name, $3}' \
            "$HERE/tungstenite/Cargo.lock" && echo "(one thread, read buffers of 4 KiB)"
}
peer_command() { command=("$BUILT/release/tungstenite-echo" "$2"); }
peer_args() { echo "--protocol raw --url ws://127.0.0.1:$2/"; }
main "$@"
