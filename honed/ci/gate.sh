#!/usr/bin/env bash
# Is the head slower than the base? Each commit gets an environment of its own, and both are
# measured in turns, in fresh processes, on this machine, within this job: a machine that differs
# from yesterday's cannot raise an alarm. Written by `honed ci init`; it is yours to change.
#
#     @SCRIPT@ [BASE [HEAD]]
#
# BASE and HEAD name commits; unset, the last commit that HEAD shares with origin/main, and HEAD.
# Exit code 0: not slower; 1: slower, or a trial failed; 2: a word was wrong, or a commit could not be
# installed; 3: undecided.
set -euo pipefail

# What is measured; `honed run --keys` lists every setting. Paths begin with ./ and are those of the
# working tree.
WORDS=(@WORDS@)
# The question and the time for it; docs: honed compare --help.
QUESTION=(@QUESTION@)
# What each environment holds besides the commit: the engine.
PACKAGES=(@PACKAGES@)

# Makes the environment NAME from a commit's files. HONED_GATE_ENVIRONMENT may name another command.
environment() { # NAME FOLDER
    if [ -n "${HONED_GATE_ENVIRONMENT:-}" ]; then
        "$HONED_GATE_ENVIRONMENT" "$1" "$2"
    else
        honed env create "$1" "$2" "${PACKAGES[@]}" >&2
    fi
}

commit() { git rev-parse --verify --quiet "$1^{commit}" || { echo "no commit $1" >&2; exit 2; }; }

head=$(commit "${2:-HEAD}")
base=${1:-$(git merge-base origin/main "$head")} || {
    echo "no commit is shared with origin/main; name the base: bash @SCRIPT@ BASE HEAD" >&2
    exit 2
}
base=$(commit "$base")
mkdir -p "${HONED_GATE_OUT:-@OUT@}"
out=$(cd "${HONED_GATE_OUT:-@OUT@}" && pwd)
rm -f "$out"/{verdict.md,summary.md,comparison.json,records.jsonl} # answers of an earlier run
work=$(mktemp -d)
repository=$(git rev-parse --show-toplevel)

clean_up() {
    for side in base head; do
        git -C "$repository" worktree remove --force "$work/$side" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap clean_up EXIT

export HONED_HOME="$work/home"         # environments of this job, which end with it
export HONED_STORE="$out/records.db"
for side in base head; do
    git -C "$repository" worktree add --quiet --detach "$work/$side" "${!side}"
    environment "gate-$side" "$work/$side" || exit 2
done

# An empty folder: in the repository, both environments would import the files that lie there.
mkdir "$work/empty" && cd "$work/empty"
words=()
for word in "${WORDS[@]}"; do
    [[ $word == *=./* ]] && word="${word%%=*}=$repository/${word#*=./}"
    words+=("$word")
done
code=0
honed compare "${words[@]}" base: python=gate-base head: python=gate-head "${QUESTION[@]}" \
    --exit-code --json --markdown "$out/verdict.md" >"$out/comparison.json" || code=$?

describe() { git -C "$repository" log -1 --format='`%h` %s' "$1"; }
if [ -f "$out/verdict.md" ]; then
    {
        echo "### honed: is the head slower than the base?"
        echo
        cat "$out/verdict.md"
        echo
        echo "- base: $(describe "$base")"
        echo "- head: $(describe "$head")"
    } >"$out/summary.md"
    cat "$out/summary.md"
    cat "$out/summary.md" >>"${GITHUB_STEP_SUMMARY:-/dev/null}"
    honed export --format jsonl --out "$out/records.jsonl" 2>/dev/null || true
fi
exit "$code"
