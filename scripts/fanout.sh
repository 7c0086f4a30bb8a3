#!/usr/bin/env bash
# Measures what fan-out does to others: a stalled subscriber to the publisher, and a topic with a thousand subscribers
# to inline routes. Exit status 1 when a ratio is above its limit.
#
# Needs taskset and chrt (util-linux), curl and two cores.
#
# Cases:
#   stalled      publishing on a topic with 1,000 subscribers of which one reads nothing, against 1,000 that read: the
#                median time from sending an event to its answer, at most 1.2 ×
#   stalled-ws   the same over WebSockets, and there the p99 from publishing to delivery counts, at most 1.2 ×: events
#                that find the stalled one's mailbox full are dropped
#   stalled-ws-close  likewise, where it is closed for that
#   inline       p99 of /demo/plaintext while a topic with 1,000 subscribers loads half of the server's core, against
#                alone: at most 1.5 ×
#
# What is fair here, and why it is done so:
# - The stalled subscriber's receive buffer is fixed at the least the kernel gives, so the server's send buffer stays
#   at its first size; 8 MiB are published before the pass, so that socket, outbox and mailbox are full from the
#   beginning. That they were is checked: the server must have counted a drop for each event of the pass, or that it
#   closed the subscription.
# - Events and requests are made on a schedule (open loop); for the probe of inline routes see isolation.sh.
# - How many events load half of a core depends on the machine: the rate is found by measuring, and the load that it
#   made stands in the table.
# - The probe has the client's core; the subscribers share it as SCHED_IDLE tasks, which the kernel stops at once when
#   the probe has something to do: else the numbers would show the client being delayed.
# - Medians of the passes are compared, and the passes are interleaved.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'USAGE'
usage: scripts/fanout.sh [--quick] [--cases A,B] [--passes N] [--seconds S] [--engine E] [--events R] [--rate R]
                         [--server-core N] [--client-core N] [--server 'COMMAND'] [--no-build]
  --cases        stalled stalled-ws stalled-ws-close inline
  --passes       passes of each case (7; quick: 3)
  --seconds      length of one pass, whole seconds (4; quick: 2)
  --engine       io_uring or epoll (io_uring)
  --events       events a second of the cases stalled* (50)
  --rate         requests a second to /demo/plaintext of the case inline (1000)
  --server       another server, for the case inline; {listen} becomes its address
USAGE
}

source scripts/lib/server.sh

STALLED_LIMIT=1.2 INLINE_LIMIT=1.5 SUBSCRIBERS=1000
cases=(stalled stalled-ws stalled-ws-close inline)
passes=7 seconds=4 engine=io_uring events=50 rate=1000 SERVER_CORE=0 CLIENT_CORE=1 server= build=yes
while (($#)); do
    case $1 in
        --quick) passes=3 seconds=2 ;;
        --cases) IFS=, read -ra cases <<<"$2"; shift ;;
        --passes) passes=$2; shift ;;
        --seconds) seconds=$2; shift ;;
        --engine) engine=$2; shift ;;
        --events) events=$2; shift ;;
        --rate) rate=$2; shift ;;
        --server-core) SERVER_CORE=$2; shift ;;
        --client-core) CLIENT_CORE=$2; shift ;;
        --server) server=$2 cases=(inline); shift ;;
        --no-build) build= ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; die "unknown argument: $1" ;;
    esac
    shift
done
[[ $passes$seconds$events$rate =~ ^[1-9][0-9]*$ ]] || die "--passes, --seconds, --events and --rate take whole numbers"

BIN=${CARGO_TARGET_DIR:-target}/release
need taskset util-linux
need chrt util-linux
need curl curl
(($(nproc) >= 2)) || die "two cores are needed: one for the server, one for the client"
ulimit -n "$(ulimit -Hn)"
if [[ $build ]]; then
    say "building (release)"
    [[ $server ]] || cargo build --release --quiet --bin windlass
    cargo build --release --quiet -p windlass-peers --no-default-features --bin load
