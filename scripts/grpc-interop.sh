#!/usr/bin/env bash
# Runs the interoperability client of gRPC against Windlass: 13 cases, over plain HTTP/2 and TLS, on both
# engines, with the methods on the shards and on the pool.
#
# usage: scripts/grpc-interop.sh [CASE]…
#
#   CASE   cases such as large_unary (all)
#
# Needs openssl, the sources of gRPC, which hold the client, and some Python packages:
#   apt-get source --download-only grpc     (Debian; or the archive of a release), unpacked
#   python3 -m venv VENV && VENV/bin/pip install grpcio grpcio-tools google-auth requests
# Then: GRPC_SOURCES=…/grpc-1.51.1 PYTHON=VENV/bin/python scripts/grpc-interop.sh. If something is missing,
# the script says so and ends with status 77. The tests in tests/grpc make the same calls from Rust.
set -euo pipefail
source "$(dirname "$0")/lib/script.sh"

ALL_CASES="empty_unary large_unary client_streaming server_streaming ping_pong empty_stream
cancel_after_begin cancel_after_first_response timeout_on_sleeping_server status_code_and_message
special_status_message custom_metadata unimplemented_method"
ALL_CASES=${ALL_CASES//$'\n'/ }
CASE_SECONDS=30

cases=()
for argument; do
    [[ $argument != -* ]] || other_argument "$argument"
    take_choice case "$ALL_CASES" CASE "$argument"
    cases+=("$case")
done
((${#cases[@]})) || read -ra cases <<<"$ALL_CASES"

skip() { say "grpc-interop.sh: skipped: $* (see --help)"; exit 77; }

PYTHON=${PYTHON:-python3}
[[ ${GRPC_SOURCES:-} ]] || skip "GRPC_SOURCES is not set"
sources=$(cd "$CALLER_DIR" && realpath -m "$GRPC_SOURCES")
[[ -e $sources/src/python/grpcio_tests/tests/interop/client.py ]] || skip "$sources has no grpcio_tests"
"$PYTHON" -c "import grpc, grpc_tools, google.auth, requests" 2>/dev/null || skip "$PYTHON lacks packages"
command -v openssl >/dev/null || skip "openssl is missing (Debian package openssl)"
source scripts/lib/server.sh

# Puts the modules of the client and the generated ones into one tree.
make_client() {
    mkdir -p "$WORK/src/proto/grpc/testing" "$WORK/tests"
    # An empty package: the original one loads the runner of their unit tests.
    touch "$WORK/tests/__init__.py"
    cp -r "$sources/src/python/grpcio_tests/tests/interop" "$WORK/tests/"
    cp "$sources"/src/proto/grpc/testing/{empty,messages,test}.proto "$WORK/src/proto/grpc/testing/"
    (cd "$WORK" && "$PYTHON" -m grpc_tools.protoc -I. --python_out=. --grpc_python_out=. \
        src/proto/grpc/testing/{empty,messages,test}.proto)
}

make_pair() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 7 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE \
        -keyout "$WORK/key.pem" -out "$WORK/cert.pem" 2>/dev/null
}

# start [ARGUMENT]…: starts the server with these arguments; sets `port`.
start() {
    local server
    : >"$WORK/server"
    "$bin" --listen 127.0.0.1:0 "$@" >"$WORK/server" &
    server=$!
    STARTED+=("$server")
    until port=$(sed -n 's/^listening on .*://p' "$WORK/server") && [[ $port ]]; do
        kill -0 "$server" 2>/dev/null || fail "the server ended: $*"
        pause 0.05
    done
}

# run_cases [ARGUMENT]…: runs every case with these arguments of the client; prints the number that passed,
# and failures.
run_cases() {
    local case passed=0
    for case in "${cases[@]}"; do
        if (cd "$WORK" && timeout "$CASE_SECONDS" "$PYTHON" -m tests.interop.client --server_host 127.0.0.1 \
            --server_port "$port" --test_case "$case" "$@" >"$WORK/log" 2>&1); then
            passed=$((passed + 1))
        else
            echo "  $case failed:"
            tail -n 5 "$WORK/log" | sed 's/^/    /'
        fi
    done
    echo "$passed of ${#cases[@]} passed"
    ((passed == ${#cases[@]}))
}

cargo build --quiet -p windlass-grpc
bin=$(target_dir)/debug/windlass-grpc
make_client
make_pair
export GRPC_DEFAULT_SSL_ROOTS_FILE_PATH=$WORK/cert.pem

failed=0
for engine in io_uring epoll; do
    for place in "" --pool; do
        for wire in h2c tls; do
            of_server=() of_client=()
            if [[ $wire == tls ]]; then
                of_server=(--tls-cert "$WORK/cert.pem" --tls-key "$WORK/key.pem")
                of_client=(--use_tls true --server_host_override localhost)
            fi
            start --engine "$engine" $place "${of_server[@]}"
            echo "$engine, $wire, on the $([[ $place ]] && echo pool || echo shards)"
            run_cases "${of_client[@]}" || failed=1
            stop_servers
        done
    done
done
exit "$failed"
