# The servers that bench.sh compares. To add one: its name in PEERS, its role, its command, its version, what
# it lacks.

PEERS=(windlass windlass-epoll hyper axum actix fastwebsockets ntex may tonic nginx nghttpd h2o tokio-bare
    ring-bare)
QUICK_PEERS=(windlass windlass-epoll hyper tonic nginx ring-bare)

# role_of PEER SCENARIO: prints the role of a server.
#   subject  Windlass, on either engine
#   peer     a server in common use
#   bare     sockets without a framework
#   floor    the least work that answers the requests
#   fixed    NGINX in the JSON scenarios: it sends a fixed text, so it is shown but not compared
role_of() {
    case $1/$2 in
        nginx/get-json*) echo fixed ;;
        windlass/* | windlass-epoll/*) echo subject ;;
        tokio-bare/*) echo bare ;;
        ring-bare/*) echo floor ;;
        *) echo peer ;;
    esac
}

is_installed() {
    case $1 in
        nginx) [[ -x /usr/sbin/nginx ]] ;;
        nghttpd | h2o) command -v "$1" >/dev/null ;;
    esac
}

# lacks PEER SCENARIO: succeeds if the server cannot run the scenario; the cell is left out.
lacks() {
    case $1/$2 in
        windlass*/files-* | nginx/files-*) return 1 ;;
        */files-*) return 0 ;;
        nginx/post-4k | nginx/async-mix) return 0 ;; # NGINX itself has no echo and no route that waits
        may/churn-close) return 0 ;; # may_minihttp ignores Connection: close
        windlass*/grpc-* | windlass*/h2-* | hyper/h2-* | tonic/grpc-*) return 1 ;;
        nghttpd/h2-get-1m | h2o/h2-get-1m) return 1 ;;
        */h2-post-1m | */h2-get-1m) return 0 ;;
        axum/h2-* | nginx/h2-* | nghttpd/h2-* | h2o/h2-* | ring-bare/h2-*) return 1 ;;
        windlass*/sse-* | axum/sse-*) return 1 ;;
        ring-bare/sse-1000-*) [[ $2 != sse-1000-fast ]] && return 0 || return 1 ;;
        ring-bare/sse-*) return 1 ;;
        windlass*/ws-* | axum/ws-* | actix/ws-* | fastwebsockets/ws-*) return 1 ;;
        ring-bare/ws-hub-* | ring-bare/ws-echo-256) return 1 ;;
        fastwebsockets/* | */ws-*) return 0 ;;
        tonic/* | nghttpd/* | h2o/* | */h2-* | */grpc-* | */sse-*) return 0 ;;
        *) return 1 ;;
    esac
}

# command_of PEER PORT SCENARIO: sets COMMAND to the command that serves the scenario on one thread.
command_of() {
    local listen=127.0.0.1:$2 tls=()
    [[ $3 != *-tls ]] || tls=(--tls-cert "$WORK/cert.pem" --tls-key "$WORK/key.pem")
    case $1/$3 in
        windlass/grpc-*) grpc_command io_uring "$listen" "${tls[@]}" ;;
        windlass-epoll/grpc-*) grpc_command epoll "$listen" "${tls[@]}" ;;
        windlass/*) windlass_command io_uring "$listen" "$3" "${tls[@]}" ;;
        windlass-epoll/*) windlass_command epoll "$listen" "$3" "${tls[@]}" ;;
        hyper/h2-* | axum/h2-* | ring-bare/h2-*) COMMAND=("$BIN/peer-$1" --listen "$listen" --h2) ;;
        # The client publishes over HTTP/1.1.
        axum/sse-1000-h2) COMMAND=("$BIN/peer-$1" --listen "$listen" --detect) ;;
        axum/sse-1000-tls) COMMAND=("$BIN/peer-$1" --listen "$listen" "${tls[@]}") ;;
        nghttpd/*) make_files && COMMAND=(nghttpd --no-tls -n1 -a 127.0.0.1 -d "$WORK/files" "$2") ;;
        h2o/*) make_files && h2o_config "$2" && COMMAND=(h2o -c "$WORK/h2o.conf") ;;
        tonic/*) COMMAND=("$BIN/peer-tonic" --listen "$listen" "${tls[@]}") ;;
        nginx/*) nginx_config "$2" "$3" && COMMAND=(/usr/sbin/nginx -c "$WORK/nginx.conf" -p "$WORK") ;;
        *) COMMAND=("$BIN/peer-$1" --listen "$listen") ;;
    esac
}

grpc_command() {
    COMMAND=("$BIN/peer-windlass-grpc" --engine "$1" --listen "${@:2}")
}

windlass_command() {
    COMMAND=("$BIN/windlass" serve --engine "$1" --listen "$2" "${@:4}" --shards 1 --cores "$SERVER_CORE"
        --workers 1)
    # A queue that stands is the purpose.
    [[ $3 != greedy-* ]] || COMMAND+=(--config tests/cli/shed_nothing.toml)
    [[ $3 != files-* ]] || { make_static_files && COMMAND+=(--files "$WORK/static"); }
    # The same backlog per subscriber as in the axum peer.
    [[ $3 != sse-* ]] || COMMAND+=(--mailbox-events 1024 --mailbox-bytes 1048576)
}

version_of() {
    case $1 in
        nginx) /usr/sbin/nginx -v 2>&1 | sed 's|.*/||' ;;
        nghttpd) nghttpd --version | sed 's|.*/||' ;;
        h2o) h2o --version | sed -n 's/^h2o version //p' ;;
        windlass | windlass-epoll) git describe --always --dirty 2>/dev/null || echo unknown ;;
        tokio-bare) locked tokio ;;
        ring-bare) echo "kernel $(uname -r)" ;;
        actix) locked actix-web ;;
        may) locked may_minihttp ;;
        *) locked "$1" ;;
    esac
}

