#!/usr/bin/env bash
# Runs the fuzzing client of the Autobahn test suite against /demo/ws-echo, all its cases, and compares what came with
# what is expected: benches/results/autobahn.json. Exit status 1 where a case differs.
#
# The suite is on PyPI and needs Python 2.7, which `pyenv install 2.7.18` builds where the system has none. Then
#   virtualenv -p python2.7 VENV && VENV/bin/pip install autobahntestsuite
#   WINDLASS_AUTOBAHN=VENV/bin/python scripts/autobahn.sh
# (a virtualenv older than 20.22). Without WINDLASS_AUTOBAHN it is python2.7 on the PATH. Where the suite is missing the
# exit status is 77.
#
# Groups 1 to 10 take half a minute on each engine, 12 and 13 some 13 minutes: that is the suite, which has one thread.
# The limit for a message is raised to the 16 MiB that group 9 sends.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'USAGE'
usage: scripts/autobahn.sh [--engine io_uring|epoll] [--record] [--no-build] [CASE ...]
  CASE        cases, such as 6.4.1 or '12.*' (all)
  --engine    one engine (both)
  --record    what came on the first engine becomes what is expected; all cases only
USAGE
}

engines=(io_uring epoll)
cases=()
record=
build=1
while (($#)); do
    case $1 in
    --engine) engines=("${2:?--engine needs a name}"); shift 2 ;;
    --record) record=1; shift ;;
    --no-build) build=; shift ;;
    -h | --help) usage; exit ;;
    -*) usage >&2; exit 2 ;;
    *) cases+=("$1"); shift ;;
    esac
done
[[ ! $record ]] || ((${#cases[@]} == 0)) || { usage >&2; exit 2; }
((${#cases[@]})) || cases=('*')

python=${WINDLASS_AUTOBAHN:-python2.7}
if ! "$python" -c 'import autobahntestsuite.wstest' 2>/dev/null; then
    echo "autobahn.sh: skipped: $python has no autobahntestsuite; see its head" >&2
    exit 77
fi

source scripts/lib/server.sh
need taskset util-linux
[[ ! $build ]] || cargo build --quiet --release --bin windlass
windlass=${CARGO_TARGET_DIR:-target}/release/windlass
expected=benches/results/autobahn.json

# spec URL: what the fuzzing client is to do.
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
    start_server "0-$(($(nproc) - 1))" "$PORT" "$windlass" --config "$WORK/config.toml" --listen "127.0.0.1:$PORT"
    spec "ws://127.0.0.1:$PORT/demo/ws-echo" >"$WORK/spec.json"
    rm -rf "$WORK/reports"
    "$python" -m autobahntestsuite.wstest -m fuzzingclient -s "$WORK/spec.json" >"$WORK/log" 2>&1 ||
        { tail -n 20 "$WORK/log" >&2; die "the fuzzing client ended with an error"; }
    kill -0 "$SERVER_PID" || die "the server ended meanwhile"
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
