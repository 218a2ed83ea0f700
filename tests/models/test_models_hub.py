"""The hub's local cache, and what is said when a download fails. Nothing here asks the network."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest

from honed.errors import ModelError
from honed.models import hub
from honed.models.checkpoint import ModelRequest
from honed.models.obtain import locate, materialise

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REQUEST = ModelRequest("owner/name")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The hub's cache folder, empty."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def put(cache, folder, names=("config.json", "model.safetensors")):
    """A snapshot of owner/name as the hub's library lays it out."""
    repository = cache / "models--owner--name"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True, exist_ok=True)
    (repository / "refs").mkdir(exist_ok=True)
    (repository / "refs" / "main").write_text(COMMIT)
    for name in names:
        shutil.copy(folder / name, snapshot / name)
    return snapshot


@pytest.fixture
def downloads(monkeypatch):
    """What snapshot_download is asked for; `act` says what it does."""
    import huggingface_hub

    asked = SimpleNamespace(calls=[], act=None)

    def snapshot_download(repo_id, **options):
        asked.calls.append((repo_id, options))
        return asked.act(options)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return asked


def test_a_whole_snapshot_is_found(cache, hand_made):
    snapshot = put(cache, hand_made())
    found = locate(REQUEST)
    assert (found.folder, found.source) == (snapshot, "hub")


def test_a_partial_download_is_to_be_made(cache, hand_made):
    put(cache, hand_made(), names=("config.json",))
    assert locate(REQUEST) is None


def test_a_corrupt_snapshot_is_an_error_not_a_download(cache, hand_made):
    snapshot = put(cache, hand_made())
    (snapshot / "model.safetensors").write_bytes(b"short")
    with pytest.raises(ModelError, match="cut short"):
        locate(REQUEST)


def test_a_download_prefers_safetensors(cache, hand_made, downloads):
    downloads.act = lambda _: str(put(cache, hand_made("a")))
    assert materialise(REQUEST).source == "hub"
    ((repo_id, options),) = downloads.calls
    assert repo_id == "owner/name"
    assert "*.bin" not in options["allow_patterns"]
    assert "*.py" not in options["allow_patterns"]


def test_a_download_without_safetensors_takes_bin(cache, hand_made, downloads):
    folder = hand_made()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x02}.")

    def act(options):
        got = "pytorch_model.bin" if "*.bin" in options["allow_patterns"] else "config.json"
        return str(put(cache, folder, names=("config.json", got)))

    downloads.act = act
    assert materialise(REQUEST).weights_bytes == 4
    assert len(downloads.calls) == 2


def test_code_comes_only_with_trust(downloads, hand_made):
    downloads.act = lambda _: str(hand_made())
    hub.download("owner/name", with_code=True)
    assert "*.py" in downloads.calls[0][1]["allow_patterns"]


def failures():
    from huggingface_hub import errors

    response = SimpleNamespace(headers={}, request=None)
    return [
        (errors.GatedRepoError("gated", response=response), "gated", "log in"),
        (errors.RepositoryNotFoundError("no", response=response), "has no model", "spelling"),
        (errors.LocalEntryNotFoundError("offline"), "cannot be reached", "HF_HUB_OFFLINE"),
        (errors.HfHubHTTPError("500 broken\nmore", response=response), "500 broken", "try again"),
        (ConnectionResetError("reset by peer"), "reset by peer", "try again"),
        (OSError(28, "No space left on device"), "No space left", "try again"),
    ]


@pytest.mark.parametrize("index", range(6))
def test_every_failure_says_what_happened_and_what_to_type(cache, downloads, index):
    error, message, hint = failures()[index]

    def act(_):
        raise error

    downloads.act = act
    with pytest.raises(ModelError) as raised:
        materialise(REQUEST)
    assert message in raised.value.message
    assert hint in raised.value.hint
    assert "model=./path" in raised.value.hint
