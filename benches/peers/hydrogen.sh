#!/usr/bin/env bash
# hydrogen as it was built, with a key and a configuration made for the run.
# HYDROGEN names another binary than target/release/hydrogen.
source "$(dirname "$0")/common.sh"
MODES="rpc fanout guaranteed idle"
HYDROGEN=${HYDROGEN:-$ROOT/target/release/hydrogen}
peer_install() { cargo build --release --manifest-path "$ROOT/Cargo.toml"; }
peer_version() { [ -x "$HYDROGEN" ] && "$HYDROGEN" --version; }
peer_command() {
    hydrogen_configuration "$2" "$3" >"$3/hydrogen.conf"
    "$HYDROGEN" key create bench --permit admin --config "$3/hydrogen.conf" >"$3/key"
    command=("$HYDROGEN" serve --config "$3/hydrogen.conf")
}
# All that a run needs of the configuration, for PORT and DIR.
hydrogen_configuration() {
    cat <<CONF
{
  "DataDir": "$2/data",
  "WebSocketServer": {"Port": $1, "MaxConnections": 100000, "ThreadPoolSize": ${WORKERS:-1}, "IoThreads": ${REACTORS:-1}}
}
CONF
}
peer_args() { echo "--protocol hydrogen --url ws://127.0.0.1:$2/ --key $(cat "$STATE/$NAME-$1-$2/key")"; }
main "$@"
