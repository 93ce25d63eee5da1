#!/usr/bin/env bash
# Has Prometheus' own tool check the text of /metrics, fresh and after some use.
set -euo pipefail
cd "$(dirname "$0")/../.."
promtool=$(command -v promtool || echo "$PWD/.test/prometheus/usr/bin/promtool")
if [ ! -x "$promtool" ]; then
  echo "skipped: promtool is not here and cannot be installed"
  exit 0
fi
.test/venv/bin/python tests/conformance/scrape.py .test/metrics
passed=0 failed=0
for text in .test/metrics/*.txt; do
  # Exit code 1 is text that cannot be read, 3 names or help that Prometheus' rules do not like.
  if out=$("$promtool" check metrics <"$text" 2>&1) && [ -z "$out" ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    printf 'FAILED %s\n%s\n' "$text" "$out"
  fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
