#!/usr/bin/env bash
# Measures CPU time per request of Windlass and of other servers, the same workload in one run.
#
# Needs wrk (Debian package wrk), taskset (util-linux) and two cores; NGINX joins when /usr/sbin/nginx exists. The
# scenarios h2-* need h2load and nghttp (nghttp2-client), grpc-* openssl.
#
# Every server runs on one thread pinned to --server-core, the client on --client-core. The passes of the servers are
# interleaved (A B C A B C …), so that a change of the machine's speed hits all of them; the table has the medians.
# CPU time is that of all the server's threads, from /proc. The figure counts when the client is the bottleneck, too:
# it is cost, not speed. p50 and p99 are those of a closed loop at full load, where scripts/bench/scenarios.sh does
# not say otherwise; scripts/isolation.sh measures latency. Fairness is the fewest requests that a connection was
# served to the most; where wrk makes the load it comes from a short pass of its own.
#
# A pass with no request, an error, or a status that is not 2xx ends the run: exit status 1.
# Results: a CSV row for each pass and a Markdown table, in <target>/bench/.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'USAGE'
usage: scripts/bench.sh [--quick] [--peers A,B] [--scenarios A,B] [--passes N] [--seconds S]
                        [--server-core N] [--client-core N] [--no-build]
  --quick        the most telling peers and scenarios, short passes: under 2 minutes (after the build)
  --peers        windlass windlass-epoll hyper axum actix fastwebsockets ntex may tonic nginx tokio-bare ring-bare
  --scenarios    plain-64 pipelined-16 get-json get-json-1k post-4k churn-close async-mix idle-1000 idle-10000
                 h2-m100 h2-m1 grpc-unary-tls grpc-stream-tls sse-1000 sse-1000-fast sse-10000
                 ws-echo-256 ws-echo-64k ws-hub-1000 ws-idle-10000
  --passes       measured passes of each server in each scenario (5; quick: 2; with 10000 connections: 1)
  --seconds      length of one pass, whole seconds (3; quick: 1)
USAGE
}

source scripts/lib/server.sh
source scripts/bench/peers.sh
source scripts/bench/scenarios.sh
source scripts/bench/http2.sh

# Seconds in which requests are counted by connection where wrk makes the load, and in which idle connections are
# looked at while nothing happens.
FAIRNESS_SECONDS=1 IDLE_SECONDS=2
passes=5 seconds=3 build=yes quick= chosen_peers= chosen_scenarios= SERVER_CORE=0 CLIENT_CORE=1
while (($#)); do
    case $1 in
        --quick) quick=yes passes=2 seconds=1 FAIRNESS_SECONDS=0.5 IDLE_SECONDS=1 ;;
        --peers) IFS=, read -ra PEERS <<<"$2"; chosen_peers=yes; shift ;;
        --scenarios) IFS=, read -ra SCENARIOS <<<"$2"; chosen_scenarios=yes; shift ;;
        --passes) passes=$2; shift ;;
        --seconds) seconds=$2; shift ;;
        --server-core) SERVER_CORE=$2; shift ;;
        --client-core) CLIENT_CORE=$2; shift ;;
        --no-build) build= ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; die "unknown argument: $1" ;;
    esac
    shift
done
[[ $passes$seconds =~ ^[1-9][0-9]*$ ]] || die "--passes and --seconds take whole numbers"
[[ $quick && ! $chosen_peers ]] && PEERS=("${QUICK_PEERS[@]}")
[[ $quick && ! $chosen_scenarios ]] && SCENARIOS=("${QUICK_SCENARIOS[@]}")

BIN=${CARGO_TARGET_DIR:-target}/release
out=${CARGO_TARGET_DIR:-target}/bench
csv=$out/$(date -u +%Y%m%dT%H%M%SZ).csv

check_machine() {
    need wrk wrk
    need taskset util-linux
    [[ " ${SCENARIOS[*]}" != *" h2-"* ]] || need h2load nghttp2-client
    [[ " ${SCENARIOS[*]}" != *" grpc-"* ]] || need openssl openssl
    (($(nproc) >= 2)) || die "two cores are needed: one for the server, one for the client"
    # NGINX, the idle connections and the client each need descriptors.
    ulimit -n "$(ulimit -Hn)"
    local files=4096
    [[ " ${SCENARIOS[*]} " != *-10000" "* ]] || files=16384
    (($(ulimit -n) >= files)) || die "$files open files are needed: ulimit -n"
}

