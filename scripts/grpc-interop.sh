#!/usr/bin/env bash
# Runs gRPC's own interoperability client against Windlass: 13 cases, over plain HTTP/2 and TLS, on both engines, with
# the methods on the shards and on the pool.
#
# usage: scripts/grpc-interop.sh [case …]
#
# The client is the one in gRPC's sources, in Python. It needs those sources and packages of Python:
#   apt-get source --download-only grpc     (Debian; or a release's archive), unpacked
#   python3 -m venv VENV && VENV/bin/pip install grpcio grpcio-tools google-auth requests
# Then: GRPC_SOURCES=…/grpc-1.51.1 PYTHON=VENV/bin/python scripts/grpc-interop.sh. Where they are missing this says so
# and ends with status 77. The tests of tests/grpc make the same calls from Rust.
set -euo pipefail
cd "$(dirname "$0")/.."

CASES=(empty_unary large_unary client_streaming server_streaming ping_pong empty_stream cancel_after_begin
    cancel_after_first_response timeout_on_sleeping_server status_code_and_message special_status_message
    custom_metadata unimplemented_method)
(($# == 0)) || CASES=("$@")
CASE_SECONDS=30

skip() { echo "grpc-interop.sh: skipped: $*; see its head"; exit 77; }

PYTHON=${PYTHON:-python3}
[[ -d ${GRPC_SOURCES:-} ]] || skip "GRPC_SOURCES names no directory"
sources=$(realpath "$GRPC_SOURCES")
[[ -e $sources/src/python/grpcio_tests/tests/interop/client.py ]] || skip "$sources holds no grpcio_tests"
"$PYTHON" -c "import grpc, grpc_tools, google.auth, requests" 2>/dev/null || skip "$PYTHON lacks packages"
command -v openssl >/dev/null || skip "openssl is missing (Debian package openssl)"

WORK=$(mktemp -d)
server=
cleanup() {
    [[ ! $server ]] || kill "$server" 2>/dev/null || true
    rm -rf "$WORK"
}
trap cleanup EXIT

# The client's modules and those made of the service's definition, in one tree.
make_client() {
    mkdir -p "$WORK/src/proto/grpc/testing" "$WORK/tests"
    # The whole package loads the runner of their unit tests, which is not wanted.
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

# Starts the server with these arguments; sets `server` and `port`.
start() {
    : >"$WORK/server"
    "$bin" --listen 127.0.0.1:0 "$@" >"$WORK/server" &
    server=$!
    until port=$(sed -n 's/^listening on .*://p' "$WORK/server") && [[ $port ]]; do
        kill -0 "$server" 2>/dev/null || { echo "the server ended: $*"; exit 1; }
        sleep 0.05
    done
}

# Runs every case with these arguments of the client; prints how many passed, and what failed.
run_cases() {
    local case passed=0
    for case in "${CASES[@]}"; do
        if (cd "$WORK" && timeout "$CASE_SECONDS" "$PYTHON" -m tests.interop.client --server_host 127.0.0.1 \
            --server_port "$port" --test_case "$case" "$@" >"$WORK/log" 2>&1); then
            passed=$((passed + 1))
        else
            echo "  $case fails:"
            tail -n 5 "$WORK/log" | sed 's/^/    /'
        fi
    done
    echo "$passed of ${#CASES[@]} pass"
    ((passed == ${#CASES[@]}))
}

cargo build --quiet -p windlass-grpc
bin=${CARGO_TARGET_DIR:-target}/debug/windlass-grpc
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
            if [[ $place ]]; then echo "$engine, $wire, on the pool"; else echo "$engine, $wire, on the shards"; fi
            run_cases "${of_client[@]}" || failed=1
            kill "$server"
            wait "$server" 2>/dev/null || true
            server=
        done
    done
done
exit "$failed"
