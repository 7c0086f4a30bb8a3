#!/usr/bin/env bash
# Measures the CPU time per request of Windlass and of other servers, under the same workload in the same run.
#
# usage: scripts/bench.sh [OPTION]…
#
#   --quick              the most telling servers and scenarios, short passes: under 2 minutes after the build
#   --peers NAMES        servers, separated by commas (all): windlass windlass-epoll hyper axum actix
#                        fastwebsockets ntex may tonic nginx nghttpd h2o tokio-bare ring-bare
#   --scenarios NAMES    scenarios, separated by commas (all); scripts/bench/scenarios.sh and http2.sh
#                        describe them: plain-64 pipelined-16 greedy-200 get-json get-json-1k post-4k
#                        churn-close async-mix idle-1000 idle-10000 files-4k files-64k files-1m files-4k-tls
#                        files-64k-tls files-1m-tls h2-m100 h2-m1 h2-post-1m h2-get-1m
#                        grpc-unary-tls grpc-stream-tls sse-1000 sse-1000-fast sse-10000 sse-1000-h2
#                        sse-1000-tls ws-echo-256 ws-echo-64k ws-hub-1000 ws-idle-10000
#   --passes N           measured passes of each server in each scenario (5; quick: 2; with 10000 connections:
#                        1)
#   --seconds N          length of one pass (3; quick: 1)
#   --server-core CORE   core of the servers (0)
#   --client-core CORE   core of the load generators (1)
#   --no-build           uses the binaries from an earlier run
#
# Needs two cores, taskset (util-linux) and wrk (Debian package wrk). NGINX joins if /usr/sbin/nginx exists.
# nghttpd (nghttp2-server) and h2o join in h2-* if they are installed. The scenarios h2-* and greedy-* need
# h2load and nghttp (nghttp2-client), *-tls need openssl, files-*-tls also curl.
#
# Each server runs on one thread, pinned to its core. The passes of the servers are interleaved (A B C A B C
# …), so that a change of the speed of the machine affects all of them. The table has the medians. CPU time is
# that of all threads of the server, from /proc. It is a cost, not a speed, so it is valid even where the
# client is the bottleneck. p50 and p99 are those of a closed loop at full load, unless
# scripts/bench/scenarios.sh says otherwise; scripts/isolation.sh measures latency. Fairness is the lowest
# number of requests served on one connection divided by the highest. Where wrk generates the load, fairness
# comes from a short pass of its own.
#
# A pass without a request, with an error, or with a status other than 2xx ends the run with exit status 1.
# Results: a CSV row per pass and a Markdown table, in bench/ in the target directory.
set -euo pipefail
source "$(dirname "$0")/lib/script.sh"
source scripts/bench/peers.sh
source scripts/bench/scenarios.sh
source scripts/bench/http2.sh

# Seconds in which requests are counted per connection where wrk generates the load, and in which idle
# connections are watched.
FAIRNESS_SECONDS=1 IDLE_SECONDS=2
ALL_PEERS=${PEERS[*]} ALL_SCENARIOS=${SCENARIOS[*]}
passes=5 seconds=3 build=yes quick= chosen_peers= chosen_scenarios= SERVER_CORE=0 CLIENT_CORE=1
while (($#)); do
    case $1 in
        --quick) quick=yes passes=2 seconds=1 FAIRNESS_SECONDS=0.5 IDLE_SECONDS=1 ;;
        --peers) take_choices PEERS "$ALL_PEERS" "$@"; chosen_peers=yes; shift ;;
        --scenarios) take_choices SCENARIOS "$ALL_SCENARIOS" "$@"; chosen_scenarios=yes; shift ;;
        --passes) take_number passes "$@"; shift ;;
        --seconds) take_number seconds "$@"; shift ;;
        --server-core) take_core SERVER_CORE "$@"; shift ;;
        --client-core) take_core CLIENT_CORE "$@"; shift ;;
        --no-build) build= ;;
        *) other_argument "$1" ;;
    esac
    shift
done
((SERVER_CORE != CLIENT_CORE)) || die "--server-core and --client-core name the same core, $SERVER_CORE"
[[ $quick && ! $chosen_peers ]] && PEERS=("${QUICK_PEERS[@]}")
[[ $quick && ! $chosen_scenarios ]] && SCENARIOS=("${QUICK_SCENARIOS[@]}")

source scripts/lib/server.sh
BIN=$(target_dir)/release
out=$(target_dir)/bench
csv=$out/$(date -u +%Y%m%dT%H%M%SZ).csv

check_machine() {
    need wrk wrk
    need taskset util-linux
    [[ ! " ${SCENARIOS[*]}" =~ \ (h2|greedy)- ]] || need h2load nghttp2-client
    [[ "${SCENARIOS[*]} " != *"-tls "* ]] || need openssl openssl
    [[ ! " ${SCENARIOS[*]}" =~ \ files-[0-9a-z]+-tls ]] || need curl curl
    need_two_cores
    # For NGINX, the idle connections and the client.
    ulimit -n "$(ulimit -Hn)"
    local files=4096
    [[ " ${SCENARIOS[*]} " != *-10000" "* ]] || files=16384
    (($(ulimit -n) >= files)) || die "$files open files are needed: raise the hard limit (ulimit -Hn)"
}