# Prints the version of a crate in Cargo.lock.
locked() { grep -A1 "^name = \"$1\"\$" Cargo.lock | sed -n 's/^version = "\(.*\)"/\1/p' | paste -sd/; }

# Writes the files that nghttpd and h2o serve.
make_files() {
    mkdir -p "$WORK/files/demo"
    printf %s 'Hello, World!' >"$WORK/files/demo/plaintext"
    head -c 1048576 /dev/zero | tr '\0' . >"$WORK/files/demo/large"
}

# Writes the files of the scenarios files-*, which were last changed long ago, as files usually were.
make_static_files() {
    local size
    mkdir -p "$WORK/static"
    for size in 4096:4k 65536:64k 1048576:1m; do
        head -c "${size%:*}" /dev/zero | tr '\0' . >"$WORK/static/${size#*:}"
    done
    touch -d 2024-01-01 "$WORK"/static/*
}

# h2o_config PORT: writes the configuration of h2o.
h2o_config() {
    cat >"$WORK/h2o.conf" <<CONFIG
listen: {host: 127.0.0.1, port: $1}
num-threads: 1
user: $(id -un)
http2-idle-timeout: 300
hosts: {default: {paths: {/: {file.dir: $WORK/files}}}}
CONFIG
}

# nginx_config PORT SCENARIO: writes a configuration with master and worker in one process, which has all the
# CPU time.
nginx_config() {
    local connections=4096 protocol= certificate= root=
    # NGINX reserves memory for each connection, so no more than the scenario needs.
    [[ $2 != idle-10000 ]] || connections=16384
    [[ $2 != h2-* ]] || protocol=" http2"
    if [[ $2 == *-tls ]]; then
        protocol=" ssl"
        certificate="ssl_certificate $WORK/cert.pem; ssl_certificate_key $WORK/key.pem;"
    fi
    if [[ $2 == files-* ]]; then
        make_static_files
        root="root $WORK/static; sendfile on; tcp_nopush on;
        open_file_cache max=1000; open_file_cache_valid 1s;"
    fi
    cat >"$WORK/nginx.conf" <<CONFIG
daemon off;
master_process off;
worker_processes 1;
worker_rlimit_nofile 32768;
pid $WORK/nginx.pid;
error_log stderr;
events { worker_connections $connections; }
http {
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 300;
    client_body_temp_path $WORK; proxy_temp_path $WORK;
    fastcgi_temp_path $WORK; uwsgi_temp_path $WORK; scgi_temp_path $WORK;
    server {
        listen 127.0.0.1:$1 backlog=4096$protocol;
        $certificate
        $root
        location = /demo/plaintext { default_type text/plain; return 200 'Hello, World!'; }
        location = /demo/json { default_type application/json; return 200 '{"message":"Hello, World!"}'; }
        location = /demo/items { default_type application/json; return 200 '$(<benches/peers/items.json)'; }
    }
}
CONFIG
}
