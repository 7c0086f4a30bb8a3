#!/usr/bin/env bash
# Runs the fuzzing client of the Autobahn test suite against /demo/ws-echo and compares each case with the
# expected result in benches/results/autobahn.json. Exit status 1 if a case differs.
#
# usage: scripts/autobahn.sh [OPTION]… [CASE]…
#
#   --engine ENGINE   io_uring or epoll (both)
#   --record          saves the results of the first engine as the expected ones; runs all cases
#   --no-build        uses the binary from an earlier run
#   CASE              cases, such as 6.4.1 or '12.*' (all)
#
# Needs taskset (util-linux), Python 2.7 and the suite, which is on PyPI. Where the system has no Python 2.7,
# `pyenv install 2.7.18` builds it. Then
#   virtualenv -p python2.7 VENV && VENV/bin/pip install autobahntestsuite
#   WINDLASS_AUTOBAHN=VENV/bin/python scripts/autobahn.sh
# with a virtualenv older than 20.22. Without WINDLASS_AUTOBAHN the script uses python2.7 from the PATH. If
# the suite is missing, the exit status is 77.
#
# Groups 1 to 10 take half a minute on each engine. Groups 12 and 13 take some 13 minutes, because the suite
# has a single thread. The message limit is raised to the 16 MiB that group 9 sends.
set -euo pipefail
source "$(dirname "$0")/lib/script.sh"

engines=(io_uring epoll) engine='' cases=() record='' build=yes
while (($#)); do
    case $1 in
        --engine) take_choice engine "io_uring epoll" "$@"; engines=("$engine"); shift 2 ;;
        --record) record=yes; shift ;;
        --no-build) build=; shift ;;
        -*) other_argument "$1" ;;
        *)
            [[ $1 =~ ^[0-9*][0-9.*]*$ ]] || die "'$1' is not a case such as 6.4.1 or '12.*'"
            cases+=("$1")
            shift
            ;;
    esac
done
[[ ! $record ]] || ((${#cases[@]} == 0)) || die "--record runs all cases: name none"
((${#cases[@]})) || cases=('*')

python=${WINDLASS_AUTOBAHN:-python2.7}
if ! "$python" -c 'import autobahntestsuite.wstest' 2>/dev/null; then
    say "autobahn.sh: skipped: $python has no autobahntestsuite (see --help)"
    exit 77
fi

source scripts/lib/server.sh
need taskset util-linux
[[ ! $build ]] || cargo build --quiet --release --bin windlass
windlass=$(target_dir)/release/windlass
expected=benches/results/autobahn.json

# spec URL: prints the configuration of the fuzzing client.
spec() {
    local quoted
    quoted=$(printf '"%s",' "${cases[@]}")
    cat <<SPEC
{"outdir": "$WORK/reports", "servers": [{"agent": "windlass", "url": "$1"}], "cases": [${quoted%,}],
 "exclude-cases": [], "exclude-agent-cases": {}}
SPEC
}

# fuzz ENGINE: writes $WORK/ENGINE.json, case → behaviour.
fuzz() {
    pick_port
    printf 'engine = "%s"\n[limits]\nws_message_bytes = 16777216\n' "$1" >"$WORK/config.toml"
    start_server "0-$(($(nproc) - 1))" "$PORT" \
        "$windlass" --config "$WORK/config.toml" --listen "127.0.0.1:$PORT"
    spec "ws://127.0.0.1:$PORT/demo/ws-echo" >"$WORK/spec.json"
    rm -rf "$WORK/reports"
    "$python" -m autobahntestsuite.wstest -m fuzzingclient -s "$WORK/spec.json" >"$WORK/log" 2>&1 ||
        { tail -n 20 "$WORK/log" >&2; die "the fuzzing client ended with an error"; }
    kill -0 "$SERVER_PID" || die "the server ended during the run"
    stop_servers
    "$python" scripts/lib/autobahn.py condense "$WORK/reports/index.json" "$WORK/$1.json"
}

failed=0
for engine in "${engines[@]}"; do
    fuzz "$engine"
    [[ ! $record ]] || cp "$WORK/$engine.json" "$expected"
    record=
    "$python" scripts/lib/autobahn.py compare "$engine" "$WORK/$engine.json" "$expected" || failed=1
done
exit "$failed"
