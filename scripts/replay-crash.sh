#!/usr/bin/env bash
# Kills the durable store and cuts its power again and again; an oracle judges what is left. One round is 24 kills,
# some 200 power cuts and 60 damaged files, about 10 s.
#
# Needs what the README names. Each run prints its seed; a run is repeated as nearly as threads allow by
#   WINDLASS_REPLAY_SEED=<seed> scripts/replay-crash.sh
#
#   scripts/replay-crash.sh [--rounds N]      (default 20)
set -euo pipefail
cd "$(dirname "$0")/.."

rounds=20
while (($#)); do
    case "$1" in
    --rounds) rounds="${2:?--rounds needs a number}"; shift 2 ;;
    *) echo "usage: $0 [--rounds N]" >&2; exit 2 ;;
    esac
done

export WINDLASS_REPLAY_ROUNDS="$rounds"
export RUST_BACKTRACE=0
run() { cargo test --quiet --package windlass --test replay "$@"; }
echo "==> kills and power cuts, $rounds rounds"
run -- kill:: cut:: --nocapture
# redb panics on some damaged files, which is caught; without --nocapture most of that is not shown.
echo "==> damaged files, $rounds rounds"
run failures::damage
echo "replay-crash.sh: everything acknowledged as fsynced was there"
