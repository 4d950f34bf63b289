"""Leases on disk: one file per lease, one counter per name that outlives it, changed under a kernel lock."""

from __future__ import annotations

import json
import os
import time
from typing import Callable, NamedTuple, Optional

from .. import lease as pure
from ..errors import CiError
from ..flock import Flock
from ..lease import Acquire, Answer, Instant, Lease, Release, State
from .clock import boot_id, boottime
from .durable import read_text, replace_file, storage_error
from .layout import Layout

# A change takes milliseconds, so whoever waits longer for the file waits for a stuck process.
_CHANGE_SECONDS = 60.0
_POLL_SECONDS = 0.2


def now() -> Instant:
    """Return this moment."""
    return Instant(boot_id(), boottime(), time.time())


class Waited(NamedTuple):
    """The answer to a wish, the seconds it took to get it, and the state before it."""

    answer: Answer
    seconds: float
    before: Optional[Lease]


class LeaseFile:
    """The lease ``name`` in the store ``layout``. ``predict`` tells what would happen and changes nothing."""

    def __init__(
        self,
        layout: Layout,
        name: str,
        *,
        predict: bool = False,
        clock: Callable[[], Instant] = now,
    ) -> None:
        if not pure.NAME.fullmatch(name):
            raise CiError(
                f"the lease name '{name}' is refused: use letters, digits and '._+-', beginning with a "
                "letter or digit, at most 128."
            )
        self._layout = layout
        self._name = name
        self._predict = predict
        self._clock = clock

    def acquire(self, wish: Acquire, timeout_seconds: float) -> Waited:
        """Get the lease, waiting up to ``timeout_seconds`` for its holder. Raises CiError that names the
        holder.
        """
        began = time.monotonic()
        while True:
            before, answer = self._change(lambda state: pure.acquire(state, wish, self._clock()))
            waited = time.monotonic() - began
            if answer.outcome == pure.REFUSED:
                raise self._lost(wish.token, answer)
            if answer.outcome != pure.BUSY or self._predict:
                return Waited(answer, waited, before.lease)
            if waited >= timeout_seconds:
                raise CiError(
                    f"the lease {self._name} was not free within {timeout_seconds:g} s: {answer.holder} "
                    f"holds it with token {answer.holder_token} for another {answer.remaining_seconds:.0f} "
                    "s unless it renews; wait for that or release it there.",
                    owner=answer.holder,
                    token=answer.holder_token,
                )
            time.sleep(max(0.01, min(_POLL_SECONDS, answer.remaining_seconds, timeout_seconds - waited)))

    def release(self, wish: Release) -> Waited:
        """Give the lease back. Raises CiError that names the owner when it is somebody else's."""
        before, answer = self._change(lambda state: pure.release(state, wish, self._clock()))
        if answer.outcome == pure.REFUSED:
            raise CiError(
                f"the lease {self._name} is not yours to release: {answer.holder} holds it with token "
                f"{answer.holder_token}; release it there, or let it run out in "
                f"{answer.remaining_seconds:.0f} s.",
                owner=answer.holder,
                token=answer.holder_token,
            )
        return Waited(answer, 0.0, before.lease)

    def _lost(self, token: Optional[int], answer: Answer) -> CiError:
        who = (
            f"{answer.holder} holds it now with token {answer.holder_token}"
            if answer.holder
            else "nobody holds it"
        )
        return CiError(
            f"the lease {self._name} can no longer be renewed with token {token}: {who}; stop the work it "
            "protected and acquire it anew without a token.",
            owner=answer.holder,
            token=answer.holder_token,
        )

    def _change(self, transition: Callable[[State], tuple[State, Answer]]) -> tuple[State, Answer]:
        try:
            if self._predict:
                state = self._read()
                return state, transition(state)[1]
            lock = Flock(
                self._layout.lease_lock(self._name), mode=0o600, purpose=f"changing lease {self._name}"
            )
            lock.acquire(_CHANGE_SECONDS)
            try:
                state = self._read()
                new, answer = transition(state)
                self._write(state, new)
                return state, answer
            finally:
                lock.release()
        except OSError as error:
            raise storage_error(f"changing the lease {self._name}", error) from error

    def _read(self) -> State:
        counter_path, lease_path = self._layout.counter(self._name), self._layout.lease(self._name)
        counter_text, lease_text = read_text(counter_path), read_text(lease_path)
        try:
            counter = int(counter_text) if counter_text is not None else 0
        except ValueError as error:
            raise CiError(
                f"the counter {counter_path} is no number; write one there that is greater than every "
                "token given out for this lease, and run again."
            ) from error
        if lease_text is None:
            return State(counter)
        try:
            data = json.loads(lease_text)
        except ValueError:
            data = {}
        return State(counter, pure.decode(data if isinstance(data, dict) else {}, lease_path))

    def _write(self, old: State, new: State) -> None:
        """Write what changed; the counter first, so that no crash can bring back a token that was given
        out.
        """
        if new.counter != old.counter:
            replace_file(self._layout.counter(self._name), f"{new.counter}\n")
        if new.lease == old.lease:
            return
        path = self._layout.lease(self._name)
        if new.lease is None:
            os.unlink(path)
        else:
            replace_file(path, json.dumps(pure.encode(new.lease), indent=2) + "\n")
