"""Doing several slow things at once, in a way that a failure or a person can end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

from testbed import process


def side_by_side(work: Sequence[Callable[[], None]]) -> None:
    """Do several things at once; when one fails or a person interrupts, the programs of all are ended."""
    with ThreadPoolExecutor(len(work)) as pool:
        futures: list[Future[None]] = [pool.submit(one) for one in work]
        try:
            finished, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in finished:
                future.result()
        except BaseException:
            with process.abandoned():
                wait(futures)
            raise
