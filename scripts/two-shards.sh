#!/usr/bin/env bash
# Measures what a second shard costs the first: CPU time per request of each of two shards of one server against that
# of two servers of one shard each. Exit status 1 when a shard needs more than 1.05 × as much.
#
# Needs taskset (util-linux), curl and two cores. The bound is on the engine asked for (--engine, io_uring).
#
# What is fair here, and why it is done so:
# - Servers and clients share the two cores, because there are no others to count on. So the baseline is not one shard
#   that has the machine to itself: it is two servers that know nothing of each other, one on each core, under the
#   same clients. The machine does the same work in both cases; what differs is only what two shards of one process
#   share: its memory, its allocator, its file descriptors, its counters, its listener's group of sockets.
# - Nothing is saturated: the clients ask on a schedule (open loop, --rate a second and shard; with the client, about half
#   of each core), so that both cases answer as many requests in the same time and neither gains by batching more.
# - In both cases two clients run, one on each core, so that each shard is asked from both. A client spreads its
#   connections over the two servers at random, as the kernel spreads them over the shards of one server
#   (SO_REUSEPORT, by hash): taking turns would space the requests more evenly and let less be batched.
# - A shard's CPU time is that of its thread (/proc/PID/task/*/schedstat, ns), its requests are what the server counted
#   for it (windlass_requests_dispatched_total at /metrics). A shard that the kernel gives more connections is asked
#   more: a difference of the rates of some per cent is left in.
# - The passes of the two cases are interleaved and their medians compared.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'USAGE'
usage: scripts/two-shards.sh [--quick] [--passes N] [--seconds S] [--rate R] [--engine E] [--cores A,B] [--no-build]
  --passes       passes of each case (9; quick: 3)
  --seconds      length of one pass, whole seconds (3; quick: 2)
  --rate         requests a second to each shard (16000)
  --engine       io_uring or epoll (io_uring)
  --cores        the two cores (0,1)
USAGE
}

source scripts/lib/server.sh

LIMIT=1.05 CONNECTIONS=128
passes=9 seconds=3 rate=16000 engine=io_uring cores=(0 1) build=yes
while (($#)); do
    case $1 in
        --quick) passes=3 seconds=2 ;;
        --passes) passes=$2; shift ;;
        --seconds) seconds=$2; shift ;;
        --rate) rate=$2; shift ;;
        --engine) engine=$2; shift ;;
        --cores) IFS=, read -ra cores <<<"$2"; shift ;;
        --no-build) build= ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; die "unknown argument: $1" ;;
    esac
    shift
done
[[ $passes$seconds$rate =~ ^[1-9][0-9]*$ ]] || die "--passes, --seconds and --rate take whole numbers"
((${#cores[@]} == 2)) || die "--cores takes two"

BIN=${CARGO_TARGET_DIR:-target}/release
need taskset util-linux
need curl curl
(($(nproc) >= 2)) || die "two cores are needed"
if [[ $build ]]; then
    say "building (release)"
    cargo build --release --quiet --bin windlass
    cargo build --release --quiet -p windlass-peers --no-default-features --bin load
fi

fail() { say "two-shards.sh: $*"; exit 1; }

# Starts a server with a shard on each of these cores (a comma-separated list); sets PORT and SERVER_PID.
start() {
    pick_port
    start_server "$1" "$PORT" "$BIN/windlass" serve --engine "$engine" --listen "127.0.0.1:$PORT" --cores "$1"
}

# Prints CPU time (ns) and requests of each shard of a server, a line a shard.
shards() {
    local port=$1 pid=$2 page task run rest shard
    local -a cpu=()
    page=$(curl -sf "http://127.0.0.1:$port/metrics") || fail "no metrics"
    # The executor of a shard may have a helping thread, which has the shard's name and counts as the shard.
    for task in "/proc/$pid/task"/*; do
        [[ $(<"$task/comm") =~ ^windlass-([0-9]+)$ ]] || continue
        read -r run rest <"$task/schedstat"
        cpu[BASH_REMATCH[1]]=$((${cpu[BASH_REMATCH[1]]:-0} + run))
    done
    for shard in "${!cpu[@]}"; do
        echo "${cpu[shard]} $(awk -v label="shard=\"$shard\"" '/^windlass_requests_dispatched_total/ && index($0, label) { n += $2 } END { print n + 0 }' <<<"$page")"
    done
}

# Asks the two ports from both cores for the length of a pass.
ask() {
    local core clients=() client
    for core in "${cores[@]}"; do
        taskset -c "$core" "$BIN/load" --target "127.0.0.1:$1,127.0.0.1:$2" --connections "$CONNECTIONS" --rate "$rate" \
            --duration "$seconds" >"$WORK/load-$core" &
        clients+=($!)
    done
    for client in "${clients[@]}"; do wait "$client" || { cat "$WORK"/load-* >&2; fail "a client fails"; }; done
}

# One pass: NAME, then PORT and PID of the server of each shard, which may be the same one twice. Appends the µs of
# CPU per request of each shard to NAME.0 and NAME.1.
measure() {
    local name=$1 before after shard
    before=$(shards "$2" "$3"; [[ $2 == "$4" ]] || shards "$4" "$5")
    ask "$2" "$4"
    after=$(shards "$2" "$3"; [[ $2 == "$4" ]] || shards "$4" "$5")
    paste -d' ' <(echo "$before") <(echo "$after") | awk '{ printf "%.4f %d\n", ($3 - $1) / 1e3 / ($4 - $2), $4 - $2 }' >"$WORK/pass"
    (($(wc -l <"$WORK/pass") == 2)) || fail "there are not two shards"
    for shard in 0 1; do sed -n "$((shard + 1))s/ .*//p" "$WORK/pass" >>"$WORK/$name.$shard"; done
    say "  pass $pass/$passes  $name: $(awk '{ printf "%s%s µs/request (%d requests)", (NR > 1 ? ", " : ""), $1, $2 }' "$WORK/pass")"
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

echo "CPU time per request at $rate requests/s a shard, engine $engine, medians of $passes interleaved passes of $seconds s;"
echo "servers and clients on cores ${cores[*]}, limit $LIMIT."
echo
echo "| shard | of a server of its own µs | one of two shards µs | ratio | |"
echo "|---|---|---|---|---|"
status=0
for shard in 0 1; do
    own=$(median <"$WORK/two-servers.$shard")
    shared=$(median <"$WORK/two-shards.$shard")
    ratio=$(awk -v a="$shared" -v b="$own" 'BEGIN { printf "%.3f", a / b }')
    verdict=ok
    if awk -v r="$ratio" -v limit="$LIMIT" 'BEGIN { exit !(r > limit) }'; then verdict="too much" status=1; fi
    printf '| %s | %.2f | %.2f | %s | %s |\n' "$shard" "$own" "$shared" "$ratio" "$verdict"
done
exit $status
