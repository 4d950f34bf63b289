"""Read the labels that a workflow's jobs ask for, and match runners with them.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from reprlib import Repr
from typing import Any, NamedTuple

from ..errors import CiError

_EXPRESSION = "${{"
# Aliases can make a small file as large as one likes.
_SHORTENED = Repr()
_SHORTENED.maxlevel, _SHORTENED.maxstring = 3, 200


class Wanted(NamedTuple):
    """Labels and group of a ``runs-on``.

    ``unknown`` are expressions that only a run can evaluate.
    """

    labels: tuple[str, ...]
    group: str
    unknown: tuple[str, ...]


def wanted(runs_on: Any) -> Wanted:
    """Return the labels and the group of ``runs_on``.

    ``runs_on`` is a label, a list of labels, or a dictionary with ``group`` and ``labels``. Case does not
    count (GitHub's "Choosing the runner for a job"): a label comes once, as it was written first. Raises
    CiError for a value that GitHub would reject.
    """
    group: Any = ""
    labels = runs_on
    if isinstance(runs_on, Mapping):
        if not runs_on or not set(runs_on) <= {"group", "labels"}:
            raise CiError(f"'runs-on' is {_short(runs_on)}; as a dictionary it has group and labels.")
        group, labels = runs_on.get("group") or "", runs_on.get("labels") or []
    words = [labels] if isinstance(labels, str) else labels
    if not isinstance(words, (list, tuple)) or not all(isinstance(word, str) for word in [*words, group]):
        raise CiError(f"'runs-on' is {_short(runs_on)}; give a label, a list of labels, or group and labels.")
    if not (words or group) or "" in words:
        raise CiError("'runs-on' names no label and no group, or an empty label; name at least one.")
    known: dict[str, str] = {}
    for word in words:
        if _EXPRESSION not in word:
            known.setdefault(word.lower(), word)
    unknown = [word for word in [*words, group] if _EXPRESSION in word]
    return Wanted(tuple(known.values()), "" if group in unknown else group, tuple(unknown))


def job_labels(workflow: Any) -> list[dict[str, Any]]:
    """Return the labels of each job of a parsed workflow, in the order of the jobs.

    Each entry has ``job``, ``labels``, ``group``, ``unknown`` (expressions) and ``uses`` (the reusable
    workflow that decides instead, else empty). Raises CiError for a text that is no workflow; it names the
    job.
    """
    jobs = workflow.get("jobs") if isinstance(workflow, Mapping) else None
    if not isinstance(jobs, Mapping):
        raise CiError("The text is no workflow, because it has no 'jobs'; give the text of one file.")
    return [_of_job(str(name), job) for name, job in jobs.items()]


def _of_job(name: str, job: Any) -> dict[str, Any]:
    if not isinstance(job, Mapping) or not ("runs-on" in job or "uses" in job):
        raise CiError(f"The job '{name}' has neither 'runs-on' nor 'uses'; give it one of them.")
    if "uses" in job:
        return {"job": name, "labels": [], "group": "", "unknown": [], "uses": str(job["uses"])}
    try:
        asked = wanted(job["runs-on"])
    except CiError as error:
        raise CiError(f"In the job '{name}': {error}") from error
    return {
        "job": name,
        "labels": list(asked.labels),
        "group": asked.group,
        "unknown": list(asked.unknown),
        "uses": "",
    }


def matching_runners(runs_on: Any, runners: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the ``runners`` that GitHub could give a job with ``runs_on``.

    A runner has ``labels``, as texts or as dictionaries with a ``name`` (the form of GitHub's API), and
    may have a ``group``. Raises CiError for a ``runs_on`` with expressions, because its labels are not known
    yet.
    """
    asked = wanted(runs_on)
    if asked.unknown:
        raise CiError(
            f"'runs-on' has the expression {_short(asked.unknown[0])}, which only a run can evaluate; give "
            "the labels that it can become."
        )
    needed = {label.lower() for label in asked.labels}
    return [
        runner
        for runner in runners
        if needed <= runner_labels(runner)
        and (not asked.group or str(runner.get("group") or "").lower() == asked.group.lower())
    ]


def runner_labels(runner: Any) -> set[str]:
    """Return the labels of ``runner`` in lower case.

    Raises CiError when it is not a runner.
    """
    labels = runner.get("labels") if isinstance(runner, Mapping) else None
    if not isinstance(labels, Sequence) or isinstance(labels, str):
        raise CiError(f"A runner is {_short(runner)}; give dictionaries with a list of labels.")
    names = [label.get("name") if isinstance(label, Mapping) else label for label in labels]
    if not all(isinstance(name, str) for name in names):
        raise CiError(f"A runner has the labels {_short(labels)}; give texts, or what GitHub's API answers.")
    return {str(name).lower() for name in names}


def _short(value: Any) -> str:
    text = _SHORTENED.repr(value)
    return text if len(text) <= 80 else text[:79] + "…"
