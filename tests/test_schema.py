"""The schema of --config files agrees with what the composition accepts and refuses."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml

from honed.case import CORE_KEYS
from honed.compose import compose
from honed.errors import UsageError
from honed.knobs import known_keys
from honed.schema import config_schema

VALIDATOR = jsonschema.Draft202012Validator(config_schema())


def test_every_key_that_the_help_lists_has_its_help_line() -> None:
    jsonschema.Draft202012Validator.check_schema(config_schema())
    properties = config_schema()["properties"]
    assert set(known_keys()) <= set(properties)
    assert all(properties[key]["description"] in known_keys()[key] for key in known_keys())
    assert properties["batch_size"]["anyOf"][0] == {"type": "integer", "minimum": 1}


RIGHT = [
    "model: bert-base-uncased",
    "model: tiny\nbatch_size: [1, 8]\nprecision: [fp32, int8]",
    "model: tiny\nbackend: torch\ntorch:\n  mode: compile",
    "model: tiny\nbackend: torch\ntorch.mode: [eager, compile]",
    "model: tiny\nbatch_size: range(1, 4)",
    "model: tiny\nmax_accuracy_drop: 0.5%",
    "model: lm-small\nmodel.d_model: [256, 512]",
    "workload: attention\nattention: [naive, 'mine.fast:attend']",
    "model: tiny\nthreads: null\nallocator: jemalloc\nmemory: no",
    "model: tiny\nmemory: 2GiB",
    "model: tiny\nmemory_limit: [512MiB, 1.5 GB]\nbackend: [torch, openvino]",
]
WRONG = [
    "model: tiny\nbatch_sise: 4",
    "model: tiny\nbatch_size: 0",
    "model: tiny\nbatch_size: [1, many]",
    "model: tiny\nprecision: fp33",
    "model: tiny\nbackend: torch\ntorch:\n  mod: compile",
    "model: tiny\nallocator: jemallok",
    "model: tiny\nbackend: onnxruntim",
    "model: tiny\nworkload: closed-loop",
    "model: tiny\nmemory_limit: 512",
    "model: tiny\nmemory_limit: many",
    "model: tiny\ninputs: ''",
]


@pytest.mark.parametrize("text", RIGHT)
def test_what_the_schema_accepts_composes(tmp_path: Path, text: str) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    assert list(VALIDATOR.iter_errors(yaml.safe_load(text))) == []
    assert compose([], path).cases


@pytest.mark.parametrize("text", WRONG)
def test_what_the_schema_refuses_does_not_compose(tmp_path: Path, text: str) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    assert list(VALIDATOR.iter_errors(yaml.safe_load(text)))
    with pytest.raises(UsageError):
        compose([], path)


def test_the_schema_knows_only_keys_of_a_case_and_knobs() -> None:
    keys = {key for key in config_schema()["properties"] if "." not in key}
    owners = {key.partition(".")[0] for key in known_keys() if "." in key}
    assert keys <= {*CORE_KEYS, *known_keys(), *owners}
