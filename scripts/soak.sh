#!/usr/bin/env bash
# Loads a server for a long time, watches its memory, descriptors, threads and latency, and judges them. Exit
# status 0 only if every rule holds. The script starts and stops our server; --target names another one.
#
# usage: scripts/soak.sh [OPTION]… [-- ARGUMENT…]
#
#   --workload NAME      h1, h2, ws, sse, slow or mixed (mixed); `windlass load --help` describes them
#   --duration TIME      such as 30s, 10m or 1h (10m)
#   --connections N      number of connections (64)
#   --rate R             requests per second (1000)
#   --events N           events that are published, instead of a duration
#   --event-rate R       events published per second
#   --engine ENGINE      auto, io_uring or epoll (auto)
#   --ab                 runs both engines side by side
#   --nothing-dropped    250 subscribers, half of them slow, 10,000 events, and mailboxes that hold all of
#                        them: no event may be dropped; --connections, --events and --event-rate change the
#                        numbers
#   --target URL         a server that runs on this machine already
#   --serve ARGUMENT     another argument for our server; may be repeated
#   --config FILE        configuration of our server; with the workloads slow and mixed `send_buffer_bytes =
#                        16384` is put in front
#   --out DIR            directory of the results (soak/ in the target directory)
#   --no-build           uses the binary from an earlier run
#   -- ARGUMENT…         more arguments for `windlass soak`, whose --help lists every threshold, such as
#                        --every 10s
#
# DIR gets report.html, a CSV with a line for each second, and the metrics of the server before and after.
#
# Needs what the README names, and taskset (util-linux).
set -euo pipefail
source "$(dirname "$0")/lib/script.sh"

workload=mixed duration=10m connections='' rate=1000 events='' event_rate='' engine=auto target='' config=''
ab='' nothing_dropped='' build=yes out=$(target_dir)/soak serve=() more=()
while (($#)); do
    case $1 in
        --workload) take_choice workload "h1 h2 ws sse slow mixed" "$@"; shift 2 ;;
        --duration) take_duration duration "$@"; shift 2 ;;
        --connections) take_number connections "$@"; shift 2 ;;
        --rate) take_rate rate "$@"; shift 2 ;;
        --events) take_number events "$@"; shift 2 ;;
        --event-rate) take_rate event_rate "$@"; shift 2 ;;
        --engine) take_choice engine "auto io_uring epoll" "$@"; shift 2 ;;
        --target) take_text target "$@"; shift 2 ;;
        --serve) take_text argument "$@"; serve+=("$argument"); shift 2 ;;
        --config) take_file config "$@"; shift 2 ;;
        --out) take_path out "$@"; shift 2 ;;
        --no-build) build=; shift ;;
        --ab) ab=yes; shift ;;
        --nothing-dropped) nothing_dropped=yes; shift ;;
        --) shift; more=("$@"); break ;;
        *) other_argument "$1" ;;
    esac
done
[[ ! $target || $target == http://* ]] ||
    die "--target: '$target' is not a URL such as http://127.0.0.1:3000/"
[[ ! $target || ! $ab ]] || die "--ab runs our own engines, not a --target"
[[ ! $target || ! $nothing_dropped ]] ||
    die "--nothing-dropped sets the mailboxes of our own server, not of a --target"

source scripts/lib/server.sh
need taskset util-linux
if [[ $build ]]; then
    say "building (release)"
    cargo build --release --quiet --bin windlass
fi
bin=${WINDLASS_BIN:-$(target_dir)/release/windlass}
[[ -x $bin ]] || die "$bin is missing: run without --no-build"

# given OPTION: succeeds if the option is among the arguments for `windlass soak`.
given() { printf '%s\n' "${more[@]}" | grep -qxE -- "$1(=.*)?"; }

# Memory grows until the mailboxes are full or publishing ends, so the rule on its spread does not apply.
if [[ $nothing_dropped ]]; then
    workload=slow connections=${connections:-250} events=${events:-10000} event_rate=${event_rate:-200}
    serve+=(--mailbox-events "$events" --mailbox-bytes $((events * 4096)))
    given --max-dropped-slow || more+=(--max-dropped-slow 0)
    given --max-rss-spread || more+=(--max-rss-spread 100)
fi
# Small kernel buffers: large ones would hide a slow reader for a long time.
[[ $workload != slow && $workload != mixed ]] || echo 'send_buffer_bytes = 16384' >"$WORK/windlass.toml"
[[ -z $config ]] || cat "$config" >>"$WORK/windlass.toml"
[[ ! -e $WORK/windlass.toml ]] || serve+=(--config "$WORK/windlass.toml")
# A rate by default: a closed loop would keep the server at its limit and measure how fast it is.
load=(--workload "$workload" --duration "$duration" --connections "${connections:-64}" --rate "$rate")
[[ ! $events ]] || load+=(--events "$events")
[[ ! $event_rate ]] || load+=(--event-rate "$event_rate")

# start_ours ENGINE: starts our server and appends it to `targets`.
targets=()
start_ours() {
    pick_port
    start_server "$(allowed_cores)" "$PORT" \
        "$bin" serve --engine "$1" --listen "127.0.0.1:$PORT" "${serve[@]}"
    targets+=(--target "$1=http://127.0.0.1:$PORT/demo/json" --pid "$SERVER_PID")
}

if [[ $target ]]; then
    targets=(--target "$target")
elif [[ $ab ]]; then
    start_ours io_uring
    start_ours epoll
else
    start_ours "$engine"
fi
"$bin" soak "${targets[@]}" "${load[@]}" --out "$out" "${more[@]}"
