#!/usr/bin/env bash
# Runs the tests of both engines, above all of io_uring's, the one place with `unsafe`, under AddressSanitizer.
#
# Needs a stable x86_64 Rust toolchain (it ships the sanitizer's runtime) and a kernel with io_uring. A build of its
# own, in target/asan: the standard library is not instrumented, our code and its dependencies are.
# The kernel is not instrumented: a send out of freed memory shows because freed memory is overwritten, and the
# tests compare every byte. Leaks are not reported: a ring dropped by a panic leaks on purpose, and a test does that.
#
#   scripts/asan.sh [test name filter]      ROUNDS=3 scripts/asan.sh
set -euo pipefail
cd "$(dirname "$0")/.."

target=x86_64-unknown-linux-gnu
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="-Zsanitizer=address -Cforce-frame-pointers=yes"
export ASAN_OPTIONS="detect_leaks=0:detect_stack_use_after_return=1:abort_on_error=1:max_free_fill_size=16777216:free_fill_byte=222"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/asan"

for round in $(seq "${ROUNDS:-1}"); do
    echo "asan: round $round"
    cargo test --package windlass --lib --target "$target" "${1:-net::}"
done
