# The scenarios of bench.sh. To add one: its name in SCENARIOS and a line in run_scenario.
#
# A scenario loads $TARGET from $CLIENT_CORE and prints key=value lines (requests, errors, p50_us, …). wrk
# generates the plain ones, because anyone can repeat them. Our own load generator does the rest and checks
# every byte. wrk neither compares bodies nor counts per connection; check_scenario does both with `load`.
#
#   async-mix       a tenth of the requests waits 20 ms in the server (windlass: on its pool; others: on their
#                   timers), at a fixed rate, so that all do the same work; p50 and p99 are those of the other
#                   nine tenths
#   greedy-200      200 connections with up to 1,000 requests in flight on each, more than any server
#                   keeps up with: measures fairness
#   idle-1000       1,000 connections with five requests per second each
#   idle-10000      10,000 connections stay open after one request each, first alone, then beside 64 busy ones
#   files-4k        64 connections that get one file of 4 KiB over and over; files-64k and files-1m likewise,
#                   and files-…-tls over TLS 1.3. NGINX keeps its files open, as Windlass does, and sends them
#                   with sendfile
#   sse-1000        1,000 subscribers of one topic get 100 events of 256 bytes per second. A request is a
#                   delivery; p50 and p99 run from publishing to receipt; no event may be dropped. Subscribing
#                   is not counted
#   sse-1000-fast   the same with 1,000 events per second, more than any server delivers one by one: measures
#                   batching
#   sse-10000       10,000 subscribers get 10 events per second: measures the memory per subscriber
#   ws-echo-256     128 WebSockets, each of which echoes a text of 256 bytes over and over; a request is a
#                   message. The client masks its frames, offers no compression, and compares every byte
#   ws-echo-64k     64 WebSockets, binary messages of 64 KiB
#   ws-hub-1000     sse-1000 over WebSockets: an event is a text message
#   ws-idle-10000   10,000 WebSockets stay open after one message each, first alone, then beside 64 busy ones
#
# In idle-1000 p50 and p99 are latency, not queueing: the server is not saturated.

SCENARIOS=(plain-64 pipelined-16 greedy-200 get-json get-json-1k post-4k churn-close async-mix idle-1000
    idle-10000 files-4k files-64k files-1m files-4k-tls files-64k-tls files-1m-tls
    h2-m100 h2-m1 h2-post-1m h2-get-1m grpc-unary-tls grpc-stream-tls
    sse-1000 sse-1000-fast sse-10000 sse-1000-h2 sse-1000-tls
    ws-echo-256 ws-echo-64k ws-hub-1000 ws-idle-10000)
QUICK_SCENARIOS=(plain-64 pipelined-16 get-json-1k churn-close async-mix idle-10000)

ASYNC_MIX=(--mix "$(printf '/demo/plaintext,%.0s' {1..9})/demo/work?ms=20" --latency-of /demo/plaintext)

WS_ECHO=(--path /demo/ws-echo --ws text --body-bytes 256)

