#!/usr/bin/env bash
# Checks the files of the operating guide with the programs that read them: promtool, prometheus and
# systemd-analyze.
#
# usage: scripts/operating.sh
#
# Needs what the README names, curl, and the Debian packages prometheus and systemd. Checks whose programs are
# missing are skipped with a line that says so. Serves on free ports of this machine; a Prometheus of its own
# scrapes the server for some seconds.
set -euo pipefail
source "$(dirname "$0")/lib/script.sh"
no_arguments "$@"
source scripts/lib/server.sh

cargo build --quiet --bin windlass
binary=$(target_dir)/debug/windlass

# has TOOL PACKAGE: succeeds if the tool is installed; says that its check is skipped otherwise.
has() {
    command -v "$1" >/dev/null && return
    echo "skipped: $1 is missing (Debian: apt-get install $2)"
    return 1
}

# fetch PATH [ARGUMENT]…: requests a path of the server.
fetch() { curl -s --max-time 10 "http://$address$1" "${@:2}"; }

# Starts a server and sends a request of every kind, so that every kind of metric has a value; sets `address`.
serve() {
    local path
    "$binary" --listen 127.0.0.1:0 --shards 2 --config tests/cli/shed_nothing.toml 2>"$WORK/windlass.log" &
    STARTED+=($!)
    eventually grep -q 'serving address=' "$WORK/windlass.log"
    address=$(sed -n 's/.*serving address=\([^ ]*\).*/\1/p' "$WORK/windlass.log")
    for path in /demo/plaintext /demo/json "/demo/work?ms=1" /nowhere; do fetch "$path" -o "$WORK/reply"; done
    fetch /topics/a -o "$WORK/reply" -d event
    fetch /demo/json -o "$WORK/reply" --http2-prior-knowledge
}

metrics_are_clean() { fetch /metrics | promtool check metrics; }

rules_hold() {
    cp src/docs/operating/*.yml tests/cli/alerts-test.yml "$WORK"
    sed -i "s/127.0.0.1:8080/$address/; s/15s/2s/" "$WORK/prometheus.yml"
    promtool check config "$WORK/prometheus.yml"
    promtool test rules "$WORK/alerts-test.yml"
}

# ask EXPRESSION: prints what Prometheus answers.
ask() { curl -s --max-time 10 --get --data-urlencode "query=$1" "http://$prometheus/api/v1/query"; }
is_up() { ask 'count_over_time(up{job="windlass"}[1m]) > 2 and up == 1' | grep -q '"value":'; }

scraped_without_a_warning() {
    local targets samples
    pick_port
    prometheus=127.0.0.1:$PORT
    prometheus --config.file="$WORK/prometheus.yml" --storage.tsdb.path="$WORK/data" \
        --web.listen-address="$prometheus" 2>"$WORK/prometheus.log" &
    STARTED+=($!)
    eventually is_up
    ask 'windlass_requests_total{route="/demo/json"}' | grep -q '"instance"' ||
        fail "Prometheus has no samples"
    targets=$(curl -s --max-time 10 "http://$prometheus/api/v1/targets")
    if grep -o '"lastError":"[^"][^"]*"' <<<"$targets"; then return 1; fi
    if grep -E 'level=(warn|error)' "$WORK/prometheus.log"; then return 1; fi
    if ask 'ALERTS' | grep '"alertname"'; then fail "an idle, healthy server raised an alert"; fi
    samples=$(ask 'count({__name__=~"windlass_.*"})' | grep -o '"[0-9]*"\]' | tr -d '"]')
    echo "scraped without a warning: $samples samples"
}

unit_is_valid() {
    sed "s|/usr/local/bin/windlass|$binary|" src/docs/operating/windlass.service >"$WORK/windlass.service"
    cp src/docs/operating/windlass.socket "$WORK"
    systemd-analyze verify "$WORK/windlass.service" "$WORK/windlass.socket"
    echo "windlass.service and windlass.socket are valid"
}

# The first connection starts the server, and is served.
is_activated() {
    local at
    pick_port
    at=127.0.0.1:$PORT
    systemd-socket-activate --listen="$at" --fdname=windlass \
        "$binary" --listen systemd:windlass --shards 2 2>"$WORK/activated.log" &
    STARTED+=($!)
    eventually curl -s --max-time 10 -o "$WORK/reply" "http://$at/demo/plaintext"
    grep -q "serving address=$at" "$WORK/activated.log" || { cat "$WORK/activated.log"; return 1; }
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
echo "operating.sh: the files of the operating guide are valid"
