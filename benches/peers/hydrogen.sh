#!/usr/bin/env bash
# hydrogen as it was built, with a key and a configuration made for the run; `-tls` modes with a
# certificate that signs itself. HYDROGEN names another binary than target/release/hydrogen.
source "$(dirname "$0")/common.sh"
MODES=${HYDROGEN_MODES:-rpc fanout guaranteed idle connect fanout-topics idle-tls connect-tls fanout-deflate
    signal}
HYDROGEN=${HYDROGEN:-$ROOT/target/release/hydrogen}
peer_install() { cargo build --release --manifest-path "$ROOT/Cargo.toml"; }
peer_version() {
    [ -x "$HYDROGEN" ] && echo "$("$HYDROGEN" --version), reactors: ${REACTORS:-1}, workers: ${WORKERS:-1}"
}
peer_command() {
    case $1 in *-tls) self_signed "$3" ;; esac
    hydrogen_configuration "$1" "$2" "$3" >"$3/hydrogen.conf"
    "$HYDROGEN" key create bench --permit admin --config "$3/hydrogen.conf" >"$3/key"
    command=("$HYDROGEN" serve --config "$3/hydrogen.conf")
}
# All that a run needs of the configuration, for MODE, PORT and DIR.
hydrogen_configuration() {
    local more="" sections=""
    case $1 in
        *-tls) more=", \"SecureMode\": \"tls\", \"CertificatePath\": \"$3/cert.pem\", \"KeyPath\": \"$3/key.pem\"" ;;
        *-deflate) more=', "Compression": {"Enabled": true}' ;;
        signal) sections='"Signaling": {"Enabled": true, "RateLimit": {"Requests": 0}, "PasswordLimit": {"Failures": 0}, "SignalBytesPerSecond": 0},' ;;
    esac
    cat <<CONF
{
  "DataDir": "$3/data", $sections
  "WebSocketServer": {
    "Port": $2, "MaxConnections": 100000, "ThreadPoolSize": ${WORKERS:-1}, "IoThreads": ${REACTORS:-1}$more
  }
}
CONF
}
peer_args() {
    case $1 in
        signal) echo "--protocol signaling $(url_of "$1" "$2")signaling" ;;
        *) echo "--protocol hydrogen $(url_of "$1" "$2") --key $(cat "$STATE/$NAME-$1-$2/key")" ;;
    esac
}
main "$@"
