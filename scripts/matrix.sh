#!/usr/bin/env bash
# Runs every kind of traffic against every kind of server, a little of each, and says which of them leaves descriptors
# behind. Exit status 0 only if every cell was served, without an error, and left none.
#
#   scripts/matrix.sh [--cells GLOB,…] [--exclude GLOB,…] [--duration 5] [--passes 1] [--quick] [--list]
#
# A cell is ENGINE/PROTOCOL/DISPATCH/SCENARIO, such as epoll/h2/async/many; globs are the shell's, and * covers slashes.
#
#   ENGINE    io_uring, epoll: one server each, which all its cells share
#   PROTOCOL  h1, h2, ws (messages that come back), sse (events to subscribers)
#   DISPATCH  inline, or async: h1 and h2 on the pool
#   SCENARIO  few     4 connections, each answer brings the next request
#             many    200 connections, 2,000 requests or 100 events a second
#             slow    64 subscribers, half of which read slowly
#             killed  64 connections, whose process is killed in the middle
#
#   --duration N  seconds of a cell
#   --passes N    how often all cells run, one pass after the other
#   --quick       a second of each cell
#   --settle N    seconds a server may take to close what a cell opened (10)
#   --list        print the cells that would run
#   --serve ARG   another argument for the servers; may be repeated
#   --build no    use the binary that is there
#
# Needs what the README names, and taskset (util-linux).
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=lib/server.sh
source scripts/lib/server.sh

LEADERS=15

cells=() excluded=() serve=() duration=5 passes=1 settle=10 list='' build=yes
while (($#)); do
    case $1 in
        --cells) IFS=, read -ra cells <<<"$2"; shift 2 ;;
        --exclude) IFS=, read -ra excluded <<<"$2"; shift 2 ;;
        --duration) duration=$2; shift 2 ;;
        --passes) passes=$2; shift 2 ;;
        --settle) settle=$2; shift 2 ;;
        --serve) serve+=("$2"); shift 2 ;;
        --build) build=$2; shift 2 ;;
        --quick) duration=1; shift ;;
        --list) list=yes; shift ;;
        -h | --help) sed -n '2,/^set /{ /^set /d; s/^# \{0,1\}//p }' "$0"; exit 0 ;;
        *) die "$1: see --help" ;;
    esac
done

all_cells() {
    local engine protocol
    for engine in io_uring epoll; do
        for protocol in h1 h2; do
            printf "$engine/$protocol/%s\n" {inline,async}/{few,many,killed}
        done
        printf "$engine/ws/inline/%s\n" few many killed
        printf "$engine/sse/inline/%s\n" few many slow killed
    done
}

# matches CELL GLOB...: says whether one of the globs is the cell's.
matches() {
    local cell=$1 glob
    shift
    # shellcheck disable=SC2053
    for glob; do [[ $cell != $glob ]] || return 0; done
    return 1
}