# run_scenario SCENARIO SECONDS
run_scenario() {
    case $1 in
        plain-64) with_wrk "$2" /demo/plaintext ;;
        pipelined-16) with_load "$2" --pipeline 16 ;;
        greedy-200) with_h2load "$2" /demo/plaintext ${#H2_BODY} --h1 -c200 -m1000 ;;
        get-json) with_wrk "$2" /demo/json ;;
        get-json-1k) with_wrk "$2" /demo/items ;;
        post-4k) with_load "$2" --path /demo/echo --body-bytes 4096 ;;
        churn-close) with_load "$2" --churn ;;
        async-mix) with_load "$2" "${ASYNC_MIX[@]}" --connections 256 --rate 40000 ;;
        idle-1000) with_load "$2" --connections 1000 --rate 5000 --pause 0.5 ;;
        idle-10000) with_load "$2" --idle 10000 --pause $((IDLE_SECONDS + 1)) ;;
        files-*-tls) with_wrk "$2" "$(file_of "$1")" https ;;
        files-*) with_wrk "$2" "$(file_of "$1")" ;;
        h2-m100) with_h2load "$2" /demo/plaintext ${#H2_BODY} -c32 -m100 ;;
        h2-m1) with_h2load "$2" /demo/plaintext ${#H2_BODY} -c32 -m1 ;;
        h2-post-1m) with_upload "$2" ;;
        h2-get-1m) with_h2load "$2" /demo/large 1048576 -c16 -m1 -w23 -W23 ;;
        grpc-unary-tls) with_grpc "$2" unary ;;
        grpc-stream-tls) with_grpc "$2" stream ;;
        sse-1000) with_load "$2" --sse 1000 --rate 100 --pause 0.5 ;;
        sse-1000-fast) with_load "$2" --sse 1000 --rate 1000 --pause 0.5 ;;
        sse-10000) with_load "$2" --sse 10000 --rate 10 --pause 0.5 ;;
        sse-1000-h2) with_load "$2" --sse 1000 --streams 100 --rate 100 --pause 0.5 ;;
        sse-1000-tls) with_load "$2" --sse 1000 --rate 100 --pause 0.5 --tls-ca "$WORK/cert.pem" ;;
        ws-echo-256) with_load "$2" "${WS_ECHO[@]}" --connections 128 ;;
        ws-echo-64k) with_load "$2" --path /demo/ws-echo --ws binary --body-bytes 65536 --connections 64 ;;
        ws-hub-1000) with_load "$2" --ws-topic 1000 --rate 100 --pause 0.5 ;;
        ws-idle-10000) with_load "$2" "${WS_ECHO[@]}" --idle 10000 --pause $((IDLE_SECONDS + 1)) ;;
        *) die "no such scenario: $1" ;;
    esac
}

# check_scenario SCENARIO SECONDS: the same load with every byte checked and every connection counted.
# Scenarios that hold connections open only warm up, because their memory is measured against that of the
# server after this.
check_scenario() {
    case $1 in
        plain-64 | idle-*) with_load "$2" ;;
        sse-1000-h2) with_load "$2" --sse 10 --streams 10 --rate 100 ;;
        sse-1000-tls) with_load "$2" --sse 10 --rate 100 --tls-ca "$WORK/cert.pem" ;;
        sse-*) with_load "$2" --sse 10 --rate 100 ;;
        ws-hub-*) with_load "$2" --ws-topic 10 --rate 100 ;;
        ws-idle-*) with_load "$2" "${WS_ECHO[@]}" ;;
        files-*-tls) check_file "$1" && run_scenario "$1" "$2" && echo connection_min= ;;
        files-*) with_load "$2" --path "$(file_of "$1")" ;;
        get-json) with_load "$2" --path /demo/json ;;
        get-json-1k) with_load "$2" --path /demo/items ;;
        h2-*) check_h2 && run_scenario "$1" "$2" ;;
        *) run_scenario "$1" "$2" ;;
    esac
}

# Prints the number of passes. Memory per connection needs a server that has not yet held 10,000 connections:
# one pass.
passes_of() { [[ $1 == *-10000 ]] && echo 1 || echo "$passes"; }

# watch_idle SCENARIO PEER LOADER: watches a server while the connections that `load` (process LOADER) opened
# are idle. Sets idle_cpu (% of a core), before (CPU time when the requests begin, ns) and per_connection
# (bytes).
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
        # After every connection has sent a request.
        sleep 0.8
    fi
    per_connection=$((($(resident_kib "$pid") - base_kib[$peer]) * 1024 / established))
}

# with_wrk SECONDS PATH [SCHEME]
with_wrk() {
    taskset -c "$CLIENT_CORE" wrk -t1 -c64 -d"$1" -s scripts/bench/wrk.lua "${3:-http}://$TARGET$2" | grep =
}

# file_of SCENARIO: prints the path of the file in a scenario files-*.
file_of() {
    local name=${1#files-}
    echo "/${name%-tls}"
}

# check_file SCENARIO: fails unless curl gets the right file over TLS. Nothing counts per connection there.
check_file() {
    curl -sS --max-time 5 --cacert "$WORK/cert.pem" "https://$TARGET$(file_of "$1")" |
        cmp - "$WORK/static$(file_of "$1")"
}

with_load() {
    local seconds=$1
    shift
    taskset -c "$CLIENT_CORE" "$BIN/load" --target "$TARGET" --duration "$seconds" "$@"
}
