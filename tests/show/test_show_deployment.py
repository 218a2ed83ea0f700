"""What a person reads of a deployment."""

from __future__ import annotations

from screens import shown

from honed.backends._footprint import Portion
from honed.case import Case
from honed.plan.deployment import Deployment, Engine, parts_of
from honed.plan.deployment_verify import DeploymentVerification
from honed.plan.verify import PhasePeaks
from honed.show.deployment import (
    deployment_details,
    deployment_verification,
    deployments_table,
)
from honed.show.plan import size

MIB = 2**20
CASE = Case(model="m", backend="openvino", precision="int8", instances=2, threads=1)
PARTS = parts_of(
    Engine(30 * MIB, 40 * MIB, 60 * MIB, "aaa"),
    (Portion("weights", 90 * MIB, "packed"), Portion("activations", 9 * MIB, "", "calling")),
)
FOUND = Deployment(CASE, "bert", "features", 90 * MIB, 99 * MIB, PARTS, "aaa", "bbb",
                   ("a thing",), MIB)  # fmt: skip


def test_one_deployment_begins_with_its_limit_and_says_what_each_part_is() -> None:
    text = shown(deployment_details(FOUND), 160)
    assert "2 processes" in text
    assert f"container limit {FOUND.limit_bytes // MIB} MiB of 1.0 MiB: does not fit" in text
    assert f"below about {size(FOUND.least_bytes)} the kernel kills a process" in text
    assert "while all compute" in text
    assert "file, may go" in text
    assert "corrected by record bbb" in text
    assert "not known: a thing" in text


def test_several_deployments_are_a_table() -> None:
    text = shown(deployments_table([FOUND, FOUND]), 160)
    assert text.count("openvino int8") == 2
    assert size(FOUND.resident_peak_bytes) in text
    assert text.count("not known: a thing") == 1


def test_a_verification_shows_the_difference() -> None:
    peaks = PhasePeaks(101 * MIB, 100 * MIB)
    text = shown(deployment_verification(DeploymentVerification(peaks, peaks, "ccc")), 160)
    assert text.count("+1.0%") == 2
    assert "record ccc" in text
