"""Words and files to Cases: order, sweeps, knobs of other backends, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from honed.case import CORE_KEYS
from honed.compose import change, compose
from honed.errors import UsageError
from honed.knobs import filled_in, known_keys

TINY = ["model=tiny", "backend=fake"]


def settings(words: list[str], *keys: str) -> list[tuple[object, ...]]:
    return [tuple(c.get(k) for k in keys) for c in compose(words).cases]


def test_plain_words_make_one_case_with_defaults() -> None:
    sweep = compose(["model=bert-base-uncased", "batch_size=8"])
    (case,) = sweep.cases
    assert (case.model, case.batch_size, case.backend) == ("bert-base-uncased", 8, "torch")
    assert sweep.varying == ()


def test_the_last_key_varies_fastest() -> None:
    got = settings(
        [*TINY, "batch_size=1,8", "sequence_length=16,32"], "batch_size", "sequence_length"
    )
    assert got == [(1, 16), (1, 32), (8, 16), (8, 32)]


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("batch_size=1,2,4", [1, 2, 4]),
        ("batch_size=range(1,5)", [1, 2, 3, 4]),
        ("batch_size=range(2,9,3)", [2, 5, 8]),
        ("batch_size=choice(1,16)", [1, 16]),
    ],
)
def test_sweeps(word: str, values: list[int]) -> None:
    assert settings([*TINY, word], "batch_size") == [(v,) for v in values]


def test_a_later_word_replaces_an_earlier_one() -> None:
    assert settings([*TINY, "batch_size=1", "batch_size=4"], "batch_size") == [(4,)]


def test_null_leaves_a_setting_untouched() -> None:
    (case,) = compose([*TINY, "threads=null", "fake.latency_us=null"]).cases
    assert case.threads is None
    assert "fake.latency_us" not in case.knobs


def test_a_number_becomes_the_type_of_its_key() -> None:
    (case,) = compose([*TINY, "duration_s=2"]).cases
    assert isinstance(case.duration_s, float)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("batch_size='8'", 8),
        ("duration_s='2.5'", 2.5),
        ("memory=no", False),
        ("memory=0", False),
        ("memory='on'", True),
        ("model=123", "123"),
        ("max_accuracy_drop=0.5%", 0.005),
    ],
)
def test_a_value_is_read_in_the_type_of_its_key(word: str, value: object) -> None:
    (case,) = compose([*TINY, word]).cases
    got = case.get(word.partition("=")[0])
    assert (got, type(got)) == (value, type(value))


def test_a_backends_knob_does_not_multiply_the_others() -> None:
    got = settings(
        ["model=m", "backend=torch,onnxruntime", "torch.mode=eager,compile"],
        "backend",
        "torch.mode",
    )
    assert got == [("torch", "eager"), ("torch", "compile"), ("onnxruntime", None)]


def test_paths_and_quotes() -> None:
    assert settings(["model=./my-checkpoint", "inputs=texts.jsonl"], "model", "inputs") == [
        ("./my-checkpoint", "texts.jsonl")
    ]
    assert settings(["model='/tmp/a, b=c'"], "model") == [("/tmp/a, b=c",)]
    assert settings(["model=org/name-v2.1"], "model") == [("org/name-v2.1",)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["batch_size=1"], "which model"),
        ([*TINY, "batchsize=1"], "did you mean batch_size"),
        ([*TINY, "fake.latency=1"], "fake.latency_us"),
        (["model=tiny", "backend=onnxruntim"], "did you mean onnxruntime"),
        ([*TINY, "workload=closedloop"], "closed_loop"),
        ([*TINY, "precision=int9"], "did you mean int8"),
        ([*TINY, "precision=fp32,int9"], "int9"),
        ([*TINY, "fake.fail=crsh"], "did you mean crash"),
        ([*TINY, "fake.latency_us=-1"], "0..10000000"),
        ([*TINY, "batch_size=0"], "1 or more"),
        ([*TINY, "batch_size=two"], "whole number"),
        ([*TINY, "batch_size=1.5"], "whole number"),
        ([*TINY, "batch_size=[1,2]"], "batch_size=a,b,c"),
        ([*TINY, "memory=maybe"], "true or false"),
        (["model=tiny", "fake.fail=crash"], "backend=fake"),
        (["bert-base-uncased"], "model=bert-base-uncased"),
        ([*TINY, "batch_size=(1"], "key=value"),
        ([*TINY, "+batch_size=1"], "only set"),
        ([*TINY, "~batch_size"], "key=value"),
        ([*TINY, "model=tiny", "threads="], "threads"),
    ],
)  # fmt: skip
def test_bad_words_are_refused_and_taught(words: list[str], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        compose(words)
    text = f"{refused.value.message} {refused.value.hint}"
    assert said in text
    assert "\n" not in text


def test_yaml_file_with_sweeps_and_nested_knobs(tmp_path: Path) -> None:
    file = tmp_path / "case.yaml"
    file.write_text(
        "model: tiny\nbackend: fake\nbatch_size: [1, 4]\nsequence_length: range(8,10)\n"
        "fake:\n  latency_us: 100\nthreads: null\n"
    )
    sweep = compose(["sequence_length=8"], file)
    assert [c.batch_size for c in sweep.cases] == [1, 4]
    assert {c.sequence_length for c in sweep.cases} == {8}
    assert {c.get("fake.latency_us") for c in sweep.cases} == {100}
    assert sweep.varying == ("batch_size",)


def test_yaml_truth_values_mean_on_and_off(tmp_path: Path) -> None:
    file = tmp_path / "case.yaml"
    file.write_text("model: m\nbackend: onnxruntime\nonnxruntime.fusion: off\n")
    assert compose([], file).cases[0].get("onnxruntime.fusion") == "off"


@pytest.mark.parametrize(
    ("text", "said"),
    [("model: [", "not valid YAML"), ("- model", "not a mapping"), ("modle: tiny", "model")],
)
def test_bad_yaml_is_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "case.yaml"
    file.write_text(text)
    with pytest.raises(UsageError) as refused:
        compose([], file)
    assert said in f"{refused.value.message} {refused.value.hint}"


def test_a_missing_yaml_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        compose([], tmp_path / "none.yaml")


def test_a_record_keeps_every_key_of_its_case() -> None:
    (case,) = compose([*TINY, "fake.latency_us=5"]).cases
    kept = filled_in(case)
    assert set(CORE_KEYS) <= set(kept)
    assert kept["fake.latency_us"] == 5
    assert kept["fake.fail"] is None
    assert "torch.mode" not in kept


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("lengths=uniform(8,512)", [("uniform(8,512)", 512)]),
        ("lengths='uniform(8, 64)'", [("uniform(8,64)", 64)]),
        ("lengths=8..64", [("uniform(8,64)", 64)]),
        ("lengths=uniform(8,128),8..512", [("uniform(8,128)", 128), ("uniform(8,512)", 512)]),
        ("lengths=choice(8..64,uniform(8,32))", [("uniform(8,64)", 64), ("uniform(8,32)", 32)]),
        ("lengths=null", [(None, 128)]),
        ("lengths=null,8..64", [(None, 128), ("uniform(8,64)", 64)]),
    ],
)
def test_lengths_keep_their_commas_and_set_the_longest(word: str, found: list[object]) -> None:
    assert settings([*TINY, word], "lengths", "sequence_length") == found


def test_a_typed_sequence_length_cuts() -> None:
    words = [*TINY, "lengths=8..512", "sequence_length=64,256"]
    assert settings(words, "sequence_length") == [(64,), (256,)]
    assert settings([*TINY, "lengths=normal(90,20)", "sequence_length=256"], "lengths") == [
        ("normal(90,20)",)
    ]


def test_the_longest_of_a_histogram_is_in_its_file(tmp_path: Path) -> None:
    (tmp_path / "h, 1.csv").write_text("8,1\n90,2\n")
    words = [*TINY, f"lengths='{tmp_path}/h, 1.csv'"]
    assert settings(words, "lengths", "sequence_length") == [(f"{tmp_path}/h, 1.csv", 90)]


@pytest.mark.parametrize(
    "line",
    [
        "lengths: uniform(8,64),8..512",
        "lengths: [uniform(8,64), 8..512]",
        "lengths:\n- uniform(8,64)\n- 8..512",
        "lengths: choice(uniform(8,64),8..512)",
    ],
)
def test_lengths_in_yaml(tmp_path: Path, line: str) -> None:
    file = tmp_path / "case.yaml"
    file.write_text(f"model: tiny\nbackend: fake\n{line}\n")
    assert [(c.lengths, c.sequence_length) for c in compose([], file).cases] == [
        ("uniform(8,64)", 64),
        ("uniform(8,512)", 512),
    ]


def test_lengths_unset_in_yaml(tmp_path: Path) -> None:
    file = tmp_path / "case.yaml"
    file.write_text("model: tiny\nbackend: fake\nlengths: null\n")
    assert compose([], file).cases[0].lengths is None


def test_changed_lengths_bring_their_own_longest() -> None:
    (case,) = compose([*TINY, "lengths=8..64", "padding=sorted"]).cases
    (changed,) = change(case, ["lengths=8..256"]).cases
    assert (changed.sequence_length, changed.get("padding")) == (256, "sorted")
    (cut,) = change(case, ["lengths=8..256", "sequence_length=99"]).cases
    assert cut.sequence_length == 99
    (same,) = change(case, ["batch_size=4"]).cases
    assert (same.lengths, same.sequence_length) == ("uniform(8,64)", 64)
    (fixed,) = change(case, ["lengths=null"]).cases
    assert (fixed.lengths, fixed.sequence_length) == (None, 64)


def test_bucket_tokens_fall_away_where_there_are_no_buckets() -> None:
    got = settings(
        [*TINY, "padding=longest,buckets,sorted", "bucket_tokens=32,64"],
        "padding",
        "bucket_tokens",
    )
    assert got == [
        ("longest", None),
        *[(p, n) for p in ("buckets", "sorted") for n in (32, 64)],
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lengths=uniform(8,5)"], "the lesser first"),
        (["lengths=unifrom(8,512)"], "did you mean uniform"),
        (["lengths=64"], "sequence_length=64"),
        (["lengths=normal(100,20)"], "add sequence_length=512"),
        (["lengths=none.json"], "No such file"),
        (["lengths=200..300", "sequence_length=128"], "sequence_length=300"),
        (["lengths=8..64", "inputs=texts.txt"], "only one"),
        (["sequence_length=uniform(8,512)"], "lengths=uniform(8,512)"),
        (["sequence_length=8..512"], "lengths=8..512"),
        (["padding=bucket"], "did you mean buckets"),
        (["bucket_tokens=32"], "add padding=buckets"),
        (["padding=max", "bucket_tokens=32"], "padding=buckets or sorted"),
        (["padding=buckets", "bucket_tokens=0"], "1..8192"),
    ],
)
def test_bad_lengths_and_padding_are_refused_and_taught(words: list[str], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        compose([*TINY, *words])
    assert said in f"{refused.value.message} {refused.value.hint}"


def test_every_key_has_a_help_line() -> None:
    assert all(known_keys().values())
    assert not [key for key in known_keys() if key.startswith("fake.")]


def test_a_size_of_memory_is_a_limit_and_a_truth_is_whether_it_is_measured(
    tmp_path: Path,
) -> None:
    cases = compose(["model=tiny", "memory=1.5GiB,2048MiB"]).cases
    assert [(c.memory_limit, c.memory) for c in cases] == [("1536MiB", True), ("2GiB", True)]
    assert compose(["model=tiny", "memory=false"]).cases[0].memory is False
    path = tmp_path / "case.yaml"
    path.write_text("model: tiny\nmemory: 512MiB\n")
    assert compose([], path).cases[0].memory_limit == "512MiB"
    with pytest.raises(UsageError, match="has no unit"):
        compose(["model=tiny", "memory=64"])
