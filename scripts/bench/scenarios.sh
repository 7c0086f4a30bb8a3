# What bench.sh does to each server. A new one: its name in SCENARIOS and a line in run_scenario.
#
# A scenario loads $TARGET for $1 seconds from $CLIENT_CORE and prints key=value lines (requests, errors, p50_us, …).
# wrk makes the plain ones, because everybody can repeat them; our own load generator makes what wrk cannot and
# checks every byte. wrk does not look at bodies: warm_up_scenario has `load` check them before wrk is trusted.

SCENARIOS=(plain-64 pipelined-16 get-json churn-close post-4k idle-1000)

run_scenario() {
    case $1 in
        plain-64) with_wrk "$2" /demo/plaintext ;;
        pipelined-16) with_load "$2" --pipeline 16 ;;
        get-json) with_wrk "$2" /demo/json ;;
        churn-close) with_load "$2" --churn ;;
        post-4k) with_load "$2" --path /demo/echo --body-bytes 4096 ;;
        idle-1000) with_load "$2" --idle 1000 ;;
        *) die "no such scenario: $1" ;;
    esac
}

warm_up_scenario() {
    case $1 in
        plain-64) with_load 0.3 ;;
        get-json) with_load 0.3 --path /demo/json ;;
        *) run_scenario "$1" 0.3 ;;
    esac
}

with_wrk() { taskset -c "$CLIENT_CORE" wrk -t1 -c64 -d"$1" -s scripts/bench/wrk.lua "http://$TARGET$2" | grep =; }

with_load() {
    local seconds=$1
    shift
    taskset -c "$CLIENT_CORE" "$BIN/load" --target "$TARGET" --duration "$seconds" "$@"
}
