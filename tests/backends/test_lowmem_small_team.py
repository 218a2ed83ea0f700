"""The threads of the small engine: shares, meetings, errors."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from honed.backends.lowmem.small.team import Team


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize(("count", "grain"), [(0, 1), (1, 1), (7, 1), (12, 4), (10, 4), (64, 8)])
def test_the_shares_cover_everything_once_in_whole_grains(
    size: int, count: int, grain: int
) -> None:
    team = Team(size)
    shares = [team.share(count, index, grain) for index in range(size)]
    team.close()
    assert [place for share in shares for place in share] == list(range(count))
    assert all(share.start % grain == 0 for share in shares if share)


def test_every_thread_works_and_the_caller_is_the_first() -> None:
    team = Team(3)
    seen = {}
    team.run(lambda index: seen.update({index: threading.current_thread()}))
    team.close()
    assert set(seen) == {0, 1, 2}
    assert seen[0] is threading.current_thread()
    assert len(set(seen.values())) == 3


def test_what_was_written_before_a_meeting_is_seen_after_it() -> None:
    team = Team(3)
    written, seen = [0, 0, 0], []

    def work(index: int) -> None:
        for turn in range(1, 200):
            written[index] = turn
            team.meet()
            seen.append(list(written) == [turn] * 3)
            team.meet()

    team.run(work)
    team.close()
    assert len(seen) == 3 * 199
    assert all(seen)


@pytest.mark.parametrize("failing", [0, 2])
def test_an_error_of_any_thread_is_raised_and_the_team_works_on(failing: int) -> None:
    team = Team(3)

    def work(index: int) -> None:
        if index == failing:
            raise OSError("the disk")
        team.meet()  # the others wait in vain

    with pytest.raises(OSError, match="the disk"):
        team.run(work)
    done = []
    team.run(lambda index: (team.meet(), done.append(index)))
    team.close()
    assert sorted(done) == [0, 1, 2]


@pytest.mark.parametrize("barrier", ["_begin", "_end"])
def test_a_run_that_is_interrupted_while_it_waits_hangs_nothing(
    barrier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the main thread; the next run works, and so does close."""
    before = threading.active_count()
    team = Team(3)
    wait = getattr(team, barrier).wait

    def interrupted() -> int:
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        return int(wait())

    with monkeypatch.context() as patch:
        patch.setattr(getattr(team, barrier), "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            team.run(lambda _: None)
    done: list[int] = []
    team.run(lambda index: (team.meet(), done.append(index)))
    assert sorted(done) == [0, 1, 2]
    team.close()
    assert threading.active_count() == before


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("runs", [True, False])
def test_a_fork_has_a_team_of_its_own(runs: bool) -> None:
    """Threads do not survive a fork: gunicorn with --preload loads the model, and then forks."""
    team = Team(3)
    child = os.fork()
    if not child:
        signal.alarm(20)  # a team that waits for threads of the parent would wait for ever
        done: list[int] = []
        if runs:
            team.run(lambda index: (team.meet(), done.append(index)))
        team.close()
        os._exit(0 if sorted(done) == ([0, 1, 2] if runs else []) else 1)
    _, status = os.waitpid(child, 0)
    assert status == 0
    team.run(lambda _: None)
    team.close()


def test_an_interrupted_team_can_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    before = threading.active_count()
    team = Team(2)
    with monkeypatch.context() as patch:
        patch.setattr(team, "_do", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            team.run(lambda _: None)
    team.close()
    assert threading.active_count() == before


def _interrupt(_: object, index: int) -> None:
    if index == 0:
        raise KeyboardInterrupt


def test_a_closed_team_leaves_no_thread() -> None:
    before = threading.active_count()
    team = Team(4)
    assert threading.active_count() == before + 3
    team.close()
    assert threading.active_count() == before
