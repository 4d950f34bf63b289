"""The 45 faults that a cache for CI runners must survive, and their tests.

The table is faults.yml. ``python -m tests.faults.matrix --write`` writes it to ``docs/faults.md``. A test
checks that both are equal and that every named test exists.
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

# Short names of the test files, for the rows of faults.yml.
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
    """One fault.

    ``tests`` are ``place:function``. ``limit`` names the part that no test injects, with the reason.
    """

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
        "# Faults that the store survives",
        "",
        "<!-- Written by `python -m tests.faults.matrix --write` from tests/faults/faults.yml. -->",
        "",
        "Each row names the tests that inject the fault. `make faults` runs the tests in `tests/faults` and",
        "ends with the numbers of tried and survived faults. The other tests are unit tests.",
        "",
        "`COLDVOX_FAULT_RUNS=500` tries the faults with random timing 500 times instead of 40.",
        "`COLDVOX_FAULT_FILES=100000` unpacks that number of files. Set `PYTEST_TIMEOUT=0` with both,",
        "because such a test takes longer than its limit of five minutes.",
        "",
        f"Only unit tests inject the faults {', '.join(units[:-1])} and {units[-1]},",
        "so `make faults` does not count them. Tests that mount a disk (13, 14, 16, 17, 18) or switch to",
        "another user (12) need root. One test of 44 needs the second environment. Without these, or if a",
        "mount is forbidden, the tests are skipped with the reason.",
        "",
        "| | fault | injected by | not injected |",
        "|---|---|---|---|",
    ]
    for number, fault in FAULTS.items():
        tests = "<br>".join(f"{located(test)[1]}" for test in fault.tests)
        lines.append(f"| {number} | {fault.what} | `{tests.replace('<br>', '`<br>`')}` | {fault.limit} |")
    lines += ["", "## Test files", ""]
    for path in PLACES.values():
        functions = sorted({located(t)[1] for f in FAULTS.values() for t in f.tests if located(t)[0] == path})
        lines.append(f"- [{path}](../{path}): {len(functions)}")
    return "\n".join(lines) + "\n"


def summary(outcomes: Mapping[str, Sequence[str]], counts: Mapping[str, tuple[int, int]]) -> str:
    """Return a line with the numbers of tried and survived faults.

    ``outcomes`` are the results by node id. ``counts`` are the tries and survivals of single tests; a test
    without a count is one try.
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
