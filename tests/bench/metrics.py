"""The CPU time of a sample, of the sampler as a service, and of a health check.

The baseline is the script that users had, on the same directories: a store, and Rust caches of many small
files. CPU time is measured, not elapsed time. The runners' processes are real. Their control groups are files
of the benchmark in the form of cgroup v2, which not every machine has.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench.common import CHECKOUT, Options, alternating, collections_root, say, seconds, workplace
from tests.bench.hooks import installed, stock

SCRIPT = CHECKOUT / "tests" / "bench" / "metrics_script.sh"
INTERVAL_SECONDS = 5
RUST_FILES = 20_000
RUNNERS = 3
_TICKS = 200
_FAST_SECONDS = 0.02
_LIBRARY = "ansible_collections.coldvox.ci.plugins.module_utils"
_SERVICE = """
import sys
sys.path.insert(0, "{place}/current")
from coldvox_ci.agent.cli.main import main
from coldvox_ci.metrics import instances
instances.ROOT, instances.init_group = "{groups}", lambda _text: "/"
places = ("store", "run", "state", "runners", "config")
sys.exit(main(["metrics", "run"], {{place: "{place}/" + place for place in places}}))
"""
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def furnish(place: Path, collections: Path) -> None:
    """Make the host's directories: a model, Rust caches, instances without a service."""
    stock(place, collections)
    for number in range(RUST_FILES):
        directory = place / "rust" / str(number // 100)
        if number % 100 == 0:
            directory.mkdir(parents=True)
        (directory / str(number)).touch()
    for number in range(RUNNERS):
        (place / "runners" / f"runner-{number}" / "bin").mkdir(parents=True)
    for name in ("state/metrics", "config"):
        (place / name).mkdir(parents=True)
    configure(place, INTERVAL_SECONDS)


@contextmanager
def boot_directory(place: Path) -> Iterator[None]:
    """Mount a file system in memory on ``run``, like /run of a host."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        (Path(memory) / "agent").mkdir()
        (place / "run").symlink_to(memory)
        yield


def configure(place: Path, interval_seconds: float) -> None:
    """Write the settings of the host. The probe goes to a port that refuses at once."""
    config = {"github_url": "http://127.0.0.1:1", "rust_dirs": [f"{place}/rust"]}
    text = json.dumps({**config, "interval_seconds": interval_seconds})
    (place / "config" / "agent.json").write_text(text, encoding="utf-8")


def script_milliseconds(place: Path) -> float:
    """Return the CPU time of one sample of the script, its processes included."""
    count = 3
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    words = [f"{place}/store", f"{place}/rust", str(place), f"{place}/old.csv", str(count)]
    subprocess.run(["bash", str(SCRIPT), *words], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used / count * 1000


@contextmanager
def imitated_groups(place: Path) -> Iterator[Path]:
    """Yield a tree of control groups; each runner has the processes of an idle one."""
    root = place / "cgroup"
    programs = ("run.sh", "run-helper.sh", "bin/Runner.Listener")
    processes = []
    for number in range(RUNNERS):
        name = f"runner-{number}"
        group = root / "coldvox.slice" / "coldvox-ci.slice" / f"coldvox-runner@{name}.service"
        group.mkdir(parents=True)
        for program in programs:
            words = [f"{place}/runners/{name}/{program}", "600"]
            processes.append(subprocess.Popen(words, executable="/bin/sleep"))
        pids = [process.pid for process in processes[-len(programs) :]]
        (group / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in pids), encoding="ascii")
        (group / "cgroup.stat").write_text("nr_descendants 0\n", encoding="ascii")
        (group / "cpu.stat").write_text("usage_usec 1000\n", encoding="ascii")
        (group / "memory.current").write_text("1000\n", encoding="ascii")
    (root / "cgroup.procs").touch()
    try:
        yield root
    finally:
        for process in processes:
            process.kill()
            process.wait()


class Library:
    """The sampler in this process, with its files in the directory of the benchmark."""

    def __init__(self, place: Path, groups: Path) -> None:
        def module(name: str) -> Any:
            return importlib.import_module(f"{_LIBRARY}.{name}")

        sampler, sample, sources, paths, config, process = map(
            module,
            (
                "agent.sampler",
                "metrics.sample",
                "metrics.sources",
                "host.paths",
                "host.config",
                "host.process",
            ),
        )
        instances = module("metrics.instances")
        instances.ROOT, instances.init_group = str(groups), lambda _text: "/"
        where = paths.Paths(*(f"{place}/{name}" for name in ("store", "run", "state", "runners", "config")))
        target = sample.target_of(where, config.read_config(where.config))
        series = sample.Series(target, sources.resident(process.run, lambda _url: False))
        self._sampler = sampler.Sampler(series, where, sampler.Journal(print))
        while self._sampler.tick()["rust_cache_bytes"] is None:
            time.sleep(0.05)

    def milliseconds(self) -> float:
        """Return the CPU time of taking, judging and writing one sample."""
        begun = time.process_time()
        for _ in range(_TICKS):
            self._sampler.tick()
        return (time.process_time() - begun) / _TICKS * 1000


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _CLOCK_TICKS


def resident_mib(pid: int) -> float:
    """Return the memory that a process uses, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


def service(place: Path, groups: Path) -> tuple[float, float]:
    """Run the sampler as its service does, but faster.

    Return the milliseconds of a sample, and the memory in MiB.
    """
    csv = place / "state" / "metrics" / "samples.csv"
    csv.unlink(missing_ok=True)
    configure(place, _FAST_SECONDS)
    words = [sys.executable, "-I", "-c", _SERVICE.format(place=place, groups=groups)]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL)

    def lines(least: int) -> int:
        while not csv.exists() or (count := csv.read_bytes().count(b"\n")) < least:
            time.sleep(0.05)
        return count

    try:
        first = lines(100)  # the walk over the Rust caches is over by then
        used = cpu_seconds(process.pid)
        last = lines(first + 500)
        return (cpu_seconds(process.pid) - used) / (last - first) * 1000, resident_mib(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
        configure(place, INTERVAL_SECONDS)


def measure(options: Options) -> None:
    """Print the three comparisons."""
    collections = collections_root()
    with workplace("metrics") as place, boot_directory(place), imitated_groups(place) as groups:
        words = installed(place)
        furnish(place, collections)
        library = Library(place, groups)
        medians = alternating(
            {"script": lambda: script_milliseconds(place), "library": library.milliseconds},
            options.repetitions,
        )
        say("CPU of one sample: the script", medians["script"], "ms")
        say("CPU of one sample: the library", medians["library"], "ms")
        say("times less CPU", medians["script"] / medians["library"], "x", "at least 100")
        each, memory = service(place, groups)
        say(
            f"the sampler's share of a core at {INTERVAL_SECONDS} s",
            each / INTERVAL_SECONDS / 10,
            "%",
            "0.05",
        )
        say("the sampler's memory", memory, "MiB", "25")
        print_health(place, words, options.repetitions)


def print_health(place: Path, words: list[str], repetitions: int) -> None:
    """Print the time of a health check as a process, with and without a sample."""

    def run(*argv: str) -> float:
        return seconds(lambda: subprocess.run(argv, check=False, capture_output=True))

    def sampled() -> float:
        os.utime(place / "run" / "agent" / "sample.json")
        return run(*words, "health", "--publish")

    def alone() -> float:
        os.utime(place / "run" / "agent" / "sample.json", (0, 0))
        return run(*words, "health", "--publish")

    medians = alternating(
        {"nothing": lambda: run(sys.executable, "-I", "-c", "pass"), "sampled": sampled, "alone": alone},
        4 * repetitions,
    )
    say("an empty Python", medians["nothing"] * 1000, "ms")
    say("a health check as a process", medians["sampled"] * 1000, "ms", "60")
    say("the same without a sampler", medians["alone"] * 1000, "ms")
