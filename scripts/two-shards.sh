#!/usr/bin/env bash
# Measures what a second shard costs the first: the CPU time per request of each of two shards of one server
# against that of two servers with one shard each. Exit status 1 if a shard needs more than 1.05 × as much.
#
# usage: scripts/two-shards.sh [OPTION]…
#
#   --quick           short: --passes 3 --seconds 2
#   --passes N        passes of each case (9; quick: 3)
#   --seconds N       length of one pass (3; quick: 2)
#   --rate N          requests per second to each shard (16000)
#   --engine ENGINE   io_uring or epoll (io_uring)
#   --cores A,B       the two cores (0,1)
#   --no-build        uses the binaries from an earlier run
#
# Needs two cores, taskset (util-linux) and curl.
#
# Method:
# - Servers and clients share the two cores, because no others can be expected. So the baseline is not one
#   shard that has the machine to itself. It is two independent servers, one per core, under the same clients.
#   The machine does the same work in both cases. They differ only in what two shards of one process share:
#   memory, allocator, file descriptors, counters, and the group of listening sockets.
# - Nothing is saturated. The clients send on a schedule (open loop, --rate per shard), which together with
#   the client takes about half of each core. Both cases answer as many requests in the same time, and neither
#   gains by larger batches.
# - In both cases two clients run, one on each core, and each shard gets requests from both. A client spreads
#   its connections over the two servers at random, as the kernel spreads them over the shards of one server
#   (SO_REUSEPORT, by hash). Taking turns would space the requests more evenly and reduce batching.
# - The CPU time of a shard is that of its thread (/proc/PID/task/*/schedstat, ns). Its requests are those the
#   server counted for it (windlass_requests_dispatched_total at /metrics). A shard to which the kernel gives
#   more connections gets more requests; a difference of the rates of some per cent is not corrected.
# - The passes of the two cases are interleaved and their medians compared.
set -euo pipefail
source "$(dirname "$0")/lib/script.sh"

LIMIT=1.05 CONNECTIONS=128
passes=9 seconds=3 rate=16000 engine=io_uring pair=0,1 build=yes
while (($#)); do
    case $1 in
        --quick) passes=3 seconds=2 ;;
        --passes) take_number passes "$@"; shift ;;
        --seconds) take_number seconds "$@"; shift ;;
        --rate) take_number rate "$@"; shift ;;
        --engine) take_choice engine "io_uring epoll" "$@"; shift ;;
        --cores) take_cores pair "$@"; shift ;;
        --no-build) build= ;;
        *) other_argument "$1" ;;
    esac
    shift
done
[[ $pair =~ ^([0-9]+),([0-9]+)$ && ${BASH_REMATCH[1]} != "${BASH_REMATCH[2]}" ]] ||
    die "--cores: '$pair' is not two different cores such as 0,1"
cores=("${BASH_REMATCH[@]:1}")

source scripts/lib/server.sh
BIN=$(target_dir)/release
need taskset util-linux
need curl curl
need_two_cores
if [[ $build ]]; then
    say "building (release)"
    cargo build --release --quiet --bin windlass
    cargo build --release --quiet -p windlass-peers --no-default-features --bin load
fi

# start CORES: starts a server with a shard on each of these cores; sets PORT and SERVER_PID.
start() {
    pick_port
    start_server "$1" "$PORT" "$BIN/windlass" serve --engine "$engine" --listen "127.0.0.1:$PORT" --cores "$1"
}

# shards PORT PID: prints the CPU time (ns) and the requests of each shard of a server, one line per shard.
shards() {
    local port=$1 pid=$2 page task run rest shard requests
    local -a cpu=()
    page=$(curl -sf "http://127.0.0.1:$port/metrics") || fail "the server on port $port serves no metrics"
    # The executor of a shard may have a helper thread of the same name, which counts as the shard.
    for task in "/proc/$pid/task"/*; do
        [[ $(<"$task/comm") =~ ^windlass-([0-9]+)$ ]] || continue
        read -r run rest <"$task/schedstat"
        cpu[BASH_REMATCH[1]]=$((${cpu[BASH_REMATCH[1]]:-0} + run))
    done
    for shard in "${!cpu[@]}"; do
        requests=$(grep '^windlass_requests_dispatched_total' <<<"$page" |
            awk -v label="shard=\"$shard\"" 'index($0, label) { n += $2 } END { print n + 0 }')
        echo "${cpu[shard]} $requests"
    done
}

# ask PORT PORT: sends requests to both ports from both cores, for the length of a pass.
ask() {
    local core clients=() client
    for core in "${cores[@]}"; do
        taskset -c "$core" "$BIN/load" --target "127.0.0.1:$1,127.0.0.1:$2" --connections "$CONNECTIONS" \
            --rate "$rate" --duration "$seconds" >"$WORK/load-$core" &
        clients+=($!)
    done
    for client in "${clients[@]}"; do
        wait "$client" || { cat "$WORK"/load-* >&2; fail "a client failed"; }
    done
}

# measure NAME PORT PID PORT PID: runs one pass with the server of each shard, which may be the same one
# twice. Appends the CPU time per request of each shard, in µs, to $WORK/NAME.0 and $WORK/NAME.1.
measure() {
    local name=$1 before after shard figures
    before=$(shards "$2" "$3"; [[ $2 == "$4" ]] || shards "$4" "$5")
    ask "$2" "$4"
    after=$(shards "$2" "$3"; [[ $2 == "$4" ]] || shards "$4" "$5")
    paste -d' ' <(echo "$before") <(echo "$after") |
        awk '{ printf "%.4f %d\n", ($3 - $1) / 1e3 / ($4 - $2), $4 - $2 }' >"$WORK/pass"
    (($(wc -l <"$WORK/pass") == 2)) || fail "$name: the number of shards is not two"
    for shard in 0 1; do sed -n "$((shard + 1))s/ .*//p" "$WORK/pass" >>"$WORK/$name.$shard"; done
    figures=$(awk '{ printf "%s%s µs/request (%d requests)", (NR > 1 ? ", " : ""), $1, $2 }' "$WORK/pass")
    say "  pass $pass/$passes  $name: $figures"
}

start "${cores[0]}"
port_a=$PORT pid_a=$SERVER_PID
start "${cores[1]}"
port_b=$PORT pid_b=$SERVER_PID
start "${cores[0]},${cores[1]}"
port_both=$PORT pid_both=$SERVER_PID
say "warming up"
seconds=1 ask "$port_a" "$port_b"
seconds=1 ask "$port_both" "$port_both"
for ((pass = 1; pass <= passes; pass++)); do
    measure two-servers "$port_a" "$pid_a" "$port_b" "$pid_b"
    measure two-shards "$port_both" "$pid_both" "$port_both" "$pid_both"
done

echo "CPU time per request at $rate requests/s per shard, engine $engine," \
    "medians of $passes interleaved passes of $seconds s;" \
    "servers and clients on cores ${cores[*]}, limit $LIMIT."
echo
echo "| shard | own server µs | one of two shards µs | ratio | |"
echo "|---|---|---|---|---|"
status=0
for shard in 0 1; do
    own=$(median <"$WORK/two-servers.$shard")
    shared=$(median <"$WORK/two-shards.$shard")
    if above "$shared" "$own" "$LIMIT"; then verdict="too much" status=1; else verdict=ok; fi
    printf '| %s | %.2f | %.2f | %s | %s |\n' \
        "$shard" "$own" "$shared" "$(ratio "$shared" "$own" 3)" "$verdict"
done
exit $status