build() {
    say "building (release)"
    [[ " ${PEERS[*]} " != *" windlass"* ]] || cargo build --release --quiet --bin windlass
    cargo build --release --quiet -p windlass-peers
}

# start_peers SCENARIO: starts every peer that supports the scenario; fills the arrays port_of, pid_of and
# base_kib.
start_peers() {
    local peer
    running=()
    for peer in "${PEERS[@]}"; do
        if lacks "$peer" "$1" || ! is_installed "$peer"; then
            say "  $peer: skipped, not installed or without this scenario"
            continue
        fi
        pick_port
        command_of "$peer" "$PORT" "$1"
        start_server "$SERVER_CORE" "$PORT" "${COMMAND[@]}"
        TARGET=127.0.0.1:$PORT
        check_scenario "$1" 0.3 >"$WORK/warm-up" ||
            { cat "$WORK/warm-up" >&2; fail "$peer does not serve $1 correctly"; }
        port_of[$peer]=$PORT pid_of[$peer]=$SERVER_PID
        running+=("$peer")
        base_kib[$peer]=$(resident_kib "$SERVER_PID")
    done
}

# measure SCENARIO PEER PASS: runs one pass and appends a CSV row.
measure() {
    local scenario=$1 peer=$2 pass=$3 before after loader requests errors cpu_us idle_cpu= per_connection=
    TARGET=127.0.0.1:${port_of[$peer]}
    before=$(cpu_ns "${pid_of[$peer]}")
    # Emptied here: watch_idle may read it before the loader runs, and must not see the previous pass.
    : >"$WORK/result"
    run_scenario "$scenario" "$seconds" >>"$WORK/result" &
    loader=$!
    [[ ! $scenario =~ ^(idle|sse|ws-hub|ws-idle)- ]] || watch_idle "$scenario" "$peer" "$loader"
    wait "$loader" || { cat "$WORK/result" >&2; fail "$peer failed in $scenario"; }
    after=$(cpu_ns "${pid_of[$peer]}")
    field() { value "$1" <"$WORK/result"; }
    requests=$(field requests) errors=$(field errors)
    ((${requests:-0} > 0)) || fail "$peer answered no request in $scenario"
    ((${errors:-1} == 0)) || fail "$peer: $errors errors in $scenario"
    cpu_us=$(awk -v ns=$((after - before)) -v n="$requests" 'BEGIN { printf "%.4f", ns / 1e3 / n }')
    count_by_connection "$scenario" "$peer" "$pass"
    append_row "$scenario" "$peer" "$(role_of "$peer" "$scenario")" "${version[$peer]}" "$pass" \
        "$(field seconds)" "$requests" "$errors" "$(field per_second)" "$cpu_us" \
        "$(field p50_us)" "$(field p99_us)" "$(field connection_min)" "$(field connection_max)" \
        "$(peak_kib "${pid_of[$peer]}")" "$per_connection" "$idle_cpu"
    say "  pass $pass/$(passes_of "$scenario")  $peer: $cpu_us µs/request, $(field per_second) requests/s"
}

# append_row VALUE…: appends a row to the CSV file.
append_row() {
    local IFS=,
    echo "$*" >>"$csv"
}

# count_by_connection SCENARIO PEER PASS: adds the requests per connection, which wrk does not report, once
# per server.
count_by_connection() {
    [[ ! $(field connection_min) && $3 == 1 ]] || return 0
    check_scenario "$1" "$FAIRNESS_SECONDS" >"$WORK/counted" ||
        { cat "$WORK/counted" >&2; fail "$2 failed in $1"; }
    grep ^connection_ "$WORK/counted" >>"$WORK/result"
}

run_all() {
    local scenario peer pass
    for scenario in "${SCENARIOS[@]}"; do
        say "$scenario"
        [[ $scenario != *-tls || -e $WORK/cert.pem ]] || make_pair
        start_peers "$scenario"
        for ((pass = 1; pass <= $(passes_of "$scenario"); pass++)); do
            for peer in "${running[@]}"; do measure "$scenario" "$peer" "$pass"; done
        done
        stop_servers
    done
}

declare -A port_of pid_of base_kib version
declare -a running
check_machine
[[ ! $build ]] || build
for peer in "${PEERS[@]}"; do
    if is_installed "$peer"; then version[$peer]=$(version_of "$peer"); fi
done
mkdir -p "$out"
append_row scenario server role version pass seconds requests errors requests_per_second cpu_us_per_request \
    p50_us p99_us least_per_connection most_per_connection peak_kib bytes_per_connection idle_cpu_percent
run_all
{
    echo "CPU: $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1)," \
        "kernel $(uname -r), $(rustc --version)."
    echo "Medians of $passes interleaved passes of $seconds s;" \
        "server on core $SERVER_CORE, client on core $CLIENT_CORE."
    echo
    awk -f scripts/bench/report.awk "$csv"
} | tee "${csv%.csv}.md"
say "raw passes: $csv"
