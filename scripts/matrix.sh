#!/usr/bin/env bash
# Runs every kind of traffic against every kind of server, a little of each, and reports which of them leaves
# descriptors open. Exit status 0 only if every cell was served without an error and left none.
#
# usage: scripts/matrix.sh [OPTION]…
#
#   --cells GLOBS      cells to run, globs separated by commas (all)
#   --exclude GLOBS    cells to leave out
#   --duration N       seconds per cell (5)
#   --passes N         number of passes over all cells (1)
#   --quick            one second per cell
#   --settle N         seconds in which a server must close what a cell opened (10)
#   --list             prints the cells that would run
#   --serve ARGUMENT   another argument for the servers; may be repeated
#   --no-build         uses the binary from an earlier run
#
# A cell is ENGINE/PROTOCOL/DISPATCH/SCENARIO, such as epoll/h2/async/many. Globs are those of the shell; *
# matches slashes.
#
#   ENGINE    io_uring, epoll: one server each, shared by all its cells
#   PROTOCOL  h1, h2, ws (echoed messages), sse (events to subscribers)
#   DISPATCH  inline, or async: h1 and h2 on the pool
#   SCENARIO  few     4 connections, closed loop
#             many    200 connections, 2,000 requests or 100 events per second
#             slow    64 subscribers, half of which read slowly
#             killed  64 connections, whose process is killed in the middle
#
# Needs what the README names, and taskset (util-linux).
set -euo pipefail
source "$(dirname "$0")/lib/script.sh"

# Lines of the table of cells that left descriptors open.
LEADERS=15

cells=() excluded=() serve=() duration=5 passes=1 settle=10 list='' build=yes
while (($#)); do
    case $1 in
        --cells) take_list cells "$@"; shift 2 ;;
        --exclude) take_list excluded "$@"; shift 2 ;;
        --duration) take_number duration "$@"; shift 2 ;;
        --passes) take_number passes "$@"; shift 2 ;;
        --settle) take_number settle "$@"; shift 2 ;;
        --serve) take_text argument "$@"; serve+=("$argument"); shift 2 ;;
        --no-build) build=; shift ;;
        --quick) duration=1; shift ;;
        --list) list=yes; shift ;;
        *) other_argument "$1" ;;
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

# matches CELL GLOB…: succeeds if one of the globs matches the cell.
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

# load_arguments PROTOCOL DISPATCH SCENARIO: sets ARGUMENTS to those of `windlass load`.
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

# Prints the number of descriptors of the server.
fds() { find "/proc/$SERVER_PID/fd" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l; }

# settled_fds N: waits until the server has at most N descriptors or the time to settle is over; prints their
# number.
settled_fds() {
    local deadline=$((SECONDS + settle))
    while (($(fds) > $1 && SECONDS < deadline)); do pause 0.05; done
    fds
}

# Prints the number of requests, deliveries and messages that the server counted.
counted() {
    local page
    exec 3<>"/dev/tcp/127.0.0.1/$PORT"
    printf 'GET /metrics HTTP/1.0\r\nhost: t\r\n\r\n' >&3
    page=$(cat <&3)
    exec 3>&-
    awk '/^windlass_(requests|topic_deliveries|websocket_messages)_total/ && !/"\/metrics"/ { sum += $NF }
        END { printf "%d", sum }' <<<"$page"
}

# Loads the server; sets REQUESTS and ERRORS.
run_load() {
    local result
    result=$("$bin" load --json --duration "$duration" "${ARGUMENTS[@]}" 2>&1) || true
    REQUESTS=$(sed -n 's/.*"requests":\([0-9]*\).*/\1/p' <<<"$result")
    ERRORS=$(sed -n 's/.*"errors":\([0-9]*\).*/\1/p' <<<"$result")
    [[ ${ERRORS:-1} == 0 ]] || say "$result"
    REQUESTS=${REQUESTS:-0} ERRORS=${ERRORS:-1}
}

# Loads the server and kills the load generator; sets REQUESTS from the counters of the server.
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

# Prints what may explain why the server served nothing.
explain_nothing() {
    local waiting
    waiting=$(awk '$4 == "06"' /proc/net/tcp /proc/net/tcp6 2>/dev/null | wc -l)
    say "  nothing was served: the server has" \
        "$(find "/proc/$SERVER_PID/task" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l) tasks," \
        "RSS $(awk '/^VmRSS:/ { print $2, $3 }' "/proc/$SERVER_PID/status" 2>/dev/null)," \
        "$(fds) fds, nofile $(awk '/^Max open files/ { print $4 }' "/proc/$SERVER_PID/limits" 2>/dev/null);" \
        "the machine has $waiting sockets in TIME_WAIT"
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

# Opens what the server opens once per kind of traffic, so that it does not count as a leak.
warm_up() {
    local kind count looks=0 deadline=$((SECONDS + settle))
    for kind in h1/inline h1/async h2/inline ws/inline sse/inline; do
        load_arguments "${kind%/*}" "${kind#*/}" few
        "$bin" load --duration 0.1s "${ARGUMENTS[@]}" >/dev/null 2>&1 || true
    done
    # Until a quarter of a second passes without a change.
    count=$(fds)
    while ((looks < 5 && SECONDS < deadline)); do
        pause 0.05
        if (($(fds) == count)); then looks=$((looks + 1)); else count=$(fds) looks=0; fi
    done
}

# run_engine ENGINE: runs the cells on standard input.
run_engine() {
    local engine=$1 protocol dispatch scenario
    pick_port
    start_server "$(allowed_cores)" "$PORT" \
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
[[ $selected ]] || die "no cell matches: --list prints all cells"
if [[ $list ]]; then
    echo "$selected"
    exit 0
fi

source scripts/lib/server.sh
need taskset util-linux
if [[ $build ]]; then
    say "building (release)"
    cargo build --release --quiet --bin windlass
fi
bin=${WINDLASS_BIN:-$(target_dir)/release/windlass}
[[ -x $bin ]] || die "$bin is missing: run without --no-build"

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
