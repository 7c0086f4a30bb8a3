#!/usr/bin/env bash
# Counts the instructions of each operation of the hot path, a figure that does not depend on how busy the
# machine is.
#
# usage: scripts/instructions.sh [--check | --write]
#
#   --check   exit status 1 if a figure is more than 3 % above the committed one
#   --write   commits the figures: writes benches/results/instructions.csv
#
# Without an option it prints the figures beside the committed ones.
#
# Needs valgrind (Debian package valgrind). benches/instructions runs an operation a fixed number of times
# under callgrind, once few and once many times. The difference, divided, is the cost of one operation without
# start and end. Repeated runs differ by less than 0.1 %.
#
# Another compiler generates other instructions, and the C library selects its routines by processor. Figures
# compare only within one toolchain, which the file names. That and the release build are why check.sh does
# not run this script. Write the figures again after each change of the toolchain, and when one has become
# smaller.
set -euo pipefail
source "$(dirname "$0")/lib/script.sh"

FIGURES=benches/results/instructions.csv
LIMIT=1.03
# Repetitions in the two runs of each operation.
FEW=1000 MANY=51000

mode=print
case ${1-} in
    "") no_arguments "$@" ;;
    --check | --write) mode=${1#--} ;;
    *) other_argument "$1" ;;
esac
(($# < 2)) || other_argument "$2"
need valgrind valgrind
[[ $mode != check || -f $FIGURES ]] || die "$FIGURES is missing: --write creates it"

toolchain="$(rustc --version | cut -d' ' -f1,2) $(uname -m) $(valgrind --version)"
say "building (release)"
binary=$(cargo build --release --quiet --bench instructions --message-format=json |
    sed -n 's/.*"executable":"\([^"]*instructions[^"]*\)".*/\1/p' | tail -1)
[[ -x $binary ]] || die "the build names no executable"

# Prints the instructions of one run of an operation.
count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$binary" "$1" "$2" 2>&1 |
        sed -n 's/.*Collected : \([0-9]*\)$/\1/p'
}

# Prints the committed figure of an operation.
committed() { [[ ! -f $FIGURES ]] || awk -F, -v name="$1" '$1 == name { print $2 }' "$FIGURES"; }

mapfile -t operations < <("$binary")
((${#operations[@]})) || die "the executable names no operation"
table="operation,instructions,toolchain" status=0
printf '%-24s %12s %12s %8s\n' operation instructions committed ratio
for operation in "${operations[@]}"; do
    few=$(count "$operation" "$FEW") many=$(count "$operation" "$MANY")
    [[ $few && $many ]] || die "$operation does not run under valgrind"
    figure=$(awk -v d=$((many - few)) -v n=$((MANY - FEW)) 'BEGIN { printf "%.1f", d / n }')
    known=$(committed "$operation")
    ratio=$([[ ! $known ]] || awk -v a="$figure" -v b="$known" 'BEGIN { printf "%.3f", a / b }')
    verdict=
    if [[ $mode == check ]]; then
        if [[ ! $known ]]; then
            verdict="not committed" status=1
        elif awk -v r="$ratio" -v limit="$LIMIT" 'BEGIN { exit !(r > limit) }'; then
            verdict="more than $LIMIT" status=1
        fi
    fi
    printf '%-24s %12s %12s %8s %s\n' "$operation" "$figure" "${known:--}" "${ratio:--}" "$verdict"
    table+=$'\n'"$operation,$figure,$toolchain"
done

if [[ $mode == write ]]; then
    echo "$table" >"$FIGURES"
    echo "written: $FIGURES"
elif [[ -f $FIGURES ]] && ! grep -qF ",$toolchain" "$FIGURES"; then
    echo "The committed figures are those of $(sed -n '2s/.*,//p' "$FIGURES"); this is $toolchain."
fi
exit $status
