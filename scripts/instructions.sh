#!/usr/bin/env bash
# Counts the instructions that an operation of the hot path takes: a figure that a busy machine does not change.
#
# Needs valgrind (Debian package valgrind). benches/instructions does an operation a fixed number of times under
# callgrind, once few and once many times; the difference, divided, is the operation without start and end. Repeated
# runs differ by less than 0.1 %.
#
#   scripts/instructions.sh            prints the figures beside the committed ones
#   scripts/instructions.sh --check    the same; exit status 1 when one is more than 3 % above the committed figure
#   scripts/instructions.sh --write    takes the figures for the committed ones: writes benches/results/instructions.csv
#
# Another compiler makes other instructions, and the C library picks its copies by the processor: figures compare only
# with those of the same toolchain, which stands in the file. That, and the release build it needs, is why check.sh
# does not run this. Write the figures anew with each change of the toolchain, and whenever one has become smaller.
set -euo pipefail
cd "$(dirname "$0")/.."

FIGURES=benches/results/instructions.csv
LIMIT=1.03
# Times each operation is done in the two runs.
FEW=1000 MANY=51000

usage() { echo "usage: scripts/instructions.sh [--check | --write]"; }

die() { echo "instructions.sh: $*" >&2; exit 2; }

mode=print
case ${1-} in
    "") ;;
    --check | --write) mode=${1#--} ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; die "unknown argument: $1" ;;
esac
command -v valgrind >/dev/null || die "'valgrind' is missing: apt-get install valgrind"
[[ $mode != check || -f $FIGURES ]] || die "$FIGURES is missing: --write makes it"

toolchain="$(rustc --version | cut -d' ' -f1,2) $(uname -m) $(valgrind --version)"
echo "building (release)" >&2
binary=$(cargo build --release --quiet --bench instructions --message-format=json | sed -n 's/.*"executable":"\([^"]*instructions[^"]*\)".*/\1/p' | tail -1)
[[ -x $binary ]] || die "the build names no executable"

# Instructions of one run of an operation.
count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$binary" "$1" "$2" 2>&1 | sed -n 's/.*Collected : \([0-9]*\)$/\1/p'
}

# The committed figure of an operation.
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