build() {
    say "building (release)"
    [[ " ${PEERS[*]} " != *" windlass"* ]] || cargo build --release --quiet --bin windlass
    cargo build --release --quiet -p windlass-peers
}

# Starts every peer that has the scenario; fills the arrays port_of, pid_of and base_kib.
start_peers() {
    local peer
    running=()
    for peer in "${PEERS[@]}"; do
        if lacks "$peer" "$1" || ! is_installed "$peer"; then
            say "  $peer: left out"
            continue
        fi
        pick_port
        command_of "$peer" "$PORT" "$1"
        start_server "$SERVER_CORE" "$PORT" "${COMMAND[@]}"
        TARGET=127.0.0.1:$PORT
        check_scenario "$1" 0.3 >"$WORK/warm-up" || { cat "$WORK/warm-up" >&2; fail "$peer does not serve $1 as it must"; }
        port_of[$peer]=$PORT pid_of[$peer]=$SERVER_PID
        running+=("$peer")
        base_kib[$peer]=$(resident_kib "$SERVER_PID")
    done
}

# One measured pass: appends a CSV row.
measure() {
    local scenario=$1 peer=$2 pass=$3 before after loader requests errors cpu_us idle_cpu= per_connection=
    TARGET=127.0.0.1:${port_of[$peer]}
    before=$(cpu_ns "${pid_of[$peer]}")
    # Emptied here: watch_idle may look before the loader runs, and must not see the pass before.
    : >"$WORK/result"
    run_scenario "$scenario" "$seconds" >>"$WORK/result" &
    loader=$!
    [[ ! $scenario =~ ^(idle|sse|ws-hub|ws-idle)- ]] || watch_idle "$scenario" "$peer" "$loader"
    wait "$loader" || { cat "$WORK/result" >&2; fail "$peer fails in $scenario"; }
    after=$(cpu_ns "${pid_of[$peer]}")
    field() { value "$1" <"$WORK/result"; }
    requests=$(field requests) errors=$(field errors)
    ((${requests:-0} > 0)) || fail "$peer answered no request in $scenario"
    ((${errors:-1} == 0)) || fail "$peer: $errors errors in $scenario"
    cpu_us=$(awk -v ns=$((after - before)) -v n="$requests" 'BEGIN { printf "%.4f", ns / 1e3 / n }')
    count_by_connection "$scenario" "$peer" "$pass"
    printf '%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s\n' "$scenario" "$peer" "$(role_of "$peer" "$scenario")" "${version[$peer]}" \
        "$pass" "$(field seconds)" "$requests" "$errors" "$(field per_second)" "$cpu_us" "$(field p50_us)" "$(field p99_us)" \
        "$(field connection_min)" "$(field connection_max)" "$(peak_kib "${pid_of[$peer]}")" "$per_connection" "$idle_cpu" >>"$csv"
    say "  pass $pass/$(passes_of "$scenario")  $peer: $cpu_us µs/request, $(field per_second) requests/s"
}

# What wrk does not know, once for each server.
count_by_connection() {
    [[ ! $(field connection_min) && $3 == 1 ]] || return 0
    check_scenario "$1" "$FAIRNESS_SECONDS" >"$WORK/counted" || { cat "$WORK/counted" >&2; fail "$2 fails in $1"; }
    grep ^connection_ "$WORK/counted" >>"$WORK/result"
}

fail() { say "bench.sh: $*"; exit 1; }

run_all() {
    local scenario peer pass
    for scenario in "${SCENARIOS[@]}"; do
        say "$scenario"
        [[ $scenario != grpc-* || -e $WORK/cert.pem ]] || make_pair
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
echo "scenario,server,role,version,pass,seconds,requests,errors,requests_per_second,cpu_us_per_request,p50_us,p99_us,least_per_connection,most_per_connection,peak_kib,bytes_per_connection,idle_cpu_percent" >"$csv"
run_all
{
    echo "CPU: $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1), kernel $(uname -r), $(rustc --version)."
    echo "Medians of $passes interleaved passes of $seconds s; server on core $SERVER_CORE, client on core $CLIENT_CORE."
    echo
    awk -f scripts/bench/report.awk "$csv"
} | tee "${csv%.csv}.md"
say "raw passes: $csv"
