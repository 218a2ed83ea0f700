"""GitLab CI: a job for merge requests, in a file that .gitlab-ci.yml includes."""

from __future__ import annotations

from honed.ci.systems.base import Job

HELP = "GitLab CI"
FILE = "ci/honed-gate.gitlab.yml"
NEXT = "add to .gitlab-ci.yml:  include: [{local: ci/honed-gate.gitlab.yml}]"


def write(job: Job) -> str:
    return f"""\
# Does this merge request make the model slower? Written by `honed ci init`.
honed-gate:
  image: python:3.12
  rules:
    - if: $CI_PIPELINE_SOURCE == "merge_request_event"
  timeout: {job.limit_min} minutes
  variables:
    GIT_DEPTH: "0" # base and head are both checked out
  script:
    - python -m pip install {job.packages}
    - bash {job.script} "$CI_MERGE_REQUEST_DIFF_BASE_SHA" "$CI_COMMIT_SHA"
  allow_failure:
    exit_codes: [3] # undecided; remove these two lines to let it fail
  artifacts:
    when: always
    paths: [{job.out}/]
"""
