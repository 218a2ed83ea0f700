"""GitHub Actions: a workflow for pull requests, whose verdict stands in the job's summary."""

from __future__ import annotations

from honed.ci.systems.base import Job

HELP = "GitHub Actions"
FILE = ".github/workflows/honed-gate.yml"
NEXT = "commit both files; the gate runs on the next pull request"

# HEAD is the pull request merged into its base, whose first parent is the base as it is now.
_TEXT = """\
# Does this pull request make the model slower? Written by `honed ci init`.
name: honed gate
on: pull_request
permissions:
  contents: read
concurrency:
  group: honed-gate-${{ github.ref }}
  cancel-in-progress: true
jobs:
  gate:
    runs-on: ubuntu-latest
    timeout-minutes: @LIMIT@
    steps:
      - uses: actions/checkout@v5
        with:
          fetch-depth: 0 # base and head are both checked out
      - uses: actions/setup-python@v6
        with:
          python-version: "3.12"
      - run: python -m pip install @PACKAGES@
      - name: Measure base and head in turns
        run: |
          code=0
          bash @SCRIPT@ HEAD^1 HEAD || code=$?
          if [ "$code" = 3 ]; then # remove these lines to let an undecided gate fail
            echo "::warning title=honed gate::undecided, see the summary"
            code=0
          fi
          exit "$code"
      - uses: actions/upload-artifact@v4
        if: always()
        with:
          name: honed-gate
          path: @OUT@/
"""


def write(job: Job) -> str:
    text = _TEXT.replace("@SCRIPT@", job.script).replace("@PACKAGES@", job.packages)
    return text.replace("@OUT@", job.out).replace("@LIMIT@", str(job.limit_min))
