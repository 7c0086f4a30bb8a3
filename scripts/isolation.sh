#!/usr/bin/env bash
# Measures how much slow work delays the fast route: the p99 of /demo/plaintext alone and beside each load.
# Exit status 1 if a p99 is more than 1.5 × the p99 alone.
#
# usage: scripts/isolation.sh [OPTION]…
#
#   --quick                short: --passes 3 --seconds 2
#   --cases NAMES          work-64, async-512, burn, block; separated by commas (all)
#   --passes N             passes of each case (7; quick: 3)
#   --seconds N            length of one pass (4; quick: 2)
#   --rate N               requests per second to /demo/plaintext (1000)
#   --workers N            workers of the pool of the server (2)
#   --server-cores CORES   cores of the server, such as 0,2-3 (0)
#   --client-core CORE     core of the clients (1)
#   --server COMMAND       another server; {listen} becomes its address
#   --no-build             uses the binaries from an earlier run
#
# Needs two cores and taskset (util-linux).
#
# Cases:
#   work-64     64 connections request /demo/work?ms=50 without a pause: async jobs that sleep
#   async-512   512 async jobs in flight at any time (/demo/work?ms=1000)
#   burn        more blocking jobs than workers, each of which burns a core for 20 ms (/demo/burn?ms=20)
#   block       the same, each of which sleeps on its thread for 50 ms (/demo/block?ms=50)
#
# Method:
# - Requests to the fast route are sent on a schedule (open loop, --rate). A closed loop would send fewer the
#   slower the replies are, and hide the delays. The latency of a request that waits for a connection runs
#   from its scheduled time. 1,000 per second leave the core of the server mostly idle: the figure is latency,
#   not capacity.
# - The whole server, its pool included, is confined to --server-cores. Core 0 alone is its worst case: jobs
#   that burn compete with the shard for one core. It keeps the core of the client free; otherwise the figures
#   would show a delayed client. On a larger machine, give the server the cores that it would have.
# - The probe has the client core. The connections that generate the load share it at nice 19, so that they
#   hardly delay the probe. Their requests start spread over one period of the load; started together they
#   would stay in step, and the p99 would show the size of the burst.
# - Alone, the cores go idle between requests, so the p99 alone includes waking them. That is the behaviour of
#   an unloaded server, and a ratio below 1 is possible. Medians of the passes are compared, and the passes
#   are interleaved (alone, each load, alone, …), so that a change of the machine affects all of them.
set -euo pipefail
source "$(dirname "$0")/lib/script.sh"

LIMIT=1.5 BLOCKING_JOBS=16
cases=(work-64 async-512 burn block)
passes=7 seconds=4 rate=1000 workers=2 cores=0 CLIENT_CORE=1 server= build=yes
while (($#)); do
    case $1 in
        --quick) passes=3 seconds=2 ;;
        --cases) take_choices cases "work-64 async-512 burn block" "$@"; shift ;;
        --passes) take_number passes "$@"; shift ;;
        --seconds) take_number seconds "$@"; shift ;;
        --rate) take_number rate "$@"; shift ;;
        --workers) take_number workers "$@"; shift ;;
        --server-cores) take_cores cores "$@"; shift ;;
        --client-core) take_core CLIENT_CORE "$@"; shift ;;
        --server) take_text server "$@"; shift ;;
        --no-build) build= ;;
        *) other_argument "$1" ;;
    esac
    shift
done

source scripts/lib/server.sh
BIN=$(target_dir)/release
need taskset util-linux
need_two_cores
ulimit -n "$(ulimit -Hn)"
if [[ $build ]]; then
    say "building (release)"
    [[ $server ]] || cargo build --release --quiet --bin windlass
    cargo build --release --quiet -p windlass-peers --no-default-features --bin load
fi

pick_port
TARGET=127.0.0.1:$PORT
if [[ $server ]]; then
    read -ra command <<<"${server//\{listen\}/$TARGET}"
else
    # The shard runs on the first of the cores.
    command=("$BIN/windlass" serve --listen "$TARGET" --shards 1 --cores "${cores%%[,-]*}"
        --workers "$workers" --demo-blocking)
fi

# Loads the server from the client core; the arguments are those of `load`.
load() { taskset -c "$CLIENT_CORE" "$BIN/load" --target "$TARGET" "$@"; }

# make_load CASE: becomes the load generator of a case, for the background; runs a little longer than the
# probe.
make_load() {
    local around=$((seconds + 2))
    case $1 in
        work-64) set -- --path "/demo/work?ms=50" --connections 64 --ramp 0.05 ;;
        async-512) set -- --path "/demo/work?ms=1000" --connections 512 --ramp 1 ;;
        burn) set -- --path "/demo/burn?ms=20" --connections "$BLOCKING_JOBS" --ramp 0.3 ;;
        block) set -- --path "/demo/block?ms=50" --connections "$BLOCKING_JOBS" --ramp 0.3 ;;
    esac
    exec nice -n 19 taskset -c "$CLIENT_CORE" \
        "$BIN/load" --target "$TARGET" --duration "$around" --timeout 20 "$@" >"$WORK/load"
}

# measure CASE: runs one pass; sets P50 and P99 of the fast route, in µs.
measure() {
    local loader=
    if [[ $1 != alone ]]; then
        make_load "$1" &
        loader=$!
        STARTED+=("$loader")
        # The slowest load takes a second to have all its jobs in flight.
        sleep 1.2
    fi
    load --rate "$rate" --connections 16 --duration "$seconds" >"$WORK/fast" ||
        fail_with "$WORK/fast" "the fast route failed beside $1"
    if [[ $loader ]]; then
        wait "$loader" || fail_with "$WORK/load" "the load $1 failed"
        unset 'STARTED[-1]'
    fi
    P50=$(value p50_us <"$WORK/fast") P99=$(value p99_us <"$WORK/fast")
}

start_server "$cores" "$PORT" "${command[@]}"
load --rate "$rate" --connections 16 --duration 1 >"$WORK/warm-up" ||
    fail_with "$WORK/warm-up" "the server does not serve /demo/plaintext"

for ((pass = 1; pass <= passes; pass++)); do
    for case in alone "${cases[@]}"; do
        measure "$case"
        echo "$P50" >>"$WORK/$case.p50"
        echo "$P99" >>"$WORK/$case.p99"
        say "  pass $pass/$passes  $case: p50 $P50 µs, p99 $P99 µs"
    done
done

alone=$(median <"$WORK/alone.p99")
echo "p99 of /demo/plaintext at $rate requests/s, medians of $passes interleaved passes of $seconds s;"
echo "server on cores $cores, client on core $CLIENT_CORE, limit $LIMIT."
echo
echo "| beside | p50 µs | p99 µs | × alone | |"
echo "|---|---|---|---|---|"
status=0
for case in alone "${cases[@]}"; do
    p99=$(median <"$WORK/$case.p99")
    if above "$p99" "$alone" "$LIMIT"; then verdict="too slow" status=1; else verdict=ok; fi
    echo "| $case | $(median <"$WORK/$case.p50") | $p99 | $(ratio "$p99" "$alone") | $verdict |"
done
sort -g "$WORK/alone.p99" | awk 'NR == 1 { low = $1 } END { if ($1 > 3 * low)
    printf "\nThe p99 alone ranges from %s to %s: this machine is not idle, run again.\n", low, $1 }'
exit $status
