"""Waiting ends with the first good answer, or at the deadline with the last one."""

from __future__ import annotations

import pytest

from sheepvirt.core.waiting import wait_until
from tests.here import FakeClock


def test_the_first_good_answer_is_returned() -> None:
    clock, answers = FakeClock(), iter([1, 2, 3, 4])
    found = wait_until(lambda: next(answers), (3).__eq__, clock=clock, seconds=60, every=0.5)
    assert found == 3
    assert clock.slept == [0.5, 0.5]


def test_at_the_deadline_the_last_answer_is_returned() -> None:
    clock, asked = FakeClock(), []

    def ask() -> int:
        asked.append(clock.time)
        return len(asked)

    assert wait_until(ask, (0).__eq__, clock=clock, seconds=2, every=1.0) == 3
    assert asked == [0.0, 1.0, 2.0]
    assert wait_until(ask, (0).__eq__, clock=clock, seconds=-1, every=1.0) == 4  # asked once


def test_a_tolerated_error_is_waited_out_and_another_one_is_not() -> None:
    clock, left = FakeClock(), [OSError("a"), OSError("b"), ValueError("c")]

    def ask() -> int:
        raise left.pop(0)

    with pytest.raises(ValueError, match="c"):
        wait_until(ask, bool, clock=clock, seconds=60, every=1.0, tolerate=(OSError,))
    left[:] = [OSError(str(n)) for n in range(5)]
    with pytest.raises(OSError, match="2"):
        wait_until(ask, bool, clock=clock, seconds=2, every=1.0, tolerate=(OSError,))
