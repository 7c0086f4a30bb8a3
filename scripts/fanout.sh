#!/usr/bin/env bash
# Measures how fan-out affects others: a stalled subscriber the publisher, and a topic with 1,000 subscribers
# the inline routes. Exit status 1 if a ratio exceeds its limit.
#
# usage: scripts/fanout.sh [OPTION]…
#
#   --quick              short: --passes 3 --seconds 2
#   --cases NAMES        stalled, stalled-ws, stalled-ws-close, inline; separated by commas (all)
#   --passes N           passes of each case (7; quick: 3)
#   --seconds N          length of one pass (4; quick: 2)
#   --engine ENGINE      io_uring or epoll (io_uring)
#   --events N           events per second of the cases stalled* (50)
#   --rate N             requests per second to /demo/plaintext in the case inline (1000)
#   --server-core CORE   core of the server (0)
#   --client-core CORE   core of the clients (1)
#   --server COMMAND     another server, for the case inline only; {listen} becomes its address
#   --no-build           uses the binaries from an earlier run
#
# Needs two cores, taskset and chrt (util-linux), and curl.
#
# Cases:
#   stalled            publishing to 1,000 subscribers of which one reads nothing, against 1,000 that read:
#                      the median time from sending an event to the reply of the server, limit 1.2 ×
#   stalled-ws         the same over WebSockets, judged by the p99 from publishing to delivery, limit 1.2 ×.
#                      Events that find the mailbox of the stalled subscriber full are dropped
#   stalled-ws-close   the same, but a full mailbox closes its subscriber
#   inline             p99 of /demo/plaintext while a topic with 1,000 subscribers loads half of the server's
#                      core, against the p99 alone, limit 1.5 ×
#
# Method:
# - The stalled subscriber has the smallest receive buffer that the kernel grants, so the send buffer of the
#   server keeps its first size. 8 MiB are published before the pass, so socket, outbox and mailbox are full
#   from the start. The script checks that: the server must have counted a drop for each event of the pass, or
#   have closed the subscription.
# - Events and requests are sent on a schedule (open loop). scripts/isolation.sh describes the probe of inline
#   routes.
# - The event rate that loads half of a core depends on the machine. The script finds it by measuring; the
#   load that it caused is in the table.
# - The probe has the client core. The subscribers share it as SCHED_IDLE tasks, which the kernel preempts at
#   once when the probe becomes runnable. Otherwise the figures would show a delayed client.
# - Passes are interleaved, and their medians compared.
set -euo pipefail
source "$(dirname "$0")/lib/script.sh"

STALLED_LIMIT=1.2 INLINE_LIMIT=1.5 SUBSCRIBERS=1000
cases=(stalled stalled-ws stalled-ws-close inline)
passes=7 seconds=4 engine=io_uring events=50 rate=1000 SERVER_CORE=0 CLIENT_CORE=1 server= build=yes
while (($#)); do
    case $1 in
        --quick) passes=3 seconds=2 ;;
        --cases) take_choices cases "stalled stalled-ws stalled-ws-close inline" "$@"; shift ;;
        --passes) take_number passes "$@"; shift ;;
        --seconds) take_number seconds "$@"; shift ;;
        --engine) take_choice engine "io_uring epoll" "$@"; shift ;;
        --events) take_number events "$@"; shift ;;
        --rate) take_number rate "$@"; shift ;;
        --server-core) take_core SERVER_CORE "$@"; shift ;;
        --client-core) take_core CLIENT_CORE "$@"; shift ;;
        --server) take_text server "$@"; shift ;;
        --no-build) build= ;;
        *) other_argument "$1" ;;
    esac
    shift
done
((SERVER_CORE != CLIENT_CORE)) || die "--server-core and --client-core name the same core, $SERVER_CORE"
[[ ! $server ]] || cases=(inline)

source scripts/lib/server.sh
BIN=$(target_dir)/release
need taskset util-linux
need chrt util-linux
need curl curl
need_two_cores
ulimit -n "$(ulimit -Hn)"
if [[ $build ]]; then
    say "building (release)"
    [[ $server ]] || cargo build --release --quiet --bin windlass
    cargo build --release --quiet -p windlass-peers --no-default-features --bin load
