#!/usr/bin/env bash
# Kills the durable store and cuts its power over and over, and checks what is left against an oracle.
#
# usage: scripts/replay-crash.sh [--rounds N]
#
#   --rounds N   number of rounds (20); one is 24 kills, about 200 power cuts and 60 damaged files, some 10 s
#
# Needs what the README names. Each run prints its seed. To repeat a run as closely as threads allow:
#   WINDLASS_REPLAY_SEED=SEED scripts/replay-crash.sh
set -euo pipefail
source "$(dirname "$0")/lib/script.sh"

rounds=20
while (($#)); do
    case $1 in
        --rounds) take_number rounds "$@"; shift 2 ;;
        *) other_argument "$1" ;;
    esac
done

export WINDLASS_REPLAY_ROUNDS="$rounds"
export RUST_BACKTRACE=0
run() { cargo test --quiet --package windlass --test replay "$@"; }
say "kills and power cuts, $rounds rounds"
run -- kill:: cut:: --nocapture
# redb panics on some damaged files. The store catches that; without --nocapture most of the output is hidden.
say "damaged files, $rounds rounds"
run failures::damage
say "every event acknowledged as fsynced was there"
