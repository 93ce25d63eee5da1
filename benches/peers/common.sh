# Shared by the scripts here, one for each server to measure. Each takes
#   install            fetch or build what the server needs
#   version            what is measured; fails if it is not installed
#   modes              what it can do: echo fanout guaranteed rpc idle connect; fanout-topics
#                      where it knows topics; with TLS or compression idle-tls connect-tls fanout-deflate
#   start MODE PORT    start it on 127.0.0.1:PORT and print its process ids, comma-separated
#   args MODE PORT     the arguments of `hydrogen bench` that go with it
#   stop MODE PORT     stop what start has started, and remove what it has stored
# and defines: MODES, peer_install, peer_version, peer_args MODE PORT, and
# peer_command MODE PORT DIR, which prepares DIR and sets the array `command`. What a server stores
# goes to DIR/data, which is empty then. One of several processes also defines peer_pids PID.

set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
STATE=${HYDROGEN_PEERS_DIR:-$ROOT/target/peers}
NAME=$(basename "$0" .sh)

# The processes whose time is measured, for the one that was started.
peer_pids() { echo "$1"; }

apt_install() {
    if [ "$(id -u)" != 0 ]; then
        echo "$NAME: install the package $1 (as root: apt-get install $1)" >&2
        return 1
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}

# A certificate for 127.0.0.1 that signs itself, as DIR/cert.pem and DIR/key.pem.
self_signed() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
        -addext subjectAltName=IP:127.0.0.1 -keyout "$1/key.pem" -out "$1/cert.pem" 2>"$1/openssl.log"
}

# The --url of a WebSocket server for MODE and PORT, with what goes with it.
url_of() {
    case $1 in
        *-tls) echo "--url wss://127.0.0.1:$2/ --insecure" ;;
        *-deflate) echo "--url ws://127.0.0.1:$2/ --deflate" ;;
        *) echo "--url ws://127.0.0.1:$2/" ;;
    esac
}

is_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

start() {
    local mode=$1 port=$2 dir pid
    dir=$STATE/$NAME-$mode-$port
    mkdir -p "$dir"
    if is_open "$port"; then
        echo "$NAME: port $port is taken" >&2
        return 1
    fi
    # Nothing of an earlier run: its store would be part of what is measured.
    rm -rf "$dir/data"
    mkdir -p "$dir/data"
    peer_command "$mode" "$port" "$dir"
    ulimit -n "$(ulimit -Hn)"
    setsid "${command[@]}" >"$dir/log" 2>&1 </dev/null &
    pid=$!
    echo "$pid" >"$dir/pid"
    for _ in $(seq 100); do
        if ! kill -0 "$pid" 2>/dev/null; then break; fi
        if is_open "$port"; then
            peer_pids "$pid"
            return 0
        fi
        sleep 0.05
    done
    echo "$NAME: it did not start; the end of its log:" >&2
    tail -n 5 "$dir/log" >&2
    stop "$mode" "$port"
    return 1
}

stop() {
    local dir=$STATE/$NAME-$1-$2 pid
    [ -f "$dir/pid" ] || return 0
    pid=$(cat "$dir/pid")
    rm -f "$dir/pid"
    end "$pid"
    rm -rf "$dir/data"
}

end() {
    kill "$1" 2>/dev/null || return 0
    for _ in $(seq 60); do
        kill -0 "$1" 2>/dev/null || return 0
        sleep 0.05
    done
    kill -9 "$1" 2>/dev/null || true
}

can() {
    case " $MODES " in
        *" $1 "*) ;;
        *) echo "$NAME: has no $1" >&2; return 1 ;;
    esac
}

main() {
    case ${1:-} in
        install) peer_install ;;
        version) peer_version ;;
        modes) echo "$MODES" ;;
        start) can "$2" && start "$2" "$3" ;;
        args) can "$2" && peer_args "$2" "$3" ;;
        stop) stop "$2" "$3" ;;
        *)
            echo "usage: $0 install | version | modes | start MODE PORT | args MODE PORT | stop MODE PORT" >&2
            return 2
            ;;
    esac
}
