"""Which test injects which of the 45 faults that a cache for CI runners has to survive.

The table is faults.yml, and ``docs/faults.md`` shows it: ``python -m tests.faults.matrix --write`` writes it
again. A test holds both in step, and every named test to its existence.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
DOCUMENT = CHECKOUT / "docs" / "faults.md"

# Where the tests are, so that a row can name them shortly.
PLACES = {
    "process": "tests/faults/test_process_faults.py",
    "store": "tests/faults/test_store_faults.py",
    "disk": "tests/faults/test_disk_faults.py",
    "network": "tests/faults/test_network_faults.py",
    "archive": "tests/faults/test_archive_faults.py",
    "ansible": "tests/faults/test_ansible_faults.py",
    "flock": "tests/unit/plugins/module_utils/host/test_flock.py",
    "lease": "tests/unit/plugins/module_utils/store/test_store_lease.py",
    "install": "tests/unit/plugins/module_utils/store/test_store_install.py",
    "download": "tests/unit/plugins/module_utils/store/test_store_download.py",
    "unpack": "tests/unit/plugins/module_utils/store/test_store_archive.py",
    "layout": "tests/unit/plugins/module_utils/store/test_store_layout.py",
    "links": "tests/unit/plugins/module_utils/store/test_store_links.py",
    "receipt": "tests/unit/plugins/module_utils/store/test_store_receipt.py",
    "artifact": "tests/unit/plugins/modules/test_artifact.py",
    "cache_lock": "tests/unit/plugins/modules/test_cache_lock.py",
}


class Fault(NamedTuple):
    """One fault: ``tests`` are ``place:function``; ``limit`` says what cannot be injected here, and why."""

    what: str
    tests: tuple[str, ...]
    limit: str = ""


def _read() -> dict[int, Fault]:
    rows = yaml.safe_load(Path(__file__).with_name("faults.yml").read_text(encoding="utf-8"))
    return {row["number"]: Fault(row["what"], tuple(row["tests"]), row.get("limit", "")) for row in rows}


FAULTS = _read()


def located(test: str) -> tuple[str, str]:
    """Return the file and the function of ``place:function``."""
    place, _colon, function = test.partition(":")
    return PLACES[place], function


def _is_here(test: str) -> bool:
    return located(test)[0].startswith("tests/faults/")


def document() -> str:
    """Return the text of docs/faults.md."""
    units = [str(number) for number, fault in FAULTS.items() if not any(map(_is_here, fault.tests))]
    lines = [
        "# What the store survives",
        "",
        "<!-- Written by `python -m tests.faults.matrix --write` from tests/faults/faults.yml. -->",
        "",
        "Each of these is injected by the tests named next to it. `make faults` runs those of `tests/faults`",
        "and ends with how many were tried and survived; the others are unit tests. `COLDVOX_FAULT_RUNS=500`",
        "lets the faults with random timing be tried 500 times instead of 40, and",
        "`COLDVOX_FAULT_FILES=100000` unpacks as many files. `PYTEST_TIMEOUT=0` belongs to both:",
        "so many tries of one test outlast its limit of five minutes.",
        "",
        f"Only unit tests inject {', '.join(units[:-1])} and {units[-1]},",
        "so `make faults` does not count them. Tests that mount a disk (13, 14, 16, 17, 18) or become",
        "another user (12) need root, one of 44 needs the second environment; where that is missing, or a",
        "mount is forbidden, they are skipped and say why.",
        "",
        "| | fault | injected by | what cannot be injected here |",
        "|---|---|---|---|",
    ]
    for number, fault in FAULTS.items():
        tests = "<br>".join(f"{located(test)[1]}" for test in fault.tests)
        lines.append(f"| {number} | {fault.what} | `{tests.replace('<br>', '`<br>`')}` | {fault.limit} |")
    lines += ["", "## Where the tests are", ""]
    for path in PLACES.values():
        functions = sorted({located(t)[1] for f in FAULTS.values() for t in f.tests if located(t)[0] == path})
        lines.append(f"- [{path}](../{path}): {len(functions)} of them")
    return "\n".join(lines) + "\n"


def summary(outcomes: Mapping[str, Sequence[str]], counts: Mapping[str, tuple[int, int]]) -> str:
    """Return how many faults were tried and survived, of tests by node id.

    ``counts`` are the tries of single tests; a test that does not count its tries is one.
    """
    tried = survived = 0
    seen: set[str] = set()
    for node, results in outcomes.items():
        if "skipped" in results:
            continue
        name = node.rpartition("::")[2]
        seen.add(re.sub(r"\[.*", "", name))
        many = counts.get(name, (1, int("failed" not in results)))
        tried, survived = tried + many[0], survived + many[1]
    injected = sum(any(located(test)[1] in seen for test in fault.tests) for fault in FAULTS.values())
    return f"{injected} of {len(FAULTS)} kinds of fault in this run: {tried} tried, {survived} survived"


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    DOCUMENT.write_text(document(), encoding="utf-8")
