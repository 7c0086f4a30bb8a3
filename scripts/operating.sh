#!/usr/bin/env bash
# Checks the files of the operating guide with the programs they are for: promtool and prometheus, systemd-analyze.
#
# Needs cargo, curl and Debian's packages prometheus and systemd; what is missing is skipped with a line that says so.
# Serves on a free port of this machine and has a Prometheus of its own scrape it for some seconds.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --quiet -p windlass --bin windlass
binary=$(pwd)/${CARGO_TARGET_DIR:-target}/debug/windlass
[[ ${CARGO_TARGET_DIR:-} != /* ]] || binary=$CARGO_TARGET_DIR/debug/windlass
work=$(mktemp -d)
pids=()
cleanup() {
    local pid
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait
    rm -rf "$work"
}
trap cleanup EXIT

has() {
    command -v "$1" >/dev/null && return
    echo "skipped: no $1 (Debian: apt-get install $2)"
    return 1
}

# Waits until a command succeeds.
eventually() {
    local end=$((SECONDS + 30))
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < end)) || { echo "not within 30 s: $*"; return 1; }
        sleep 0.1
    done
}

serve() {
    "$binary" --listen 127.0.0.1:0 --shards 2 2>"$work/windlass.log" &
    pids+=($!)
    eventually grep -q 'serving address=' "$work/windlass.log"
    address=$(sed -n 's/.*serving address=\([^ ]*\).*/\1/p' "$work/windlass.log")
    # So that every kind of metric has something to say.
    local path
    for path in /demo/plaintext /demo/json "/demo/work?ms=1" /nowhere; do curl -s --max-time 5 -o "$work/reply" "http://$address$path"; done
    curl -s --max-time 5 -o "$work/reply" -d event "http://$address/topics/a"
    curl -s --max-time 5 -o "$work/reply" --http2-prior-knowledge "http://$address/demo/json"
}

metrics_are_clean() { curl -s --max-time 5 "http://$address/metrics" | promtool check metrics; }

rules_hold() {
    cp src/docs/operating/*.yml tests/cli/alerts-test.yml "$work"
    sed -i "s/127.0.0.1:8080/$address/; s/15s/2s/" "$work/prometheus.yml"
    promtool check config "$work/prometheus.yml"
    promtool test rules "$work/alerts-test.yml"
}

# Asks Prometheus for the value of an expression.
ask() { curl -s --max-time 5 --get --data-urlencode "query=$1" "http://$prometheus/api/v1/query"; }
is_up() { ask 'count_over_time(up{job="windlass"}[1m]) > 2 and up == 1' | grep -q '"value":'; }

scraped_without_a_warning() {
    prometheus=127.0.0.1:${WINDLASS_PROMETHEUS_PORT:-29090}
    prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/data" --web.listen-address="$prometheus" 2>"$work/prometheus.log" &
    pids+=($!)
    eventually is_up
    ask 'windlass_requests_total{route="/demo/json"}' | grep -q '"instance"' || { echo "no samples"; return 1; }
    if curl -s --max-time 5 "http://$prometheus/api/v1/targets" | grep -o '"lastError":"[^"][^"]*"'; then return 1; fi
    if grep -E 'level=(warn|error)' "$work/prometheus.log"; then return 1; fi
    if ask 'ALERTS' | grep '"alertname"'; then echo "a healthy server sets an alert off"; return 1; fi
    echo "scraped without a warning: $(ask 'count({__name__=~"windlass_.*"})' | grep -o '"[0-9]*"\]' | tr -d '"]') samples"
}

unit_is_valid() {
    sed "s|/usr/local/bin/windlass|$binary|" src/docs/operating/windlass.service >"$work/windlass.service"
    cp src/docs/operating/windlass.socket "$work"
    systemd-analyze verify "$work/windlass.service" "$work/windlass.socket"
    echo "windlass.service, windlass.socket: systemd finds nothing wrong"
}

# The first connection starts the server, and is served.
is_activated() {
    local at=127.0.0.1:${WINDLASS_ACTIVATION_PORT:-29091}
    systemd-socket-activate --listen="$at" --fdname=windlass "$binary" --listen systemd:windlass --shards 2 2>"$work/activated.log" &
    pids+=($!)
    eventually curl -s --max-time 5 -o "$work/reply" "http://$at/demo/plaintext"
    grep -q "serving address=$at" "$work/activated.log" || { cat "$work/activated.log"; return 1; }
    echo "socket activation: served on the socket that was passed"
}

if has curl curl && has promtool prometheus; then
    serve
    metrics_are_clean
    rules_hold
    if has prometheus prometheus; then scraped_without_a_warning; fi
fi
if has systemd-analyze systemd; then unit_is_valid; fi
if has curl curl && has systemd-socket-activate systemd; then is_activated; fi
echo "operating.sh: the files hold"
