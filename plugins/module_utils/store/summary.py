"""What one call did, in one line for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..sizes import size
from .plan import ABSENT, FETCHED, HIT, LINKED, REMOVED, REPAIRED

if TYPE_CHECKING:
    from .engine import Result

_ORDER = (FETCHED, REPAIRED, LINKED, HIT, REMOVED, ABSENT)


def summary(results: Sequence[Result], seconds: float, predicted: bool) -> str:
    """Return how many artifacts had which outcome; what was transferred in ``seconds`` stands with the first.

    ``predicted`` results did not happen yet.
    """
    counts = Counter(result.outcome for result in results)
    parts = [f"{counts[outcome]} {outcome}" for outcome in _ORDER if counts[outcome]]
    received = sum(result.bytes_downloaded for result in results)
    if received:
        speed = f", {size(received / seconds)}/s" if seconds > 0 else ""
        parts[0] += f" ({size(received)} in {seconds:.3g} s{speed})"
    told = ", ".join(parts) or "nothing asked for"
    return f"would be: {told}" if predicted else told
