#!/usr/bin/env bash
# The story of an overload, on one machine: what the daemon can sign, four times as much from one login, mail that is not ours and
# another login at the same time, what is left two seconds later; then 1,900 connections that stall beside 100 that do not.
# Prints offered, signed, deferred, passed and lost messages, p50 and p99, and the daemon's memory. docs/overload.md has figures.
#
#   tests/overload.sh [SECONDS]     each load lasts so long; 60 where none is given
#
# The daemon is held on the first core and the load on the second, so it needs two that are idle. Builds with optimisations.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v taskset >/dev/null || { echo "tests/overload.sh: this needs taskset (util-linux)" >&2; exit 2; }
[ "$(nproc)" -ge 2 ] || { echo "tests/overload.sh: this needs two cores" >&2; exit 2; }
export WAXSEAL_STORY_SECONDS=${1:-60}
exec cargo test --release --locked --test overload -- --ignored --nocapture --test-threads 1 story
