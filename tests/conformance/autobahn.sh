#!/usr/bin/env bash
# The Autobahn test suite against the server's echo: groups 1 to 7, 9 and 10, and a part of 12 and 13.
#
#   autobahn.sh [SET...]          SETs: core limits compressed (all by default), and compression: all of 12 and 13
#   AUTOBAHN_URL=ws://… autobahn.sh   tries another echo server
#
# wstest wants CPython 2.7, which is looked for in pyenv's folder and on the path. Where there is none it says so, and skips.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=tests/conformance
state=$PWD/.test/autobahn

find_python2() {
  local found
  for found in "${PYTHON2:-}" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7.*/bin/python2.7 "$(command -v python2.7 || true)"; do
    if [ -n "$found" ] && [ -x "$found" ]; then
      echo "$found"
      return
    fi
  done
}

if [ ! -x "$state/venv/bin/wstest" ]; then
  python2=$(find_python2)
  if [ -z "$python2" ]; then
    echo "skipped: wstest needs CPython 2.7, and there is none"
    exit 0
  fi
  rm -rf "$state/venv" "$state/boot"
  mkdir -p "$state"
  # The last releases that run on 2.7.
  if ! { "$python2" -m pip install -q --disable-pip-version-check --target "$state/boot" \
    virtualenv==20.15.1 filelock==3.2.1 platformdirs==2.0.2 &&
    PYTHONPATH="$state/boot" "$python2" -m virtualenv -q "$state/venv" &&
    "$state/venv/bin/pip" install -q --disable-pip-version-check autobahntestsuite==25.10.1; } >"$state/install.log" 2>&1; then
    tail -n 20 "$state/install.log"
    rm -rf "$state/venv"
    echo "skipped: wstest cannot be installed"
    exit 0
  fi
fi
[ $# -gt 0 ] || set -- core limits compressed
exec "${PYTHON:-.test/venv/bin/python}" "$here/autobahn.py" "$state" "$@"
