"""``runnerctl cache link`` as a process, and the part of the library in its time."""

from __future__ import annotations

import importlib
import subprocess
import time
from pathlib import Path

from tests.bench.common import Options, alternating, collections_root, say, workplace
from tests.bench.data import MIB, make_archive

LINKS = 50
FILES = 24
_BASE = "ansible_collections.coldvox.ci.plugins.module_utils.store"


def measure(options: Options) -> None:
    """Print the times of the command, of an idle Python, and of the library alone."""
    with workplace("link") as place:
        collections_root()
        installed = importlib.import_module("tests._support.installed_agent")
        agent = installed.Agent(place)
        agent.install()
        agent.run("package", "settle")
        stock(agent.store, place)
        words = [agent.command, "cache", "link", "m", "--into", place / "job", "--", "true"]
        medians = alternating(
            {
                "library": lambda: in_library(agent.store, place / "job"),
                "command": lambda: a_process([str(word) for word in words]),
                "python": lambda: a_process([installed.PYTHON, "-I", "-c", "pass"]),
                "true": lambda: a_process(["true"]),
            },
            options.repetitions,
        )
    say(f"take and link to a model of {FILES} files, in the library", medians["library"], "ms", "at most 1")
    say("runnerctl cache link, and its command `true`, as a process", medians["command"], "ms", "at most 60")
    say("physical limit: python -I -c pass, and then true", medians["python"] + medians["true"], "ms")


def stock(store: Path, place: Path) -> None:
    """Install the model ``m`` into ``store``."""
    archive = make_archive(place / "m.zip", 8 * MIB, middle_files=FILES - 1)
    artifact, install, members = (
        importlib.import_module(f"{_BASE}.{n}") for n in ("artifact", "install", "members")
    )
    wanted = {
        "name": "m",
        "kind": "model",
        "url": archive.path.as_uri(),
        "sha256": archive.sha256,
        "strip_components": 1,
    }
    settings = install.Settings(members.Limits(2**40, 250, 10_000))
    install.Store(str(store), settings).install(artifact.parse_all([wanted]))


def in_library(store: Path, directory: Path) -> float:
    """Return the mean milliseconds of the library alone.

    It holds the model, checks it, notes its use, and links to it.
    """
    use, links, layout = (importlib.import_module(f"{_BASE}.{name}") for name in ("use", "links", "layout"))
    directory.mkdir(exist_ok=True)
    begun = time.perf_counter()
    for _ in range(LINKS):
        taken = use.take(layout.Layout(str(store)), "m")
        links.swap(str(directory / "m"), taken.path, durable=False)
        taken.lock.release()
    return (time.perf_counter() - begun) / LINKS * 1000


def a_process(command: list[str]) -> float:
    """Return the mean milliseconds from the start of ``command`` to its end."""
    begun = time.perf_counter()
    for _ in range(LINKS):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - begun) / LINKS * 1000
