# What bench.sh does to each server. A new one: its name in SCENARIOS and a line in run_scenario.
#
# A scenario loads $TARGET for $1 seconds from $CLIENT_CORE and prints key=value lines (requests, errors, p50_us, …).
# wrk makes the plain ones, because everybody can repeat them; our own load generator makes what wrk cannot and
# checks every byte. wrk neither looks at bodies nor counts by connection: check_scenario has `load` do both.
#
#   async-mix    a tenth of the requests waits 20 ms in the server (windlass: on its pool; the others: on their
#                timers), at a fixed rate, so that all do the same work; p50 and p99 are those of the other nine tenths
#   idle-1000    a thousand connections, each asks five times a second
#   idle-10000   ten thousand connections stay open after one request each, first alone, then beside 64 busy ones
#   sse-1000     a thousand subscribers of one topic get 100 events of 256 bytes a second; a request is a delivery, p50
#                and p99 run from publishing to receipt, nothing may be dropped. Subscribing is not counted.
#   sse-1000-fast  the same with 1000 events a second: more than any server delivers one by one, so this is about
#                events that leave together
#   sse-10000    ten thousand subscribers get 10 events a second, for the memory that a subscriber takes
#   ws-echo-256  128 WebSockets on each of which a text of 256 bytes is echoed over and over; a request is a message. The
#                client masks as it must, offers no compression, and compares every byte
#   ws-echo-64k  64 WebSockets, binary messages of 64 KiB
#   ws-hub-1000  as sse-1000, over WebSockets: an event is a text message
#   ws-idle-10000  ten thousand WebSockets stay open after one message each, first alone, then beside 64 busy ones
#   In idle-* both p50 and p99 are latency, not the length of a queue: the server is not saturated (idle-10000 is, then).

SCENARIOS=(plain-64 pipelined-16 get-json get-json-1k post-4k churn-close async-mix idle-1000 idle-10000
    h2-m100 h2-m1 grpc-unary-tls grpc-stream-tls sse-1000 sse-1000-fast sse-10000
    ws-echo-256 ws-echo-64k ws-hub-1000 ws-idle-10000)
QUICK_SCENARIOS=(plain-64 pipelined-16 get-json-1k churn-close async-mix idle-10000)

ASYNC_MIX=$(printf '/demo/plaintext,%.0s' {1..9})/demo/work?ms=20

WS_ECHO=(--path /demo/ws-echo --ws text --body-bytes 256)

run_scenario() {
    case $1 in
        plain-64) with_wrk "$2" /demo/plaintext ;;
        pipelined-16) with_load "$2" --pipeline 16 ;;
        get-json) with_wrk "$2" /demo/json ;;
        get-json-1k) with_wrk "$2" /demo/items ;;
        post-4k) with_load "$2" --path /demo/echo --body-bytes 4096 ;;
        churn-close) with_load "$2" --churn ;;
        async-mix) with_load "$2" --connections 256 --rate 40000 --mix "$ASYNC_MIX" --latency-of /demo/plaintext ;;
        idle-1000) with_load "$2" --connections 1000 --rate 5000 --pause 0.5 ;;
        idle-10000) with_load "$2" --idle 10000 --pause $((IDLE_SECONDS + 1)) ;;
        h2-m100) with_h2load "$2" -m100 ;;
        h2-m1) with_h2load "$2" -m1 ;;
        grpc-unary-tls) with_grpc "$2" unary ;;
        grpc-stream-tls) with_grpc "$2" stream ;;
        sse-1000) with_load "$2" --sse 1000 --rate 100 --pause 0.5 ;;
        sse-1000-fast) with_load "$2" --sse 1000 --rate 1000 --pause 0.5 ;;
        sse-10000) with_load "$2" --sse 10000 --rate 10 --pause 0.5 ;;
        ws-echo-256) with_load "$2" "${WS_ECHO[@]}" --connections 128 ;;
        ws-echo-64k) with_load "$2" --path /demo/ws-echo --ws binary --body-bytes 65536 --connections 64 ;;
        ws-hub-1000) with_load "$2" --ws-topic 1000 --rate 100 --pause 0.5 ;;
        ws-idle-10000) with_load "$2" "${WS_ECHO[@]}" --idle 10000 --pause $((IDLE_SECONDS + 1)) ;;
        *) die "no such scenario: $1" ;;
    esac
}

# The same with every byte checked and every connection counted. What holds connections open only warms up here:
# the memory they need is measured against the server's after this.
check_scenario() {
    case $1 in
        plain-64 | idle-*) with_load "$2" ;;
        sse-*) with_load "$2" --sse 10 --rate 100 ;;
        ws-hub-*) with_load "$2" --ws-topic 10 --rate 100 ;;
        ws-idle-*) with_load "$2" "${WS_ECHO[@]}" ;;
        get-json) with_load "$2" --path /demo/json ;;
        get-json-1k) with_load "$2" --path /demo/items ;;
        h2-*) check_h2 && run_scenario "$1" "$2" ;;
        *) run_scenario "$1" "$2" ;;
    esac
}

# Every pass with ten thousand connections needs a server that has not held so many yet.
passes_of() { [[ $1 == *-10000 ]] && echo 1 || echo "$passes"; }

# Looks at a server while the connections of idle-*, sse-* and ws-* that `load` (process $3) opened are there. Sets idle_cpu (% of a
# core), before (CPU time when the requests begin, ns) and per_connection (bytes).
watch_idle() {
    local scenario=$1 peer=$2 loader=$3 pid=${pid_of[$2]} established since
    until established=$(value established <"$WORK/result") && [[ $established ]]; do
        kill -0 "$loader" 2>/dev/null || return 0
        sleep 0.02
    done
    sleep 0.3
    if [[ $scenario == *idle-10000 ]]; then
        since=$(cpu_ns "$pid")
        sleep "$IDLE_SECONDS"
        before=$(cpu_ns "$pid")
        idle_cpu=$(awk -v ns=$((before - since)) -v s="$IDLE_SECONDS" 'BEGIN { printf "%.3f", ns / 1e7 / s }')
    else
        before=$(cpu_ns "$pid")
        # When every connection has asked.
        sleep 0.8
    fi
    per_connection=$((($(resident_kib "$pid") - base_kib[$peer]) * 1024 / established))
}

with_wrk() { taskset -c "$CLIENT_CORE" wrk -t1 -c64 -d"$1" -s scripts/bench/wrk.lua "http://$TARGET$2" | grep =; }

with_load() {
    local seconds=$1
    shift
    taskset -c "$CLIENT_CORE" "$BIN/load" --target "$TARGET" --duration "$seconds" "$@"
}
