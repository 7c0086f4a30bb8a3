#!/usr/bin/env bash
# Measures mailboxes beside kameo, ractor and bare flume: nanoseconds of wall and CPU time for each message.
#
# usage: scripts/mailbox.sh [CASE [LIBRARY]]
#
#   CASE      tell, ask, within, across or outside (all)
#   LIBRARY   windlass, kameo, ractor or flume (all)
#
# Needs two cores with nothing else running on them. benches/results/mailbox.md holds the recorded figures.
set -euo pipefail
source "$(dirname "$0")/lib/script.sh"

arguments=("$@") case='' library=''
if (($#)); then
    [[ $1 != -* ]] || other_argument "$1"
    take_choice case "tell ask within across outside" CASE "$1"
fi
if (($# > 1)); then
    [[ $2 != -* ]] || other_argument "$2"
    take_choice library "windlass kameo ractor flume" LIBRARY "$2"
fi
(($# < 3)) || other_argument "$3"

exec cargo run --quiet --release -p windlass-peers --no-default-features --features mailbox --bin mailbox \
    -- "${arguments[@]}"
