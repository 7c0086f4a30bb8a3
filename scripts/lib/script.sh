# Start of every script: location, help, argument checks. Source it right after `set`:
#
#   source "$(dirname "$0")/lib/script.sh"
#
# It changes to the top of the repository. The comment at the top of a script, up to its `set` line, is its
# help text. A wrong argument ends the script with one line on standard error and exit status 2, before
# anything is built or started.
#
# The take_* functions read the value of an option into a variable. Pass them the remaining arguments, the
# option first:
#
#   --passes) take_number passes "$@"; shift 2 ;;

SCRIPT=$(realpath "$0")
# Working directory of the caller, to which the paths in its arguments are relative.
CALLER_DIR=$PWD
cd "$(dirname "$SCRIPT")/.."

say() { printf '%s\n' "$*" >&2; }

# Reports a problem of the arguments or of this machine.
die() { say "${0##*/}: $*"; exit 2; }

# Reports a failed measurement or check.
fail() { say "${0##*/}: $*"; exit 1; }

print_help() { sed -n '2,/^set /{ /^set /d; s/^# \{0,1\}//p }' "$SCRIPT"; }

# Ends the script for an argument that no option matches, or prints the help text that it asks for.
other_argument() {
    case $1 in
        -h | --help) print_help; exit 0 ;;
        -*) die "unknown option '$1' (--help lists the options)" ;;
        *) die "unexpected argument '$1' (--help shows the usage)" ;;
    esac
}

# Ends the script for an argument of a script that takes none, or prints the help text.
no_arguments() { (($# == 0)) || other_argument "$1"; }

# take_text VARIABLE OPTION [VALUE]…: any value but an empty one.
take_text() {
    (($# > 2)) || die "$2 needs a value"
    [[ $3 ]] || die "$2 needs a value that is not empty"
    printf -v "$1" %s "$3"
}

# take_number VARIABLE OPTION [VALUE]…: a whole number of at least 1.
take_number() {
    (($# > 2)) || die "$2 needs a value: a whole number of at least 1"
    [[ $3 =~ ^[1-9][0-9]{0,8}$ ]] || die "$2: '$3' is not a whole number from 1 to 999999999"
    printf -v "$1" %s "$3"
}

# take_rate VARIABLE OPTION [VALUE]…: a number per second, which may have a fraction.
take_rate() {
    (($# > 2)) || die "$2 needs a value: a number per second above 0"
    [[ $3 =~ ^[0-9]{1,8}(\.[0-9]{1,6})?$ && $3 =~ [1-9] ]] ||
        die "$2: '$3' is not a number per second above 0"
    printf -v "$1" %s "$3"
}

# take_duration VARIABLE OPTION [VALUE]…: seconds, or numbers with units.
take_duration() {
    (($# > 2)) || die "$2 needs a value: a duration such as 30s, 10m or 1h"
    [[ $3 =~ ^([0-9]+(\.[0-9]+)?|([0-9]+(ms|s|m|h|d))+)$ && $3 =~ [1-9] ]] ||
        die "$2: '$3' is not a duration such as 30s, 10m or 1h"
    printf -v "$1" %s "$3"
}

# take_choice VARIABLE "CHOICE …" OPTION [VALUE]…: one of the choices.
take_choice() {
    (($# > 3)) || die "$3 needs a value: one of $2"
    is_choice "$4" "$2" || die "$3: '$4' is not one of $2"
    printf -v "$1" %s "$4"
}

# take_choices ARRAY "CHOICE …" OPTION [VALUE]…: some of the choices, separated by commas.
take_choices() {
    local choice
    local -n taken=$1
    (($# > 3)) || die "$3 needs a value: some of $2, separated by commas"
    IFS=, read -ra taken <<<"$4"
    ((${#taken[@]})) || die "$3 needs a value that is not empty: some of $2"
    for choice in "${taken[@]}"; do is_choice "$choice" "$2" || die "$3: '$choice' is not one of $2"; done
}

is_choice() { [[ $1 =~ ^[^[:space:]]+$ && " $2 " == *" $1 "* ]]; }

# take_list ARRAY OPTION [VALUE]…: texts separated by commas.
take_list() {
    local -n taken=$1
    (($# > 2)) || die "$2 needs a value"
    IFS=, read -ra taken <<<"$3"
    ((${#taken[@]})) || die "$2 needs a value that is not empty"
}

# take_core VARIABLE OPTION [VALUE]…: a core of this machine.
take_core() {
    local last=$(($(nproc --all) - 1))
    (($# > 2)) || die "$2 needs a value: a core of this machine, 0 to $last"
    is_core "$3" || die "$2: '$3' is not a core of this machine, 0 to $last"
    printf -v "$1" %s "$3"
}

# take_cores VARIABLE OPTION [VALUE]…: cores of this machine as taskset writes them, such as 0,2-3.
take_cores() {
    local core last=$(($(nproc --all) - 1))
    (($# > 2)) || die "$2 needs a value: cores of this machine, 0 to $last, such as 0,2-3"
    [[ $3 =~ ^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$ ]] || die "$2: '$3' is not a list of cores such as 0,2-3"
    for core in ${3//[,-]/ }; do
        is_core "$core" || die "$2: '$core' is not a core of this machine, 0 to $last"
    done
    printf -v "$1" %s "$3"
}

is_core() { [[ $1 =~ ^(0|[1-9][0-9]{0,3})$ ]] && (($1 < $(nproc --all))); }

# take_file VARIABLE OPTION [VALUE]…: a file that can be read; stores its absolute path.
take_file() {
    take_path "$@"
    [[ -f ${!1} && -r ${!1} ]] || die "$2: cannot read the file '$3'"
}

# take_path VARIABLE OPTION [VALUE]…: stores an absolute path.
take_path() {
    take_text "$@"
    [[ $3 == /* ]] || printf -v "$1" %s "$CALLER_DIR/$3"
}

# need TOOL PACKAGE: ends the script if a tool is missing, with the Debian package that has it.
need() { command -v "$1" >/dev/null || die "'$1' is missing: apt-get install $2"; }

# The measuring scripts pin the server and the client to cores of their own.
need_two_cores() { (($(nproc) >= 2)) || die "two cores are needed: one for the server, one for the client"; }

# Prints the directory of the build's output, target unless the environment names another.
target_dir() { realpath -m "${CARGO_TARGET_DIR:-target}"; }
