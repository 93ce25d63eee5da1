#!/usr/bin/env bash
# Has systemd check the units, and how much they shut off.
set -euo pipefail
cd "$(dirname "$0")/../.."
if ! command -v systemd-analyze >/dev/null; then
  echo "skipped: systemd-analyze is not here and cannot be installed"
  exit 0
fi
folder=$PWD/.test/systemd
rm -rf "$folder"
mkdir -p "$folder"
passed=0 failed=0
for unit in conf/systemd/*.service; do
  copy=$folder/$(basename "$unit")
  # The binary is not installed here: any that exists stands for it.
  sed 's#^ExecStart=/usr/bin/hydrogen#ExecStart=/bin/true#' "$unit" >"$copy"
  # An unknown key is a warning with exit code 0, so any output counts.
  if out=$(SYSTEMD_LOG_COLOR=0 systemd-analyze verify --man=no "$copy" 2>&1) && [ -z "$out" ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    printf 'FAILED verify %s\n%s\n' "$unit" "$out"
  fi
  if out=$(SYSTEMD_LOG_COLOR=0 systemd-analyze security --no-pager --offline=true --threshold=20 "$copy" 2>&1); then
    passed=$((passed + 1))
    tail -n 1 <<<"$out"
  else
    failed=$((failed + 1))
    printf 'FAILED security %s\n%s\n' "$unit" "$(grep -E '✗|→' <<<"$out" || echo "$out")"
  fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
