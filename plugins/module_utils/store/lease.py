"""Leases: locks that outlive the process that took them.

A lease has an end, and a number that only grows. A lease is for work that spans tasks. Its fencing token lets
the protected resource refuse a holder whose time is over (M. Kleppmann, "How to do distributed locking",
2016): every new holder's token is greater than all before.

Time is the boot-time clock, so that setting the wall clock neither ends a lease nor prolongs it. After a
reboot that clock starts at 0, and a lease of an earlier boot ends once the machine has been up for longer
than its term: then its term is over, independent of how long the machine was down.

On disk there is one file per lease and one counter per name that outlives it, both changed under a kernel
lock.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from typing import Any, Callable, NamedTuple, Optional

from ..errors import CiError
from ..host.clock import boot_id, boottime
from ..host.durable import read_text, replace_file, storage_error
from ..host.flock import Flock
from .layout import Layout

SCHEMA = 1
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")

ACQUIRED, RENEWED, BUSY, RELEASED, FREE, REFUSED = (
    "acquired",
    "renewed",
    "busy",
    "released",
    "free",
    "refused",
)


class Instant(NamedTuple):
    """A moment on all clocks.

    It is the boot, the seconds since that boot, and the seconds since the epoch, for people.
    """

    boot_id: str
    boottime: float
    wall: float


class Lease(NamedTuple):
    """The holder and the end, in seconds of the boot-time clock of ``boot_id``."""

    owner: str
    token: int
    ttl_seconds: float
    boot_id: str
    expires: float


class State(NamedTuple):
    """A lease, if there is one, and the greatest token ever issued for its name."""

    counter: int = 0
    lease: Optional[Lease] = None


class Acquire(NamedTuple):
    """A request to hold the lease for ``ttl_seconds``.

    With ``token`` it renews the lease of that token.
    """

    owner: str
    ttl_seconds: float
    token: Optional[int] = None


class Release(NamedTuple):
    """A request to release the lease, as its owner or by its token."""

    owner: str
    token: Optional[int] = None


class Answer(NamedTuple):
    """The answer to a request.

    ``holder`` holds (or held) the lease, where that is not the caller. ``remaining_seconds`` is the time
    until the lease ends; ``stolen``: it was taken over from an owner whose time had run out.
    """

    outcome: str
    token: Optional[int] = None
    owner: str = ""
    holder: str = ""
    holder_token: Optional[int] = None
    remaining_seconds: float = 0.0
    stolen: bool = False


def remaining_seconds(lease: Lease, now: Instant) -> float:
    """Return the seconds until ``lease`` ends, 0 when it is over."""
    if lease.boot_id == now.boot_id:
        return max(0.0, min(lease.expires - now.boottime, lease.ttl_seconds))
    return max(0.0, lease.ttl_seconds - now.boottime)


def acquire(state: State, wish: Acquire, now: Instant) -> tuple[State, Answer]:
    """Return the state after ``wish``, and the answer.

    The answer is acquired, renewed, busy, or refused (its token is no longer valid).
    """
    lease = state.lease
    left = remaining_seconds(lease, now) if lease else 0.0
    if wish.token is not None and (lease is None or lease.token != wish.token):
        return state, _refusal(state, now)
    if lease and (wish.token is not None or (lease.owner == wish.owner and left > 0)):
        return _granted(state, wish._replace(owner=lease.owner), lease.token, now, RENEWED)
    if lease and left > 0:
        return state, Answer(BUSY, holder=lease.owner, holder_token=lease.token, remaining_seconds=left)
    new, answer = _granted(state, wish, _greatest(state) + 1, now, ACQUIRED)
    if lease:
        answer = answer._replace(holder=lease.owner, holder_token=lease.token, stolen=True)
    return new, answer


def release(state: State, wish: Release, now: Instant) -> tuple[State, Answer]:
    """Return the state after ``wish``, and the answer.

    The answer is released, free (there was no lease), or refused (another owner holds it).
    """
    lease = state.lease
    if lease is None:
        return state, Answer(FREE)
    mine = lease.token == wish.token if wish.token is not None else lease.owner == wish.owner
    if not mine:
        return state, _refusal(state, now)
    return State(_greatest(state)), Answer(RELEASED, lease.token, lease.owner)


def _greatest(state: State) -> int:
    """Return the greatest token known.

    The counter may be lost, and only the lease be left.
    """
    return max(state.counter, state.lease.token if state.lease else 0)


def _refusal(state: State, now: Instant) -> Answer:
    lease = state.lease
    if lease is None:
        return Answer(REFUSED)
    left = remaining_seconds(lease, now)
    return Answer(REFUSED, holder=lease.owner, holder_token=lease.token, remaining_seconds=left)


def _granted(state: State, wish: Acquire, token: int, now: Instant, outcome: str) -> tuple[State, Answer]:
    lease = Lease(wish.owner, token, wish.ttl_seconds, now.boot_id, now.boottime + wish.ttl_seconds)
    new = State(max(_greatest(state), token), lease)
    return new, Answer(outcome, token, wish.owner, remaining_seconds=wish.ttl_seconds)


def encode(lease: Lease) -> dict[str, Any]:
    """Return ``lease`` as plain data for its file."""
    return {"schema": SCHEMA, **lease._asdict()}


def decode(data: Mapping[str, Any], where: str) -> Lease:
    """Return the lease in ``data``.

    Raises CiError for a damaged one, which may still be held.
    """
    try:
        if data["schema"] != SCHEMA:
            raise ValueError("another schema")
        return Lease(
            owner=str(data["owner"]),
            token=int(data["token"]),
            ttl_seconds=float(data["ttl_seconds"]),
            boot_id=str(data["boot_id"]),
            expires=float(data["expires"]),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise CiError(
            f"The lease file {where} cannot be understood; when no work is done under this lease, remove the "
            "file (its token still grows) and run again."
        ) from error


# A change takes milliseconds, so a longer wait is for a stuck process.
_CHANGE_SECONDS = 60.0
_POLL_SECONDS = 0.2


def now() -> Instant:
    """Return this moment."""
    return Instant(boot_id(), boottime(), time.time())


class Waited(NamedTuple):
    """The answer to a request, the seconds waited for it, and the lease before it."""

    answer: Answer
    seconds: float
    before: Optional[Lease]


class LeaseFile:
    """The lease ``name`` in the store ``layout``.

    ``predict`` returns the answer and changes nothing.
    """

    def __init__(
        self,
        layout: Layout,
        name: str,
        *,
        predict: bool = False,
        clock: Callable[[], Instant] = now,
    ) -> None:
        if not NAME.fullmatch(name):
            raise CiError(
                f"The lease name '{name}' is refused: use letters, digits and '._+-', beginning with a "
                "letter or digit, at most 128."
            )
        self._layout = layout
        self._name = name
        self._predict = predict
        self._clock = clock

    def acquire(self, wish: Acquire, timeout_seconds: float) -> Waited:
        """Get the lease; wait up to ``timeout_seconds`` for its holder.

        Raises CiError that names the holder.
        """
        began = time.monotonic()
        while True:
            before, answer = self._change(lambda state: acquire(state, wish, self._clock()))
            waited = time.monotonic() - began
            if answer.outcome == REFUSED:
                raise self._lost(wish.token, answer)
            if answer.outcome != BUSY or self._predict:
                return Waited(answer, waited, before.lease)
            if waited >= timeout_seconds:
                raise CiError(
                    f"The lease {self._name} was not free within {timeout_seconds:g} s: {answer.holder} "
                    f"holds it with token {answer.holder_token} for another {answer.remaining_seconds:.0f} "
                    "s unless it renews; wait for that or release it there.",
                    owner=answer.holder,
                    token=answer.holder_token,
                )
            time.sleep(max(0.01, min(_POLL_SECONDS, answer.remaining_seconds, timeout_seconds - waited)))

    def release(self, wish: Release) -> Waited:
        """Release the lease; raises CiError that names another owner."""
        before, answer = self._change(lambda state: release(state, wish, self._clock()))
        if answer.outcome == REFUSED:
            raise CiError(
                f"The lease {self._name} is not yours to release: {answer.holder} holds it with token "
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
            else "it is free"
        )
        return CiError(
            f"The lease {self._name} can no longer be renewed with token {token}: {who}; stop the work it "
            "protected and acquire it again without a token.",
            owner=answer.holder,
            token=answer.holder_token,
        )

    def _change(self, transition: Callable[[State], tuple[State, Answer]]) -> tuple[State, Answer]:
        try:
            if self._predict:
                state = self._read()
                return state, transition(state)[1]
            lock = Flock(self._layout.lease_lock(self._name), mode=0o600)
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
                f"The counter {counter_path} is no number; write a number there that is greater than every "
                "token issued for this lease, and run again."
            ) from error
        if lease_text is None:
            return State(counter)
        try:
            data = json.loads(lease_text)
        except ValueError:
            data = {}
        return State(counter, decode(data if isinstance(data, dict) else {}, lease_path))

    def _write(self, old: State, new: State) -> None:
        """Write what changed; the counter first, so that no crash can issue a token twice."""
        if new.counter != old.counter:
            replace_file(self._layout.counter(self._name), f"{new.counter}\n")
        if new.lease == old.lease:
            return
        path = self._layout.lease(self._name)
        if new.lease is None:
            os.unlink(path)
        else:
            replace_file(path, json.dumps(encode(new.lease), indent=2) + "\n")
