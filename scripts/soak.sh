#!/usr/bin/env bash
# Loads a server for long, watches its memory, descriptors, threads and latency, and judges: exit status 0 only if it
# passes by every rule. Ours is started and stopped by this script; yours is named with --target.
#
#   scripts/soak.sh [--duration 10m] [--workload mixed] [--connections 64] [--out DIR] [--engine io_uring|epoll] [--ab]
#   scripts/soak.sh --target http://127.0.0.1:3000/path --workload h1 …
#
#   --workload   h1, h2, sse, ws, mixed or slow; see windlass load --help
#   --ab         both engines side by side
#   --nothing-dropped  250 subscribers, half of them slow, 10,000 events, and mailboxes that hold all of them: none may be
#                lost. --connections, --events and --event-rate change it
#   --every 10s  look that often, not every second
#   --target     a server that runs already, on this machine
#   --serve ARG  another argument for our server; may be repeated
#   --config FILE  its configuration; with the workloads slow and mixed 'send_buffer_bytes = 16384' is put before it
#   --build no   use the binary that is there
#
# What else is given goes to 'windlass soak', whose --help lists every threshold. DIR (default: target/soak) gets report.html,
# a CSV with a line for each second, and the server's metrics before and after. Needs what the README names.
set -euo pipefail
here=$PWD
cd "$(dirname "$0")/.."
# shellcheck source=lib/server.sh
source scripts/lib/server.sh

workload=mixed duration=10m connections=64 engine=auto ab='' keeps='' events=10000 target='' config='' build=yes out=${CARGO_TARGET_DIR:-target}/soak
serve=() more=()
while (($#)); do
    case $1 in
        --workload) workload=$2; shift 2 ;;
        --duration) duration=$2; shift 2 ;;
        --connections) connections=$2; shift 2 ;;
        --engine) engine=$2; shift 2 ;;
        --target) target=$2; shift 2 ;;
        --serve) serve+=("$2"); shift 2 ;;
        --config) config=$2 && [[ $config == /* ]] || config=$here/$2; shift 2 ;;
        --out) out=$2 && [[ $out == /* ]] || out=$here/$2; shift 2 ;;
        --build) build=$2; shift 2 ;;
        --ab) ab=yes; shift ;;
        --nothing-dropped) keeps=yes workload=slow connections=250; shift ;;
        --events) events=$2; more+=("$1" "$2"); shift 2 ;;
        -h | --help) sed -n '2,/^set /{ /^set /d; s/^# \{0,1\}//p }' "$0"; exit 0 ;;
        *) more+=("$1"); shift ;;
    esac
done
[[ -z $target || -z $ab ]] || die "--ab is for our own engines, not for a --target"

if [[ $build == yes ]]; then
    say "building (release)"
    cargo build --release --quiet --bin windlass
fi
bin=${WINDLASS_BIN:-${CARGO_TARGET_DIR:-target}/release/windlass}
[[ -x $bin ]] || die "$bin is not there"

# A closed loop would measure how fast the server is, and keep it at its limit for the whole time.
has() { printf '%s\n' "${more[@]}" | grep -qxE -- "$1(=.*)?"; }
has --rate || more+=(--rate 1000)
# Mailboxes fill until nothing more is published: memory that grows is what is asked for here.
if [[ $keeps ]]; then
    [[ -z $target ]] || die "--nothing-dropped is for our own server, whose mailboxes it sets"
    serve+=(--mailbox-events "$events" --mailbox-bytes $((events * 4096)))
    more+=(--max-dropped-slow 0)
    has --events || more+=(--events "$events")
    has --event-rate || more+=(--event-rate 200)
    has --max-rss-spread || more+=(--max-rss-spread 100)
fi
# Buffers of the kernel would hide for long that somebody reads slowly.
[[ $workload != slow && $workload != mixed ]] || echo 'send_buffer_bytes = 16384' >"$WORK/windlass.toml"
[[ -z $config ]] || cat "$config" >>"$WORK/windlass.toml"
[[ ! -e $WORK/windlass.toml ]] || serve+=(--config "$WORK/windlass.toml")

# Starts ours with an engine; appends it to TARGETS.
TARGETS=()
start_ours() {
    pick_port
    start_server "$(taskset -pc $$ | sed 's/.*: //')" "$PORT" "$bin" serve --engine "$1" --listen "127.0.0.1:$PORT" "${serve[@]}"
    TARGETS+=(--target "$1=http://127.0.0.1:$PORT/demo/json" --pid "$SERVER_PID")
}

if [[ $target ]]; then
    TARGETS=(--target "$target")
elif [[ $ab ]]; then
    start_ours io_uring
    start_ours epoll
else
    start_ours "$engine"
fi
status=0
"$bin" soak "${TARGETS[@]}" --workload "$workload" --duration "$duration" --connections "$connections" --out "$out" "${more[@]}" || status=$?
exit $status
