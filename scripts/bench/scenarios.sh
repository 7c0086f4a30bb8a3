# What bench.sh does to each server. A new one: its name in SCENARIOS and a line in run_scenario.
#
# A scenario loads $TARGET for $1 seconds from $CLIENT_CORE and prints key=value lines (requests, errors, p50_us, …).
# wrk makes the plain ones, because everybody can repeat them; our own load generator makes what wrk cannot and
# checks every byte. wrk does not look at bodies: warm_up_scenario has `load` check them before wrk is trusted.

SCENARIOS=(plain-64 pipelined-16 get-json churn-close post-4k idle-1000 h2-m100 h2-m1 grpc-unary-tls grpc-stream-tls)

run_scenario() {
    case $1 in
        plain-64) with_wrk "$2" /demo/plaintext ;;
        pipelined-16) with_load "$2" --pipeline 16 ;;
        get-json) with_wrk "$2" /demo/json ;;
        churn-close) with_load "$2" --churn ;;
        post-4k) with_load "$2" --path /demo/echo --body-bytes 4096 ;;
        idle-1000) with_load "$2" --idle 1000 ;;
        h2-m100) with_h2load "$2" -m100 ;;
        h2-m1) with_h2load "$2" -m1 ;;
        grpc-unary-tls) with_grpc "$2" unary ;;
        grpc-stream-tls) with_grpc "$2" stream ;;
        *) die "no such scenario: $1" ;;
    esac
}

warm_up_scenario() {
    case $1 in
        plain-64) with_load 0.3 ;;
        get-json) with_load 0.3 --path /demo/json ;;
        h2-*) check_h2 && run_scenario "$1" 0.3 ;;
        *) run_scenario "$1" 0.3 ;;
    esac
}

with_wrk() { taskset -c "$CLIENT_CORE" wrk -t1 -c64 -d"$1" -s scripts/bench/wrk.lua "http://$TARGET$2" | grep =; }

with_load() {
    local seconds=$1
    shift
    taskset -c "$CLIENT_CORE" "$BIN/load" --target "$TARGET" --duration "$seconds" "$@"
}
