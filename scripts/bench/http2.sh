# HTTP/2 scenarios of bench.sh, which sources this file, and the other load that h2load generates.
#
#   h2-m100, h2-m1    32 connections without TLS (prior knowledge), 100 streams or 1 in flight on each
#   h2-post-1m        16 connections with a request each: a body of 1 MiB, which the server counts
#   h2-get-1m         16 connections with a request each: a response of 1 MiB. The client's windows are those
#                     of a browser, 6 MiB
#   sse-1000-h2       sse-1000 over 10 connections with 100 streams each
#   sse-1000-tls      sse-1000 over TLS 1.3 and HTTP/1.1
#   grpc-unary-tls    bench.Echo/Unary: 50 strings of ten bytes in each direction, over TLS 1.3
#   grpc-stream-tls   bench.Echo/ServerStream: a response stream of 100 messages, over TLS 1.3
#
# h2load generates the load of h2-*. It reports no quantiles, so p50 and p99 stay empty. It counts the bytes
# of bodies but does not compare them; check_h2 compares one body with nghttp first. Our own generator loads
# gRPC, with 16 connections and 8 calls in flight on each. A request in the tables is then a call, and every
# byte of every reply is checked.

H2_BODY="Hello, World!"

# with_h2load SECONDS PATH BYTES ARGUMENT…: requests a path whose body has so many bytes.
with_h2load() {
    local ms path=$2 bytes=$3 open=0
    ((bytes < 65536)) || open=64
    ms=$(awk -v s="$1" 'BEGIN { printf "%.0f", s * 1000 }')
    shift 3
    taskset -c "$CLIENT_CORE" h2load -t1 "$@" -D "${ms}ms" "http://$TARGET$path" >"$WORK/h2load" ||
        { cat "$WORK/h2load" >&2; return 1; }
    awk -v body="$bytes" -v open="$open" -f scripts/bench/h2load.awk "$WORK/h2load"
}

# with_upload SECONDS: uploads 1 MiB again and again.
with_upload() {
    [[ -e $WORK/body-1m ]] || head -c 1048576 /dev/zero >"$WORK/body-1m"
    local answer='{"bytes":1048576}'
    with_h2load "$1" /demo/upload ${#answer} -c16 -m1 -d "$WORK/body-1m"
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
