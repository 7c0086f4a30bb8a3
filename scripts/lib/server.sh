# Starts, watches and stops servers, and other processes, for a script. Source it after lib/script.sh and the
# argument checks; it creates the scratch directory $WORK and installs an EXIT trap that stops everything
# started here.
#
# Processes are stopped by the process ids recorded in STARTED, never by name.

STARTED=()

# Sets PORT to a free port below the ephemeral range.
pick_port() {
    local attempt
    for attempt in {1..50}; do
        PORT=$((20000 + RANDOM % 12000))
        is_open "$PORT" || return 0
    done
    die "no free port found in $attempt attempts"
}

is_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# start_server CORES PORT COMMAND…: runs the command on these cores, sets SERVER_PID and waits until it
# accepts connections.
start_server() {
    local cores=$1 port=$2 log deadline
    shift 2
    log=$WORK/server-$port.log
    taskset -c "$cores" "$@" >"$log" 2>&1 &
    SERVER_PID=$!
    STARTED+=("$SERVER_PID")
    deadline=$((SECONDS + 30))
    until is_open "$port"; do
        kill -0 "$SERVER_PID" 2>/dev/null ||
            { cat "$log" >&2; die "the server ended before it accepted connections: $*"; }
        ((SECONDS < deadline)) ||
            { cat "$log" >&2; die "the server does not accept connections on port $port: $*"; }
        pause 0.02
    done
}

# Stops every process in STARTED: TERM, up to 5 s to end, then KILL.
stop_servers() {
    local pid deadline=$((SECONDS + 5))
    ((${#STARTED[@]})) || return 0
    kill -TERM "${STARTED[@]}" 2>/dev/null || true
    for pid in "${STARTED[@]}"; do
        while kill -0 "$pid" 2>/dev/null && ((SECONDS < deadline)); do pause 0.02; done
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    STARTED=()
}

# fail_with FILE MESSAGE…: prints a file, then reports a failed measurement or check.
fail_with() {
    cat "$1" >&2
    fail "${@:2}"
}

finish() {
    stop_servers
    rm -rf "$WORK"
}

# Prints the CPU time of all threads of a process, in ns. The figure of a running thread is up to one tick
# old.
cpu_ns() {
    local total=0 run rest file
    for file in "/proc/$1"/task/*/schedstat; do
        if { read -r run rest <"$file"; } 2>/dev/null; then total=$((total + run)); fi
    done
    ((total > 0)) || die "server $1 is gone, or the kernel has no /proc/PID/task/*/schedstat"
    echo "$total"
}

# Prints the resident memory of a process, in KiB; exact, unlike VmRSS.
resident_kib() { awk '/^Rss:/ { print $2 }' "/proc/$1/smaps_rollup"; }

# Prints the peak resident memory of a process, in KiB.
peak_kib() { awk '/^VmHWM:/ { print $2 }' "/proc/$1/status"; }

# value KEY: prints the value of a key=value line of standard input, the format of the load generators.
value() { sed -n "s/^$1=//p"; }

# Prints the median of the numbers on standard input.
median() {
    sort -g | awk '{ n[NR] = $1 }
        END { if (NR) print (NR % 2 ? n[(NR + 1) / 2] : (n[NR / 2] + n[NR / 2 + 1]) / 2) }'
}

# ratio A B [DIGITS]: prints A / B, with 2 digits after the point by default.
ratio() { awk -v a="$1" -v b="$2" -v digits="${3:-2}" 'BEGIN { printf "%.*f", digits, a / b }'; }

# above A B LIMIT: succeeds if A is more than LIMIT × B.
above() { awk -v a="$1" -v b="$2" -v limit="$3" 'BEGIN { exit !(a > limit * b) }'; }

# Cores that this process may use, as taskset writes them.
allowed_cores() { taskset -pc $$ | sed 's/.*: //'; }

# pause SECONDS: sleeps without starting a process.
pause() { read -rt "$1" <> <(:) || true; }

# Waits up to 30 s until a command succeeds.
eventually() {
    local deadline=$((SECONDS + 30))
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < deadline)) || fail "still failing after 30 s: $*"
        pause 0.05
    done
}

WORK=$(mktemp -d)
trap finish EXIT
trap 'exit 130' INT TERM
