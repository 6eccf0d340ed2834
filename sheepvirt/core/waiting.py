"""Wait for a state, up to a deadline. Everything that waits for a state does it here."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import tenacity

if TYPE_CHECKING:
    from collections.abc import Callable

    from sheepvirt.core.clock import Clock

Answer = TypeVar("Answer")


def wait_until(
    ask: Callable[[], Answer],
    ready: Callable[[Answer], bool],
    *,
    clock: Clock,
    seconds: float,
    every: float,
    tolerate: tuple[type[Exception], ...] = (),
) -> Answer:
    """Call ``ask`` every ``every`` seconds until ``ready`` accepts its answer; return that answer.

    After ``seconds`` the last answer is returned, ready or not: the caller knows what to say. An
    exception of the types ``tolerate`` is like an answer that is not ready; if it is the last one,
    it is raised. ``ask`` is called at least once.
    """
    deadline = clock.monotonic() + seconds

    def last(state: tenacity.RetryCallState) -> Answer:
        assert state.outcome is not None
        answer: Answer = state.outcome.result()
        return answer

    retrying = tenacity.Retrying(
        sleep=clock.sleep,
        stop=lambda _state: clock.monotonic() >= deadline,
        wait=tenacity.wait_fixed(every),
        retry=tenacity.retry_if_exception_type(tolerate)
        | tenacity.retry_if_result(lambda answer: not ready(answer)),
        retry_error_callback=last,
    )
    return retrying(ask)