fi

load() { taskset -c "$CLIENT_CORE" "$BIN/load" --target "127.0.0.1:$PORT" "$@"; }

# counted COUNTER: prints a counter of the topic, `dropped` events or `closed` subscribers.
counted() {
    curl -sf "http://127.0.0.1:$PORT/topics" |
        sed -n "s/.*\"topic\":\"bench\".*\"$1\":\([0-9]*\).*/\1/p"
}

# verdict A B LIMIT: sets `verdict`, and `status` if A is above the limit.
verdict() { if above "$@"; then verdict="too much" status=1; else verdict=ok; fi; }

# Figures of `load` that the table of the cases stalled* shows.
FIGURES=(publish_p50_us publish_p99_us p50_us p99_us)

# publish STALLED: runs one pass of publishing with so many stalled subscribers; appends to
# $WORK/$case-STALLED.*.
publish() {
    local stalled=$1 counter=dropped least before key over=--sse result=$WORK/result
    [[ $case == stalled ]] || over=--ws-topic
    least=$((stalled * events * seconds))
    [[ $case != stalled-ws-close ]] || counter=closed least=$stalled
    # The topic does not exist before the first pass.
    before=$(counted "$counter")
    load "$over" $((SUBSCRIBERS - stalled)) --stalled "$stalled" --rate "$events" --duration "$seconds" \
        --pause 0.3 >"$result" || fail_with "$result" "fan-out failed with $stalled stalled"
    (($(counted "$counter") - ${before:-0} >= least)) ||
        fail "the stalled subscriber lost no events: it did not stall"
    for key in "${FIGURES[@]}"; do value "$key" <"$result" >>"$WORK/$case-$stalled.$key"; done
    say "  pass $pass/$passes  $stalled stalled:" \
        "replies after $(value publish_p50_us <"$result") µs (p50)," \
        "deliveries after $(value p99_us <"$result") µs (p99)"
}

# measure_stalled FIGURE NAME: compares a figure with and without a stalled subscriber.
measure_stalled() {
    local stalled with without key
    for ((pass = 1; pass <= passes; pass++)); do
        for stalled in 0 1; do publish "$stalled"; done
    done
    without=$(median <"$WORK/$case-0.$1") with=$(median <"$WORK/$case-1.$1")
    verdict "$with" "$without" "$STALLED_LIMIT"
    echo "$case: publishing $events events/s of 256 bytes to $SUBSCRIBERS subscribers," \
        "limit $STALLED_LIMIT on the $2."
    echo
    echo "| stalled | reply p50 µs | p99 µs | delivery p50 µs | p99 µs | × none | |"
    echo "|---|---|---|---|---|---|---|"
    for stalled in 0 1; do
        printf '| %s ' "$stalled"
        for key in "${FIGURES[@]}"; do printf '| %s ' "$(median <"$WORK/$case-$stalled.$key")"; done
        if ((stalled)); then echo "| $(ratio "$with" "$without") | $verdict |"; else echo "| 1.00 | |"; fi
    done
    echo
}

# subscribe RATE SECONDS: becomes the process of the subscribers, for the background.
subscribe() {
    exec chrt --idle 0 taskset -c "$CLIENT_CORE" "$BIN/load" --target "127.0.0.1:$PORT" \
        --sse "$SUBSCRIBERS" --rate "$1" --duration "$2" --timeout 20 >"$WORK/load"
}

# Sets half_rate to the events per second that load half of the core of the server.
find_half() {
    local before used deliveries
    half_rate=100
    # Twice, because the cost of a delivery depends on the rate.
    for _ in 1 2; do
        before=$(cpu_ns "$SERVER_PID")
        (subscribe "$half_rate" 2) || fail_with "$WORK/load" "fan-out failed"
        used=$(($(cpu_ns "$SERVER_PID") - before))
        deliveries=$(value requests <"$WORK/load")
        half_rate=$(awk -v ns="$used" -v deliveries="$deliveries" -v subscribers="$SUBSCRIBERS" \
            'BEGIN { printf "%d", 0.5e9 / (ns / deliveries * subscribers) }')
    done
    ((half_rate > 0)) || fail "no rate loads half of the core"
}