fi

fail() { say "fanout.sh: $*"; exit 1; }

load() { taskset -c "$CLIENT_CORE" "$BIN/load" --target "127.0.0.1:$PORT" "$@"; }

# What the topic counted: dropped (events that a subscriber did not get) or closed (subscribers).
counted() { curl -sf "http://127.0.0.1:$PORT/topics" | sed -n "s/.*\"topic\":\"bench\".*\"$1\":\([0-9]*\).*/\1/p"; }

# above A B LIMIT: says whether A is more than LIMIT × B.
above() { awk -v a="$1" -v b="$2" -v limit="$3" 'BEGIN { exit !(a > limit * b) }'; }

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }

# verdict A B LIMIT: prints it; sets the exit status.
verdict() { if above "$@"; then verdict="too much" status=1; else verdict=ok; fi; }

# One pass of publishing with this many stalled among the subscribers: appends to $WORK/$case-N.*.
publish() {
    local stalled=$1 counter=dropped least before result key over=--sse
    [[ $case == stalled ]] || over=--ws-topic
    least=$((stalled * events * seconds))
    [[ $case != stalled-ws-close ]] || counter=closed least=$stalled
    # The first pass makes the topic.
    before=$(counted "$counter")
    result=$(load "$over" $((SUBSCRIBERS - stalled)) --stalled "$stalled" --rate "$events" --duration "$seconds" --pause 0.3) ||
        { say "$result"; fail "fan-out fails with $stalled stalled"; }
    (($(counted "$counter") - ${before:-0} >= least)) || fail "the stalled subscriber lost no events: it did not stall"
    for key in publish_p50_us publish_p99_us p50_us p99_us; do
        value "$key" <<<"$result" >>"$WORK/$case-$stalled.$key"
    done
    say "  pass $pass/$passes  $stalled stalled: answered in $(value publish_p50_us <<<"$result") µs (p50), delivered in $(value p99_us <<<"$result") µs (p99)"
}

# measure_stalled FIGURE NAME: compares it with and without a stalled subscriber.
measure_stalled() {
    local stalled with without
    for ((pass = 1; pass <= passes; pass++)); do
        for stalled in 0 1; do publish "$stalled"; done
    done
    without=$(median <"$WORK/$case-0.$1") with=$(median <"$WORK/$case-1.$1")
    verdict "$with" "$without" "$STALLED_LIMIT"
    echo "$case: publishing $events events/s of 256 bytes to $SUBSCRIBERS subscribers, limit $STALLED_LIMIT on the $2."
    echo
    echo "| stalled | answer p50 µs | p99 µs | delivery p50 µs | p99 µs | × none | |"
    echo "|---|---|---|---|---|---|---|"
    for stalled in 0 1; do
        printf '| %s ' "$stalled"
        for key in publish_p50_us publish_p99_us p50_us p99_us; do printf '| %s ' "$(median <"$WORK/$case-$stalled.$key")"; done
        if ((stalled)); then echo "| $(ratio "$with" "$without") | $verdict |"; else echo "| 1.00 | |"; fi
    done
    echo
}

# Becomes the subscribers, with this many events a second for so many seconds. Runs in the background.
subscribe() {
    exec chrt --idle 0 taskset -c "$CLIENT_CORE" "$BIN/load" --target "127.0.0.1:$PORT" --sse "$SUBSCRIBERS" --rate "$1" --duration "$2" --timeout 20 >"$WORK/load"
}

# Sets half_rate: the events a second that load half of the server's core.
find_half() {
    local before used deliveries
    half_rate=100
    # Twice, since the cost of a delivery depends on the rate.
    for _ in 1 2; do
        before=$(cpu_ns "$SERVER_PID")
        (subscribe "$half_rate" 2) || { cat "$WORK/load" >&2; fail "fan-out fails"; }
        used=$(($(cpu_ns "$SERVER_PID") - before))
        deliveries=$(value requests <"$WORK/load")
        half_rate=$(awk -v ns="$used" -v n="$deliveries" -v s="$SUBSCRIBERS" 'BEGIN { printf "%d", 0.5e9 / (ns / n * s) }')
    done
    ((half_rate > 0)) || fail "no rate loads half of the core"
}

