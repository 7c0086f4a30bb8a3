#!/usr/bin/env bash
# Measures mailboxes beside kameo, ractor and bare flume: nanoseconds of wall and CPU time for each message.
#
# usage: scripts/mailbox.sh [WHAT [WHO]]     WHAT: tell, ask, within, across, outside; WHO: windlass, kameo, ractor, flume
#
# Needs two cores and nothing else running on them. benches/results/mailbox.md holds what was measured.
set -euo pipefail
cd "$(dirname "$0")/.."

exec cargo run --quiet --release -p windlass-peers --no-default-features --features mailbox --bin mailbox -- "$@"