# probe NAME: runs one pass of the inline route, `alone` or `beside` the topic; appends to $WORK/NAME.*.
probe() {
    local name=$1 loader= before used result=$WORK/result
    if [[ $name == beside ]]; then
        subscribe "$half_rate" $((seconds + 3)) &
        loader=$!
        STARTED+=("$loader")
        # Until the subscriptions exist and events arrive.
        sleep 1.5
    fi
    before=$(cpu_ns "$SERVER_PID")
    load --rate "$rate" --connections 16 --duration "$seconds" >"$result" ||
        fail_with "$result" "the inline route failed ($name)"
    used=$(($(cpu_ns "$SERVER_PID") - before))
    awk -v ns="$used" -v s="$seconds" 'BEGIN { printf "%.0f\n", ns / 1e7 / s }' >>"$WORK/$name.cpu"
    if [[ $loader ]]; then
        wait "$loader" || fail_with "$WORK/load" "fan-out failed beside the inline route"
        unset 'STARTED[-1]'
    fi
    value p50_us <"$result" >>"$WORK/$name.p50"
    value p99_us <"$result" >>"$WORK/$name.p99"
    say "  pass $pass/$passes  $name: p50 $(value p50_us <"$result") µs, p99 $(value p99_us <"$result") µs," \
        "core $(tail -1 "$WORK/$name.cpu") %"
}

measure_inline() {
    local name alone beside key
    find_half
    say "  $half_rate events/s load half of the core"
    for ((pass = 1; pass <= passes; pass++)); do
        for name in alone beside; do probe "$name"; done
    done
    alone=$(median <"$WORK/alone.p99") beside=$(median <"$WORK/beside.p99")
    verdict "$beside" "$alone" "$INLINE_LIMIT"
    echo "/demo/plaintext at $rate requests/s beside $half_rate events/s to $SUBSCRIBERS subscribers," \
        "limit $INLINE_LIMIT on the p99."
    echo
    echo "| | p50 µs | p99 µs | core % | × alone | |"
    echo "|---|---|---|---|---|---|"
    for name in alone beside; do
        printf '| %s ' "$name"
        for key in p50 p99 cpu; do printf '| %s ' "$(median <"$WORK/$name.$key")"; done
        if [[ $name == alone ]]; then
            echo "| 1.00 | |"
        else
            echo "| $(ratio "$beside" "$alone") | $verdict |"
        fi
    done
    echo
}

# start [FLAG]…: starts the server with these flags.
start() {
    local command
    pick_port
    command=("$BIN/windlass" serve --engine "$engine" --listen "127.0.0.1:$PORT" --shards 1
        --cores "$SERVER_CORE" --workers 1 "$@")
    [[ ! $server ]] || read -ra command <<<"${server//\{listen\}/127.0.0.1:$PORT}"
    start_server "$SERVER_CORE" "$PORT" "${command[@]}"
    load --rate "$rate" --connections 16 --duration 1 >"$WORK/warm-up" ||
        fail_with "$WORK/warm-up" "the server does not serve /demo/plaintext"
}

echo "${server:-Engine $engine}; medians of $passes interleaved passes of $seconds s;" \
    "server on core $SERVER_CORE, client on core $CLIENT_CORE."
echo
status=0
for case in "${cases[@]}"; do
    say "$case"
    case $case in
        stalled) start; measure_stalled publish_p50_us "p50 of the reply" ;;
        stalled-ws) start; measure_stalled p99_us "p99 of the delivery" ;;
        stalled-ws-close) start --policy close; measure_stalled p99_us "p99 of the delivery" ;;
        inline) start; measure_inline ;;
    esac
    stop_servers
done
exit $status
