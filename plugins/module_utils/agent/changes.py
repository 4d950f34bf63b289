"""Who changed what: the records of the kernel's audit, as changes.

The rules of the role ``hardening`` have keys that begin with KEY. The format of the records is described in
audit-documentation (github.com/linux-audit/audit-documentation/wiki/SPEC-Writing-Good-Events): a value that
is not in quotes may be hexadecimal, and what follows the character GS are names that auditd added.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Callable, NamedTuple, Optional

from ..errors import CiError
from ..host.process import Run
from .report.words import clean

KEY = "coldvox_"
#: The loginuid of a process without a login (audit: ``unset``).
NO_LOGIN = "4294967295"
_RECORD = re.compile(r"type=(\S+) msg=audit\((\d+\.\d+):(\d+)\): ?(.*)")
_FIELD = re.compile(r'(\w+)=("[^"]*"|\S*)')
_HEX = re.compile(r"(?:[0-9A-F]{2})+")
# Their values are texts; the hexadecimal numbers of other fields are none.
_TEXTS = frozenset(["comm", "exe", "key", "cwd", "name", "proctitle"])
_LONGEST_COMMAND = 300
_ANSWER_SECONDS = 120.0


class Change(NamedTuple):
    """A change, with the account that logged in and the one it acted as.

    ``at`` is in Unix seconds. ``login`` is empty for services and timers. ``topic`` is the key of the rule
    without KEY.
    """

    at: float
    login: str
    account: str
    topic: str
    files: tuple[str, ...]
    program: str
    command: str


class _Event(NamedTuple):
    """The records of one event, by type; a type can occur several times."""

    at: float
    records: Mapping[str, Sequence[Mapping[str, str]]]

    def first(self, kind: str) -> Mapping[str, str]:
        return self.records.get(kind, [{}])[0]


def read(run: Run, since: float, name_of: Callable[[int], str]) -> list[Change]:
    """Return the recorded changes since the Unix time ``since``, oldest first.

    ``name_of`` gives the name of a user id. Raises CiError if there is no record that can be read.
    """
    # Without --input-logs, ausearch reads its standard input if that is no terminal.
    done = run(["ausearch", "--input-logs", "--raw", "-k", KEY], timeout_seconds=_ANSWER_SECONDS)
    reason = " ".join(done.stderr.split())
    # Its status is 1 both for an error and for no match.
    if done.status == 127:
        reason = "there is no auditd, whose program ausearch reads them"
    if done.status not in (0, 1) or (done.status == 1 and reason and "<no matches>" not in reason):
        raise CiError(
            f"The audit records cannot be read ({reason[:200]}); call this as root, on a host with auditd "
            "and hardening_audit: true."
        )
    # Not splitlines(), for which GS ends a line.
    return [change for change in changes(done.stdout.split("\n"), name_of) if change.at >= since]


def changes(lines: Iterable[str], name_of: Callable[[int], str]) -> list[Change]:
    """Return the changes in the raw records ``lines``, oldest first.

    Events of one command for the same topic that follow one another are one change.
    """
    result: list[Change] = []
    for event in _events(lines):
        change = _change(event, name_of)
        if change is None:
            continue
        last = result[-1] if result else None
        if last and last._replace(at=0.0, files=()) == change._replace(at=0.0, files=()):
            files = dict.fromkeys((*last.files, *change.files))
            result[-1] = last._replace(files=tuple(files))
        else:
            result.append(change)
    return result


def _events(lines: Iterable[str]) -> Iterator[_Event]:
    """Yield the events; their records have the same time and number."""
    events: dict[tuple[str, str], dict[str, list[Mapping[str, str]]]] = {}
    for line in lines:
        match = _RECORD.match(line[line.find("type=") :])
        if match:
            kind, at, number, rest = match.groups()
            events.setdefault((at, number), {}).setdefault(kind, []).append(_fields(rest))
    for at, number in sorted(events, key=lambda event: (float(event[0]), int(event[1]))):
        yield _Event(float(at), events[at, number])


def _fields(text: str) -> dict[str, str]:
    """Return the fields of a record; a name that auditd added is in capital letters."""
    return {name: _value(name, value) for name, value in _FIELD.findall(text.replace("\x1d", " "))}


def _value(name: str, value: str) -> str:
    if value[:1] == '"':
        return value.strip('"')
    if name in _TEXTS and _HEX.fullmatch(value):
        return bytes.fromhex(value).decode(errors="replace")
    return "" if value in ("(null)", "?") else value


def _change(event: _Event, name_of: Callable[[int], str]) -> Optional[Change]:
    configured = event.first("CONFIG_CHANGE")
    source = {**event.first("SYSCALL"), **configured}
    # Rules with several keys separate them by the character SOH.
    topics = [key[len(KEY) :] for key in source.get("key", "").split("\x01") if key.startswith(KEY)]
    if not topics:
        return None
    files = _files(event)
    if "key" in configured:
        # A load of the rules changes those of all topics.
        topics, files = ["audit"], (f"rules: {configured.get('op', 'changed').replace('_', ' ')}",)
    command = event.first("PROCTITLE").get("proctitle", "").replace("\0", " ")
    return Change(
        event.at,
        _account(source, "auid", name_of),
        _account(source, "uid", name_of),
        clean(topics[0]),
        tuple(clean(path) for path in files),
        clean(source.get("exe", "")),
        clean(command)[:_LONGEST_COMMAND],
    )


def _account(record: Mapping[str, str], field: str, name_of: Callable[[int], str]) -> str:
    """Return the name as auditd knew it at that time, or as this host has it now."""
    number = record.get(field, NO_LOGIN)
    if number == NO_LOGIN or not number.isdecimal():
        return ""
    name = record.get(field.upper(), "")
    return clean(name) if name and name != "unset" else name_of(int(number))


def _files(event: _Event) -> tuple[str, ...]:
    """Return the changed paths; the directory of a path is a record of its own."""
    cwd = event.first("CWD").get("cwd", "")
    paths = [record for record in event.records.get("PATH", ()) if record.get("nametype") != "PARENT"]
    names = [record["name"] for record in paths if record.get("name")]
    return tuple(dict.fromkeys(os.path.normpath(os.path.join(cwd, name)) for name in names))


def unrecorded(run: Run) -> str:
    """Return why changes are not recorded now, as a sentence; empty if they are."""
    done = run(["auditctl", "-l"], timeout_seconds=_ANSWER_SECONDS)
    if done.status == 127:
        return "This host has no auditd; install the package set security and set hardening_audit: true."
    if done.status != 0:
        reason = " ".join((done.stderr or done.stdout).split())[:200]
        return (
            f"The kernel's audit does not answer ({reason}); call this as root, on a host that is no "
            "container."
        )
    rules = [line.split() for line in done.stdout.splitlines()]
    if not any(word.partition("=")[2].startswith(KEY) for words in rules for word in words):
        return "No rule of this collection is loaded; set hardening_audit: true and converge."
    if any({"never,task", "task,never"}.intersection(words) for words in rules):
        return (
            "A rule 'task,never' turns the audit of files off, as Fedora does by default; remove it from "
            "/etc/audit/rules.d and reboot."
        )
    return ""


def shown(change: Change) -> dict[str, Any]:
    """Return a change as data for JSON, with its time in ISO 8601."""
    from ..host.clock import timestamp

    return {**change._asdict(), "at": timestamp(change.at), "files": list(change.files)}
