"""Running several slow functions at once, with an orderly end on failure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

from testbed import process


def side_by_side(work: Sequence[Callable[[], None]]) -> None:
    """Run all functions at once and wait for them.

    When one fails or the user interrupts, the programs of all are ended and the exception is raised.
    """
    with ThreadPoolExecutor(len(work)) as pool:
        futures: list[Future[None]] = [pool.submit(part) for part in work]
        try:
            finished, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in finished:
                future.result()
        except BaseException:
            with process.abandoned():
                wait(futures)
            raise
