#!/usr/bin/env bash
# Measures how much slow work beside it delays the fast route: p99 of /demo/plaintext alone and under each load.
#
# Needs taskset (util-linux) and two cores. Exit status 1 when any p99 is more than 1.5 × the p99 alone.
#
# Loads:
#   work-64      64 connections ask for /demo/work?ms=50 without a pause: async jobs that sleep
#   async-512    512 async jobs in flight all the time (/demo/work?ms=1000)
#   burn         more blocking jobs than workers, each burns a core for 20 ms (/demo/burn?ms=20)
#   block        the same, each sleeps on its thread for 50 ms (/demo/block?ms=50)
#
# What is fair here, and why it is done so:
# - The fast route is asked on a schedule (open loop, --rate): a closed loop would ask less the slower the answers are
#   and hide the very delays looked for. A request that had to wait for a connection is measured from when it was due.
#   1,000 a second leave the server's core idle most of the time: the number is latency, not capacity.
# - The whole server, its pool included, is confined to --server-cores (core 0 alone unless told otherwise). That is
#   its worst case: jobs that burn compete with the shard for one core. It keeps the client's core clean, else
#   the numbers would show the client being delayed. On a larger machine give the server the cores it would have.
# - The probe has the client's core; the connections that make the load share it at nice 19, so that they delay the
#   probe no more than they must. Their requests start spread over one period of the load: started at once they
#   would stay in lockstep, and the p99 would tell the size of the burst that the client made.
# - Alone, the cores go idle between requests, so the p99 alone contains waking them. That is what an unloaded
#   server does, and it is left in: a ratio below 1 is possible. Medians of the passes are compared, and the
#   passes are interleaved (alone, each load, alone, …), so that the machine's own changes hit all of them.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'USAGE'
usage: scripts/isolation.sh [--quick] [--cases A,B] [--passes N] [--seconds S] [--rate R] [--workers N]
                            [--server-cores LIST] [--client-core N] [--server 'COMMAND'] [--no-build]
  --cases        work-64 async-512 burn block
  --passes       passes of each case (7; quick: 3)
  --seconds      length of one pass, whole seconds (4; quick: 2)
  --rate         requests a second to /demo/plaintext (1000)
  --workers      workers of the server's pool (2)
  --server       another server; {listen} becomes its address
USAGE
}

source scripts/lib/server.sh

LIMIT=1.5 BLOCKING_JOBS=16
cases=(work-64 async-512 burn block)
passes=7 seconds=4 rate=1000 workers=2 cores=0 CLIENT_CORE=1 server= build=yes
while (($#)); do
    case $1 in
        --quick) passes=3 seconds=2 ;;
        --cases) IFS=, read -ra cases <<<"$2"; shift ;;
        --passes) passes=$2; shift ;;
        --seconds) seconds=$2; shift ;;
        --rate) rate=$2; shift ;;
        --workers) workers=$2; shift ;;
        --server-cores) cores=$2; shift ;;
        --client-core) CLIENT_CORE=$2; shift ;;
        --server) server=$2; shift ;;
        --no-build) build= ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; die "unknown argument: $1" ;;
    esac
    shift
done
[[ $passes$seconds =~ ^[1-9][0-9]*$ ]] || die "--passes and --seconds take whole numbers"

BIN=${CARGO_TARGET_DIR:-target}/release
need taskset util-linux
(($(nproc) >= 2)) || die "two cores are needed: one for the server, one for the client"
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
    # The shard gets the first of the server's cores.
    command=("$BIN/windlass" serve --listen "$TARGET" --shards 1 --cores "${cores%%[,-]*}" --workers "$workers" --demo-blocking)
fi

fail() { say "isolation.sh: $*"; exit 1; }

# Loads the server from the client's core; the arguments are those of `load`.
load() { taskset -c "$CLIENT_CORE" "$BIN/load" --target "$TARGET" "$@"; }

# Becomes the load of a case, for as long as the probe runs and a little around it. Runs in the background.
make_load() {
    local around=$((seconds + 2))
    case $1 in
        work-64) set -- --path "/demo/work?ms=50" --connections 64 --ramp 0.05 ;;
        async-512) set -- --path "/demo/work?ms=1000" --connections 512 --ramp 1 ;;
        burn) set -- --path "/demo/burn?ms=20" --connections "$BLOCKING_JOBS" --ramp 0.3 ;;
        block) set -- --path "/demo/block?ms=50" --connections "$BLOCKING_JOBS" --ramp 0.3 ;;
        *) die "no such case: $1" ;;
    esac
    exec nice -n 19 taskset -c "$CLIENT_CORE" "$BIN/load" --target "$TARGET" --duration "$around" --timeout 20 "$@" >"$WORK/load"
}

# One pass of a case: sets P50 and P99 of the fast route, µs.
measure() {
    local loader= result
    if [[ $1 != alone ]]; then
        make_load "$1" &
        loader=$!
        STARTED+=("$loader")
        # The slowest load needs a second until all its jobs are in flight.
        sleep 1.2
    fi
    result=$(load --rate "$rate" --connections 16 --duration "$seconds") || { say "$result"; fail "the fast route fails beside $1"; }
    if [[ $loader ]]; then
        wait "$loader" || { cat "$WORK/load" >&2; fail "the load $1 fails"; }
        unset 'STARTED[-1]'
    fi
    P50=$(value p50_us <<<"$result") P99=$(value p99_us <<<"$result")
}

start_server "$cores" "$PORT" "${command[@]}"
load --rate "$rate" --connections 16 --duration 1 >"$WORK/warm-up" || { cat "$WORK/warm-up" >&2; fail "the server does not serve /demo/plaintext"; }

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
    ratio=$(awk -v a="$p99" -v b="$alone" 'BEGIN { printf "%.2f", a / b }')
    verdict=ok
    if awk -v r="$ratio" -v limit="$LIMIT" 'BEGIN { exit !(r > limit) }'; then
        verdict="too slow" status=1
    fi
    echo "| $case | $(median <"$WORK/$case.p50") | $p99 | $ratio | $verdict |"
done
sort -g "$WORK/alone.p99" | awk 'NR == 1 { low = $1 } END { if ($1 > 3 * low)
    printf "\nThe p99 alone ranges from %s to %s: this machine is not quiet, repeat.\n", low, $1 }'
exit $status
