#!/usr/bin/env bash
# hydrogen with two reactors and two workers. Give it two CPUs.
export REACTORS=2 WORKERS=2 HYDROGEN_MODES="rpc fanout guaranteed"
exec "$(dirname "$0")/hydrogen.sh" "$@"
