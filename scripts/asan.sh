#!/usr/bin/env bash
# Runs the tests of both engines under AddressSanitizer. The io_uring engine is the one place with `unsafe`.
#
# usage: scripts/asan.sh [--rounds N] [FILTER]
#
#   --rounds N   how often the tests run (1)
#   FILTER       which tests run, as `cargo test` takes it (net::)
#
# Needs a stable x86_64 Rust toolchain, which ships the runtime of the sanitizer, and a kernel with io_uring.
# Builds into asan/ in the target directory: our code and its dependencies are instrumented, the standard
# library is not. The kernel is not instrumented either. A send from freed memory still shows, because freed
# memory is overwritten and the tests compare every byte. Leaks are not reported: a test drops a ring by a
# panic, which leaks it on purpose.
set -euo pipefail
source "$(dirname "$0")/lib/script.sh"

rounds=1 filter=
while (($#)); do
    case $1 in
        --rounds) take_number rounds "$@"; shift 2 ;;
        -*) other_argument "$1" ;;
        *) [[ ! $filter ]] || other_argument "$1"; filter=$1; shift ;;
    esac
done

target=x86_64-unknown-linux-gnu
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="-Zsanitizer=address -Cforce-frame-pointers=yes"
ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=1:abort_on_error=1
export ASAN_OPTIONS+=:max_free_fill_size=16777216:free_fill_byte=222
CARGO_TARGET_DIR=$(target_dir)/asan
export CARGO_TARGET_DIR

for ((round = 1; round <= rounds; round++)); do
    say "round $round of $rounds"
    cargo test --package windlass --lib --target "$target" "${filter:-net::}"
done
