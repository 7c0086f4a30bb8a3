# Starts, watches and stops servers for the measuring scripts. Source it; it installs an EXIT trap.
#
# Servers are stopped by the process ids recorded here, never by name.

STARTED=()

say() { printf '%s\n' "$*" >&2; }
die() { say "${0##*/}: $*"; exit 2; }

# need TOOL PACKAGE: a missing tool is named with the Debian package that has it.
need() { command -v "$1" >/dev/null || die "'$1' is missing: apt-get install $2"; }

# Sets PORT to a free one below the ephemeral range.
pick_port() {
    local attempt
    for attempt in {1..50}; do
        PORT=$((20000 + RANDOM % 12000))
        is_open "$PORT" || return 0
    done
    die "no free port found in $attempt attempts"
}

is_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# start_server CORES PORT COMMAND...: runs it on those cores, sets SERVER_PID, waits until it accepts.
start_server() {
    local cores=$1 port=$2 log deadline
    shift 2
    log=$WORK/server-$port.log
    taskset -c "$cores" "$@" >"$log" 2>&1 &
    SERVER_PID=$!
    STARTED+=("$SERVER_PID")
    deadline=$((SECONDS + 10))
    until is_open "$port"; do
        kill -0 "$SERVER_PID" 2>/dev/null || { cat "$log" >&2; die "server ended before it accepted: $*"; }
        ((SECONDS < deadline)) || { cat "$log" >&2; die "server does not accept on port $port: $*"; }
        read -rt 0.02 <> <(:) || true
    done
}

# Stops everything started here: TERM, up to 5 s for an orderly end, then KILL.
stop_servers() {
    local pid deadline=$((SECONDS + 5))
    ((${#STARTED[@]})) || return 0
    kill -TERM "${STARTED[@]}" 2>/dev/null || true
    for pid in "${STARTED[@]}"; do
        while kill -0 "$pid" 2>/dev/null && ((SECONDS < deadline)); do read -rt 0.02 <> <(:) || true; done
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    STARTED=()
}

finish() {
    stop_servers
    rm -rf "$WORK"
}

# CPU time of a process, all the threads it has, ns. A thread that runs right now is up to one tick behind.
cpu_ns() {
    local total=0 run rest file
    for file in "/proc/$1"/task/*/schedstat; do
        if { read -r run rest <"$file"; } 2>/dev/null; then total=$((total + run)); fi
    done
    ((total > 0)) || die "server $1 is gone, or the kernel has no /proc/PID/task/*/schedstat"
    echo "$total"
}

# Resident memory of a process, KiB; exact, which VmRSS is not.
resident_kib() { awk '/^Rss:/ { print $2 }' "/proc/$1/smaps_rollup"; }

# Peak resident memory of a process, KiB.
peak_kib() { awk '/^VmHWM:/ { print $2 }' "/proc/$1/status"; }

# value KEY: reads one of the key=value lines that the clients print from standard input.
value() { sed -n "s/^$1=//p"; }

# Median of the numbers on standard input.
median() { sort -g | awk '{ n[NR] = $1 } END { if (NR) print (NR % 2 ? n[(NR + 1) / 2] : (n[NR / 2] + n[NR / 2 + 1]) / 2) }'; }

WORK=$(mktemp -d)
trap finish EXIT
trap 'exit 130' INT TERM
