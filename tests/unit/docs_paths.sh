#!/usr/bin/env bash
# Every path of this repository that README.md, docs/*.md or a README of the examples mentions exists.
# What counts: targets of links; words in `code` that hold a slash; and, in fenced blocks, words that begin with one of
# our top folders. Not checked: what a build or an installation makes (build*/, bin/, lib/, share/), and words with
# other characters than those of plain paths, such as <placeholders>. A * matches as in the shell.
set -euo pipefail
cd "$SOURCE"
shopt -s nullglob
tops=$(printf '%s|' */ | sed 's,/,,g')

# paths FILE: its candidates, as LINE:PATH
paths() {
    awk -v tops="^(${tops%|})/" '
        function word(text) {
            sub(/[.,:;)]+$/, "", text)
            sub(/^\.\//, "", text)
            if (text ~ /^[A-Za-z0-9_.][A-Za-z0-9_.*-]*(\/[A-Za-z0-9_.*-]+)*\/?$/ && text !~ /^(\.\.\/)*(build[^\/]*|bin|lib|share)\//)
                print FNR ":" text
        }
        /^ *```/ { fenced = !fenced; next }
        fenced { n = split($0, words, /[ =]+/); for (i = 1; i <= n; i++) { sub(/^\.\//, "", words[i]); if (words[i] ~ tops) word(words[i]) }; next }
        {
            n = split($0, spans, "`")
            for (i = 2; i <= n; i += 2) {
                m = split(spans[i], words, /[ =]+/)
                for (j = 1; j <= m; j++) if (words[j] ~ /\//) word(words[j])
            }
            while (match($0, /\]\([^)#]+/)) {
                link = substr($0, RSTART + 2, RLENGTH - 2)
                if (link !~ /:/) word(link)
                $0 = substr($0, RSTART + RLENGTH)
            }
        }' "$1"
}

# check FILE: says which of its paths do not exist, from the top or from beside the file
check() {
    local line path bad=0
    while IFS=: read -r line path; do
        found=$((found + 1))
        if [ -z "$(compgen -G "$path" || compgen -G "$(dirname "$1")/$path")" ]; then
            echo "$1:$line: no such path: $path"
            bad=1
        fi
    done < <(paths "$1")
    return $bad
}

found=0 status=0
for file in README.md docs/*.md examples/*/README.md; do
    check "$file" || status=1
done
echo "$found paths checked"
[ "$found" -gt 0 ]

# The check itself: three of these five are wrong.
bad=$(mktemp)
trap 'rm -f "$bad"' EXIT
printf '%s\n' 'See `ir/ops.def`, `ir/no_such.c` and [this](no_such.md).' '```' 'cat tests/no_such.sh include/mcc/*.h' '```' >"$bad"
[ "$(check "$bad" | wc -l)" = 3 ]
exit $status
