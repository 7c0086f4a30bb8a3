# HTTP/2 scenarios of bench.sh, which sources this file, and the other load that h2load generates.
#
#   h2-m100, h2-m1    32 connections without TLS (prior knowledge), 100 streams or 1 in flight on each
#   grpc-unary-tls    bench.Echo/Unary: 50 strings of ten bytes in each direction, over TLS 1.3
#   grpc-stream-tls   bench.Echo/ServerStream: a response stream of 100 messages, over TLS 1.3
#
# h2load generates the load of h2-*. It reports no quantiles, so p50 and p99 stay empty. It counts the bytes
# of bodies but does not compare them; check_h2 compares one body with nghttp first. Our own generator loads
# gRPC, with 16 connections and 8 calls in flight on each. A request in the tables is then a call, and every
# byte of every reply is checked.

H2_BODY="Hello, World!"

with_h2load() {
    local ms
    ms=$(awk -v s="$1" 'BEGIN { printf "%.0f", s * 1000 }')
    shift
    taskset -c "$CLIENT_CORE" h2load -t1 -c32 "$@" -D "${ms}ms" \
        "http://$TARGET/demo/plaintext" >"$WORK/h2load" || { cat "$WORK/h2load" >&2; return 1; }
    awk -v body="${#H2_BODY}" -f scripts/bench/h2load.awk "$WORK/h2load"
}

with_grpc() {
    local seconds=$1 method=$2
    with_load "$seconds" --grpc "$method" --tls-ca "$WORK/cert.pem" --connections 16 --pipeline 8
}

# Fails and prints the reply unless nghttp gets the right body from the route of h2-*.
check_h2() {
    local got
    got=$(timeout 5 nghttp "http://$TARGET/demo/plaintext" 2>&1)
    [[ $got == "$H2_BODY" ]] || { echo "nghttp gets: $got"; return 1; }
}

# Creates the certificate and key of the servers of grpc-*: $WORK/cert.pem and $WORK/key.pem.
make_pair() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 7 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE \
        -keyout "$WORK/key.pem" -out "$WORK/cert.pem" 2>"$WORK/openssl" ||
        { cat "$WORK/openssl" >&2; die "openssl cannot create a certificate"; }
}