# One pass of the inline route, alone or beside the topic: appends to $WORK/NAME.*.
probe() {
    local name=$1 loader= before result
    if [[ $name == beside ]]; then
        subscribe "$half_rate" $((seconds + 3)) &
        loader=$!
        STARTED+=("$loader")
        # Until the subscriptions are there and events come.
        sleep 1.5
    fi
    before=$(cpu_ns "$SERVER_PID")
    result=$(load --rate "$rate" --connections 16 --duration "$seconds") || { say "$result"; fail "the inline route fails ($name)"; }
    awk -v ns=$(($(cpu_ns "$SERVER_PID") - before)) -v s="$seconds" 'BEGIN { printf "%.0f\n", ns / 1e7 / s }' >>"$WORK/$name.cpu"
    if [[ $loader ]]; then
        wait "$loader" || { cat "$WORK/load" >&2; fail "fan-out fails beside the inline route"; }
        unset 'STARTED[-1]'
    fi
    value p50_us <<<"$result" >>"$WORK/$name.p50"
    value p99_us <<<"$result" >>"$WORK/$name.p99"
    say "  pass $pass/$passes  $name: p50 $(value p50_us <<<"$result") µs, p99 $(value p99_us <<<"$result") µs, core $(tail -1 "$WORK/$name.cpu") %"
}

measure_inline() {
    local name alone beside
    find_half
    say "  $half_rate events/s load half of the core"
    for ((pass = 1; pass <= passes; pass++)); do
        for name in alone beside; do probe "$name"; done
    done
    alone=$(median <"$WORK/alone.p99") beside=$(median <"$WORK/beside.p99")
    verdict "$beside" "$alone" "$INLINE_LIMIT"
    echo "/demo/plaintext at $rate requests/s beside $half_rate events/s to $SUBSCRIBERS subscribers, limit $INLINE_LIMIT on the p99."
    echo
    echo "| | p50 µs | p99 µs | core % | × alone | |"
    echo "|---|---|---|---|---|---|"
    for name in alone beside; do
        printf '| %s ' "$name"
        for key in p50 p99 cpu; do printf '| %s ' "$(median <"$WORK/$name.$key")"; done
        if [[ $name == beside ]]; then echo "| $(ratio "$beside" "$alone") | $verdict |"; else echo "| 1.00 | |"; fi
    done
    echo
}

# Starts the server, with these flags besides.
start() {
    local command
    pick_port
    command=("$BIN/windlass" serve --engine "$engine" --listen "127.0.0.1:$PORT" --shards 1 --cores "$SERVER_CORE" --workers 1 "$@")
    [[ ! $server ]] || read -ra command <<<"${server//\{listen\}/127.0.0.1:$PORT}"
    start_server "$SERVER_CORE" "$PORT" "${command[@]}"
    load --rate "$rate" --connections 16 --duration 1 >"$WORK/warm-up" || { cat "$WORK/warm-up" >&2; fail "the server does not serve /demo/plaintext"; }
}

echo "${server:-Engine $engine}; medians of $passes interleaved passes of $seconds s; server on core $SERVER_CORE, client on core $CLIENT_CORE."
echo
status=0
for case in "${cases[@]}"; do
    say "$case"
    case $case in
        stalled) start; measure_stalled publish_p50_us "p50 of the answer" ;;
        stalled-ws) start; measure_stalled p99_us "p99 of the delivery" ;;
        stalled-ws-close) start --policy close; measure_stalled p99_us "p99 of the delivery" ;;
        inline) start; measure_inline ;;
        *) die "no such case: $case" ;;
    esac
    stop_servers
done
exit $status
