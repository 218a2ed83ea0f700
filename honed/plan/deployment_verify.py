"""Verification of a deployment: the Case, run for real, beside its prediction."""

from __future__ import annotations

from dataclasses import dataclass

from honed.errors import HonedError, UsageError
from honed.plan.deployment import Deployment
from honed.plan.deployment_records import Bench, peak_bytes
from honed.plan.verify import PhasePeaks


@dataclass(frozen=True, slots=True)
class DeploymentVerification:
    """Bytes of all instances: private memory, and pages of files, which count once. `record` holds
    the measurement; later plans of this model and engine are corrected by it."""

    private: PhasePeaks
    files: PhasePeaks
    record: str


def verify_deployment(found: Deployment, bench: Bench) -> DeploymentVerification:
    """Run the deployment on this machine; HonedError where it does not run."""
    if bench.measure is None:
        raise UsageError(
            "--verify runs the model, and baseline=stored forbids it", "leave one out"
        )
    record = bench.measure(found.case)
    memory = record.memory
    if memory is None or memory.rss_anon_peak_bytes is None:
        reason = (
            "its memory could not be measured" if record.error is None else record.error.message
        )
        raise HonedError(
            f"{found.case.label()}: {reason}", "" if record.error is None else record.error.hint
        )
    return DeploymentVerification(
        PhasePeaks(found.private_bytes, found.case.instances * peak_bytes(memory)),
        PhasePeaks(found.file_bytes, memory.rss_file_peak_bytes or 0),
        record.id,
    )
