#!/usr/bin/env bash
# Runs test suites one after another, and sums up what they say.
#
#   suites.sh [SUITE...]      all of them by default; `suites.sh --list` names them
#
# A suite passes if its exit code is 0. Its counts are read from what it prints: `N passed, N failed`, pytest's last line, or the
# results of cargo. `skipped: why` on a line of its own says that it could not run here, `left out: why` that a part of it
# could not.
set -uo pipefail
cd "$(dirname "$0")/../.."
here=tests/conformance
logs=$PWD/.test/log
cargo=${CARGO:-cargo}
python=$PWD/.test/venv/bin/python
export HYDROGEN_BIN=${HYDROGEN_BIN:-$PWD/target/release/hydrogen} PYTHONDONTWRITEBYTECODE=1 CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}

all=(fmt clippy cargo build costs protocol autobahn http promtool systemd browser webrtc)

suite_fmt() { $cargo fmt --all --check; }
suite_clippy() { $cargo clippy --locked --all-targets -- -D warnings; }
suite_cargo() { $cargo test --locked --no-fail-fast; }
suite_build() { $cargo build --locked --release --bin hydrogen; }
suite_costs() { $cargo test --locked --test costs -- --nocapture && benches/costs.py; }
suite_protocol() { (cd $here && "$python" -m pytest); }
suite_autobahn() { $here/autobahn.sh; }
suite_http() {
  [ -d .test/gunicorn-27.0.1/tests/requests ] || { echo "skipped: the corpus cannot be fetched"; return 0; }
  "$python" $here/http_corpus.py .test/gunicorn-27.0.1/tests/requests
}
suite_promtool() { $here/promtool.sh; }
suite_systemd() { $here/systemd.sh; }
suite_browser() { "$python" $here/browser.py; }
suite_webrtc() { "$python" $here/webrtc.py; }

# count WORD LOG : the sum over cargo's results, or the number in the last line of counts
count() {
  if grep -q '^test result:' "$2"; then
    grep '^test result:' "$2" | grep -oE "[0-9]+ $1" | awk '{sum += $1} END {print sum + 0}'
  else
    grep -E '[0-9]+ (passed|failed|skipped|errors?)' "$2" | tail -n 1 | grep -oE "[0-9]+ ($1)" | awk '{sum += $1} END {print sum + 0}'
  fi
}

if [ "${1:-}" = --list ]; then
  printf '%s\n' "${all[@]}"
  exit 0
fi
[ $# -gt 0 ] || set -- "${all[@]}"
mkdir -p "$logs"
table=() passed=0 failed=0 skipped=0
for suite in "$@"; do
  if ! declare -F "suite_$suite" >/dev/null; then
    echo "there is no suite $suite; there are: ${all[*]}" >&2
    exit 2
  fi
  printf '\n== %s\n' "$suite"
  log=$logs/$suite.log
  SECONDS=0
  "suite_$suite" 2>&1 | tee "$log"
  code=${PIPESTATUS[0]}
  why=$(grep -oE '^skipped: .*' "$log" | tail -n 1)
  good=$(count passed "$log") bad=$(count 'failed|errors?' "$log")
  if [ "$code" = 0 ] && [ -n "$why" ]; then
    skipped=$((skipped + 1))
    table+=("$(printf '%-10s %s' "$suite" "$why")")
    continue
  fi
  # A step without counts is one test; one that breaks off without a failure is one failure.
  if [ "$code" = 0 ] && [ "$((good + bad))" = 0 ]; then good=1; fi
  if [ "$code" != 0 ] && [ "$bad" = 0 ]; then bad=1; fi
  passed=$((passed + good)) failed=$((failed + bad))
  table+=("$(printf '%-10s %5d passed, %d failed  (%d s)' "$suite" "$good" "$bad" "$SECONDS")")
  # The harness of cargo may have begun the line.
  while read -r why; do table+=("$(printf '%-10s %s' '' "$why")"); done < <(grep -oE '(^|\.\.\. )left out: .*' "$log" | sed 's/^\.\.\. //')
done
printf '\n== summary\n'
printf '%s\n' "${table[@]}"
printf '%d passed, %d failed, %d suites skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" = 0 ]
