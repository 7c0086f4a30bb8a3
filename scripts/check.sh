#!/usr/bin/env bash
# Everything that must hold before a change goes in: format, lints, features, documentation, dependencies, tests.
#
# Needs what the README names (Rust with rustfmt and clippy, a C compiler, git). cargo-deny is used if it is there:
# cargo install cargo-deny --locked. Takes some minutes from a fresh clone. The test command of the README comes
# last; its closing lines are the evidence.
set -euo pipefail
cd "$(dirname "$0")/.."

step() {
    printf '\n==> %s\n' "$*"
    local start=$SECONDS
    "$@"
    printf '    %s s\n' $((SECONDS - start))
}

# tests ARGUMENT…: cargo test. What fails is run once more, alone and one after the other, and named: some tests have bounds of
# time, and a machine that stalls for longer than they allow is no failure of what they test. Failing twice is one.
tests() {
    local log names targets target failed=0
    log=$(mktemp)
    if cargo test --no-fail-fast "$@" 2>&1 | tee "$log"; then
        rm "$log"
        return
    fi
    mapfile -t names < <(sed -n 's/^---- \(.*\) stdout ----$/\1/p' "$log" | sort -u)
    mapfile -t targets < <(sed -n 's/^    `\(-.*\)`$/\1/p' "$log")
    rm "$log"
    # Nothing was run, or something ended without a test's failing.
    ((${#names[@]} && ${#targets[@]})) || return 1
    printf '    once more, alone: %s\n' "${names[*]}"
    for target in "${targets[@]}"; do
        # A target is some words: `-p windlass --test server`.
        # shellcheck disable=SC2086
        cargo test $target -- --exact --test-threads 1 "${names[@]}" || failed=1
    done
    return "$failed"
}

scripts_parse() {
    local script
    for script in scripts/*.sh scripts/*/*.sh .ci/run; do bash -n "$script"; done
}

# What TLS needs is the largest part of a build: who does without it must not pay for it.
no_tls_without_its_feature() {
    local tree
    tree=$(cargo tree --quiet -p windlass --no-default-features --features io-uring,epoll,http2,ws,durable,cli -e normal,build)
    if grep -E '(rustls|rcgen|aws-lc)' <<<"$tree"; then
        echo "a build without the feature tls has these"
        return 1
    fi
}

# Each engine alone, none, and the actors without glommio: what a user may choose must build.
features_build() {
    cargo check --quiet -p windlass --no-default-features
    cargo check --quiet -p windlass --no-default-features --features epoll
    cargo check --quiet -p windlass --no-default-features --features io-uring
    cargo check --quiet -p windlass --no-default-features --features epoll,http2
    cargo check --quiet -p windlass --no-default-features --features epoll,tls
    cargo check --quiet -p windlass --no-default-features --features epoll,json
    cargo check --quiet -p windlass --no-default-features --features epoll,ws,durable,tower
    no_tls_without_its_feature
    cargo check --quiet -p windlass-actors --no-default-features
}

# The server must do the same on the engine that steps in where io_uring is missing, and without the other's code.
epoll_serves() {
    WINDLASS_TEST_ENGINE=epoll tests --quiet --test server
    WINDLASS_TEST_ENGINE=epoll tests --quiet -p windlass-grpc --test calls
    cargo check --quiet -p windlass --no-default-features --features epoll,cli --all-targets
}

documentation_builds() { RUSTDOCFLAGS="-D warnings" cargo doc --quiet --no-deps; }

dependencies_allowed() {
    if ! command -v cargo-deny >/dev/null; then
        echo "    skipped: cargo-deny is not installed"
        return
    fi
    cargo deny --log-level error check bans licenses sources
    if cargo deny --log-level off fetch db; then
        cargo deny --offline --log-level error check advisories
    else
        echo "    advisories skipped: their database cannot be fetched"
    fi
}

# The load generator judges the servers; it must itself be right.
# tonic and Windlass bring the gRPC mode; the other peers would only be compiled.
peers_hold() { cargo test --quiet -p windlass-peers --no-default-features --features tonic,windlass-grpc; }

# On a machine busy with other things a server may find itself behind and answer 503, which is no failure of it.
calm=tests/cli/shed_nothing.toml

# What takes ten minutes and more elsewhere, for 20 seconds: every rule that so short a run can be judged by. The events
# come slowly enough that a machine busy with other things does not look like a subscriber that reads slowly.
soak_passes() {
    cargo build --quiet --bin windlass
    WINDLASS_BIN=${CARGO_TARGET_DIR:-target}/debug/windlass scripts/soak.sh --build no --duration 20s --workload mixed \
        --rate 500 --event-rate 50 --config "$calm"
}

# A second each of some kinds of traffic, so that one that leaves a descriptor open is seen here.
no_cell_leaks() {
    WINDLASS_BIN=${CARGO_TARGET_DIR:-target}/debug/windlass scripts/matrix.sh --build no --quick \
        --cells '*/h1/*/few,*/h2/inline/killed,*/sse/inline/slow' --serve --config --serve "$calm"
}

step scripts_parse
step cargo fmt --all --check
step cargo clippy --quiet --workspace --all-targets -- -D warnings
step features_build
step documentation_builds
step dependencies_allowed
step peers_hold
step epoll_serves
step scripts/operating.sh
step soak_passes
step no_cell_leaks
step tests
printf '\ncheck.sh: everything holds, %s s\n' "$SECONDS"