select_cells() {
    local cell
    while read -r cell; do
        ((!${#cells[@]})) || matches "$cell" "${cells[@]}" || continue
        ((!${#excluded[@]})) || ! matches "$cell" "${excluded[@]}" || continue
        echo "$cell"
    done < <(all_cells)
}

# Sets ARGUMENTS to those of 'windlass load' for PROTOCOL DISPATCH SCENARIO.
load_arguments() {
    local path=/demo/json workload=$1
    [[ $2 == inline ]] || path=/demo/work
    case $3 in
        few) ARGUMENTS=(--connections 4) ;;
        many) ARGUMENTS=(--connections 200 --rate 2000) ;;
        slow) ARGUMENTS=(--connections 64) workload=slow ;;
        killed) ARGUMENTS=(--connections 64) ;;
    esac
    ARGUMENTS+=(--workload "$workload" "http://127.0.0.1:$PORT$path")
}

fds() { find "/proc/$SERVER_PID/fd" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l; }

pause() { read -rt "$1" <> <(:) || true; }

# Waits until the server has no more than so many descriptors, or they do not get fewer; prints how many there are.
settled_fds() {
    local deadline=$((SECONDS + settle))
    while (($(fds) > $1 && SECONDS < deadline)); do pause 0.05; done
    fds
}

# Prints how many requests, deliveries and messages the server has counted.
counted() {
    local page
    exec 3<>"/dev/tcp/127.0.0.1/$PORT"
    printf 'GET /metrics HTTP/1.0\r\nhost: t\r\n\r\n' >&3
    page=$(cat <&3)
    exec 3>&-
    awk '/^windlass_(requests|topic_deliveries|websocket_messages)_total/ && !/"\/metrics"/ { sum += $NF }
        END { printf "%d", sum }' <<<"$page"
}

# Loads and sets REQUESTS and ERRORS.
run_load() {
    local result
    result=$("$bin" load --json --duration "$duration" "${ARGUMENTS[@]}" 2>&1) || true
    REQUESTS=$(sed -n 's/.*"requests":\([0-9]*\).*/\1/p' <<<"$result")
    ERRORS=$(sed -n 's/.*"errors":\([0-9]*\).*/\1/p' <<<"$result")
    [[ ${ERRORS:-1} == 0 ]] || say "$result"
    REQUESTS=${REQUESTS:-0} ERRORS=${ERRORS:-1}
}

# Loads, kills who does, and sets REQUESTS by what the server counted.
run_killed_load() {
    local before pid
    before=$(counted)
    "$bin" load --duration 1h "${ARGUMENTS[@]}" >/dev/null 2>&1 &
    pid=$!
    STARTED+=("$pid")
    pause "$duration"
    kill -KILL "$pid"
    wait "$pid" 2>/dev/null || true
    REQUESTS=$(($(counted) - before)) ERRORS=0
}

# Says all that may explain why a server serves nothing.
explain_nothing() {
    say "  nothing was served: the server has" \
        "$(find "/proc/$SERVER_PID/task" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l) tasks," \
        "RSS $(awk '/^VmRSS:/ { print $2, $3 }' "/proc/$SERVER_PID/status" 2>/dev/null)," \
        "$(fds) fds, nofile $(awk '/^Max open files/ { print $4 }' "/proc/$SERVER_PID/limits" 2>/dev/null);" \
        "the machine has $(awk '$4 == "06"' /proc/net/tcp /proc/net/tcp6 2>/dev/null | wc -l) sockets in TIME_WAIT"
}

run_cell() {
    local cell=$1 protocol=$2 dispatch=$3 scenario=$4 before after leaked
    load_arguments "$protocol" "$dispatch" "$scenario"
    before=$(fds)
    if [[ $scenario == killed ]]; then run_killed_load; else run_load; fi
    after=$(settled_fds "$before")
    leaked=$((after - before))
    printf '%-30s %10s %8s %6s %6s\n' "$cell" "$REQUESTS" "$ERRORS" "$before" "$after"
    ((ERRORS == 0)) || failed+=("$cell: $ERRORS errors")
    if ((REQUESTS == 0)); then
        failed+=("$cell: no request was served")
        explain_nothing
    fi
    ((leaked > 0)) || return 0
    failed+=("$cell: $leaked descriptors stayed")
    times[$cell]=$((${times[$cell]:-0} + 1))
    total[$cell]=$((${total[$cell]:-0} + leaked))
    ((leaked <= ${most[$cell]:-0})) || most[$cell]=$leaked
}

# What a server opens once, with the first of a kind, is no leak.
warm_up() {
    local kind count looks=0 deadline=$((SECONDS + settle))
    for kind in h1/inline h1/async h2/inline ws/inline sse/inline; do
        load_arguments "${kind%/*}" "${kind#*/}" few
        "$bin" load --duration 0.1s "${ARGUMENTS[@]}" >/dev/null 2>&1 || true
    done
    # A quarter of a second without a change.
    count=$(fds)
    while ((looks < 5 && SECONDS < deadline)); do
        pause 0.05
        if (($(fds) == count)); then looks=$((looks + 1)); else count=$(fds) looks=0; fi
    done
}

# Runs the cells of an engine, of standard input.
run_engine() {
    local engine=$1 protocol dispatch scenario
    pick_port
    start_server "$(taskset -pc $$ | sed 's/.*: //')" "$PORT" \
        "$bin" serve --engine "$engine" --listen "127.0.0.1:$PORT" "${serve[@]}"
    warm_up
    while IFS=/ read -r _ protocol dispatch scenario; do
        run_cell "$engine/$protocol/$dispatch/$scenario" "$protocol" "$dispatch" "$scenario"
    done
    stop_servers
}

print_leaders() {
    local cell
    if ((!${#total[@]})); then
        echo "no descriptor stayed open"
        return
    fi
    printf '%-30s %6s %6s %6s %6s\n' "descriptors that stayed" count total max avg
    for cell in "${!total[@]}"; do
        printf '%-30s %6s %6s %6s %6s\n' "$cell" "${times[$cell]}" "${total[$cell]}" "${most[$cell]}" \
            "$(awk "BEGIN { printf \"%.1f\", ${total[$cell]} / ${times[$cell]} }")"
    done | sort -k3,3nr -k1,1 | head -n "$LEADERS"
}

selected=$(select_cells)
[[ $selected ]] || die "no cell matches; --list shows all"
if [[ $list ]]; then
    echo "$selected"
    exit 0
fi
if [[ $build == yes ]]; then
    say "building (release)"
    cargo build --release --quiet --bin windlass
fi
bin=${WINDLASS_BIN:-${CARGO_TARGET_DIR:-target}/release/windlass}
[[ -x $bin ]] || die "$bin is not there"

declare -A times=() total=() most=()
failed=()
printf '%-30s %10s %8s %6s %6s\n' cell requests errors before after
for ((pass = 0; pass < passes; pass++)); do
    for engine in io_uring epoll; do
        of_engine=$(grep "^$engine/" <<<"$selected" || true)
        [[ -z $of_engine ]] || run_engine "$engine" < <(printf '%s\n' "$of_engine")
    done
done
echo
print_leaders
((!${#failed[@]})) || { printf 'FAILED %s\n' "${failed[@]}" && exit 1; }
