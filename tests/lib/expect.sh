# What test scripts of the command line share: a scratch folder to be in, and expect. Source it under `set -euo pipefail`.
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
failures=0
absent= # files that no command may leave behind

# expect CODE TEXT ARGUMENT…: mcc ARGUMENT… ends with CODE and says TEXT ('': anything)
expect() {
    local code=0 want=$1 text=$2 file left=
    shift 2
    "$MCC" "$@" >log 2>&1 </dev/null || code=$?
    for file in $absent; do [ ! -e "$file" ] || left="$left $file"; done
    if [ $code = "$want" ] && [ -z "$left" ] && { [ -z "$text" ] || grep -qF -- "$text" log; }; then return; fi
    echo "mcc $*: exit $code, want $want with '$text'${left:+, left$left}"
    head -c 2000 log
    failures=1
}
