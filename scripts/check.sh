#!/usr/bin/env bash
# Runs everything that must hold before a change goes in: format, lints, features, documentation, packages,
# dependencies, tests.
#
# usage: scripts/check.sh [STEP]…
#
#   STEP   steps to run: format lint features docs package deps peers epoll operating soak leaks tests (all,
#          in this order)
#
# Needs what the README names: Rust with rustfmt and clippy, a C compiler, git. Runs the advisories of
# deny.toml too if cargo-deny is installed (cargo install cargo-deny --locked). The licence, ban and source
# rules of deny.toml are held by a test. The test command of the README comes last; its closing lines are the
# evidence.
set -euo pipefail
source "$(dirname "$0")/lib/script.sh"

STEPS="format lint features docs package deps peers epoll operating soak leaks tests"
# A configuration whose servers shed no load: on a busy machine a shard may fall behind and answer 503 by
# design.
SHED_NOTHING=tests/cli/shed_nothing.toml

chosen=()
for argument; do
    [[ $argument != -* ]] || other_argument "$argument"
    take_choice step "$STEPS" STEP "$argument"
    chosen+=("$step")
done
((${#chosen[@]})) || read -ra chosen <<<"$STEPS"

step_format() {
    local script
    for script in scripts/*.sh scripts/*/*.sh .ci/run; do bash -n "$script"; done
    cargo fmt --all --check
}

step_lint() { cargo clippy --quiet --workspace --all-targets -- -D warnings; }

# no_packages PATTERN ARGUMENT…: fails if the library with these features depends on a package of that name.
no_packages() {
    local pattern=$1 packages
    shift
    packages=$(cargo tree --quiet -p windlass "$@" -e normal,build --prefix none)
    if grep -E "^($pattern)[a-z-]* " <<<"$packages"; then
        fail "the library must not depend on the packages above with: $*"
    fi
}

# Every selection of features that a user may choose must build: each engine alone, none, the actors without
# glommio.
step_features() {
    local features
    for features in "" epoll io-uring epoll,http2 epoll,tls epoll,json epoll,ws,durable,tower; do
        cargo check --quiet -p windlass --no-default-features --features "$features"
    done
    cargo check --quiet -p windlass-actors --no-default-features
    # TLS is the largest part of a build: without its feature nobody must pay for it.
    no_packages 'rustls|rcgen|aws-lc' --no-default-features \
        --features io-uring,epoll,http2,ws,durable,json,tower
    # A program that embeds the library compiles no command line.
    no_packages 'clap|indicatif|toml|tracing-subscriber|tracing-appender|rcgen' --all-features
}

step_docs() { RUSTDOCFLAGS="-D warnings" cargo doc --quiet --no-deps; }

# Packages the library, its actors and the binary, and builds them from what is in the packages. Cargo
# resolves packages that depend on each other only if they may be published, so this is done in a copy where
# they may.
step_package() {
    local copy status=0
    copy=$(mktemp -d)
    git ls-files -z --cached --others --exclude-standard |
        tar --null --ignore-failed-read -cf - -T - 2>/dev/null | tar -xf - -C "$copy"
    sed -i 's/^publish = false$/publish = true/' "$copy/Cargo.toml"
    # Tools for tests and benches are not packages.
    (export CARGO_TARGET_DIR && CARGO_TARGET_DIR=$(target_dir) && cd "$copy" &&
        cargo package --quiet --workspace --exclude windlass-peers --exclude windlass-grpc) || status=$?
    rm -rf "$copy"
    return "$status"
}

step_deps() {
    if ! command -v cargo-deny >/dev/null; then
        echo "    advisories skipped: cargo-deny is not installed"
        return
    fi
    cargo deny --log-level error check bans licenses sources
    if cargo deny --log-level off fetch db; then
        cargo deny --offline --log-level error check advisories
    else
        echo "    advisories skipped: their database cannot be fetched"
    fi
}

# Tests the load generator, which judges the servers. tonic and Windlass bring its gRPC mode; the other peers
# are not built.
step_peers() { cargo test --quiet -p windlass-peers --no-default-features --features tonic,windlass-grpc; }

# The epoll engine must pass the same tests, and build without the code of the other engine.
step_epoll() {
    WINDLASS_TEST_ENGINE=epoll cargo test --quiet --test server
    WINDLASS_TEST_ENGINE=epoll cargo test --quiet -p windlass-grpc --test calls
    cargo check --quiet -p windlass --no-default-features --features epoll --all-targets
    cargo check --quiet -p windlass-cli --no-default-features --features epoll --all-targets
}

step_operating() { scripts/operating.sh; }

# The soak for 20 seconds, by every rule that so short a run can be judged by. Events are slow enough that a
# subscriber that waits for a busy machine does not look like a slow one.
step_soak() {
    cargo build --quiet --bin windlass
    WINDLASS_BIN=$(target_dir)/debug/windlass scripts/soak.sh --no-build --duration 20s --workload mixed \
        --rate 500 --event-rate 50 --config "$SHED_NOTHING"
}

# A second each of some cells, to find traffic that leaves descriptors open.
step_leaks() {
    cargo build --quiet --bin windlass
    WINDLASS_BIN=$(target_dir)/debug/windlass scripts/matrix.sh --no-build --quick \
        --cells '*/h1/*/few,*/h2/inline/killed,*/sse/inline/slow' --serve --config --serve "$SHED_NOTHING"
}

step_tests() { cargo test; }

durations=()
for step in "${chosen[@]}"; do
    printf '\n==> %s\n' "$step"
    start=$SECONDS
    "step_$step"
    printf '    %s s\n' $((SECONDS - start))
    durations+=("$step $((SECONDS - start)) s")
done
printf '\ncheck.sh: %s passed in %s s (%s)\n' "${chosen[*]}" "$SECONDS" "$(IFS=,; echo "${durations[*]}")"
