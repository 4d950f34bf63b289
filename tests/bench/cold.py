"""A large artifact that is not in the store yet, against the usual commands.

It comes from loopback; the commands are curl, sha256sum and unzip, one after the other.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

from tests.bench.common import CHECKOUT, Options, alternating, collections_root, say, seconds, workplace
from tests.bench.data import MIB, Archive, make_archive, served

INFLATE = "ansible_collections.coldvox.ci.plugins.module_utils.store.inflate"
WORKER = CHECKOUT / "tests" / "_support" / "store_worker.py"


def by_hand(archive: Archive, url: str, place: Path) -> float:
    """Return the seconds of the usual three commands, which sync nothing to the disk."""
    place.mkdir()
    target = place / "archive.zip"

    def work() -> None:
        subprocess.run(["curl", "--fail", "--silent", "--output", target, url], check=True)
        checksum = f"{archive.sha256}  {target}\n"
        subprocess.run(["sha256sum", "--quiet", "--check", "-"], input=checksum, text=True, check=True)
        subprocess.run(["unzip", "-q", target, "-d", place], check=True)

    took = seconds(work)
    shutil.rmtree(place)
    return took


def by_store(archive: Archive, url: str, place: Path, collections: Path, peaks: list[float]) -> float:
    """Return the seconds of a process that installs the artifact.

    Its start and every fsync are included.

    Its greatest memory in MiB goes to ``peaks``; it has no children, so that is the process tree's.
    """
    wanted = {"name": "m", "kind": "model", "url": url, "sha256": archive.sha256, "strip_components": 1}
    request = {"paths": [str(collections)], "root": str(place), "artifacts": [wanted], "settings": {}}

    def work() -> None:
        command = [sys.executable, str(WORKER), json.dumps(request)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        answer = json.loads(done.stdout.splitlines()[-1])
        if answer.get("outcomes") != ["fetched"]:
            sys.exit(f"bench: the store failed: {done.stdout}")
        peaks.append(answer["peak_bytes"] / MIB)

    took = seconds(work)
    shutil.rmtree(place)
    return took


def interpreter_mib() -> float:
    """Return the memory of a Python that does nothing."""
    asked = "print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])"
    done = subprocess.run([sys.executable, "-c", asked], stdout=subprocess.PIPE, text=True, check=True)
    return int(done.stdout) / 1024


def limits(archive: Archive, place: Path, inflate: Any) -> tuple[float, float, float]:
    """Return the seconds of writing the tree, of hashing and of inflating.

    Each is measured alone, in a single thread.
    """
    piece = os.urandom(4 * MIB)

    def write() -> None:
        with (place / "written").open("wb", buffering=0) as stream:
            for _ in range(archive.unpacked_bytes // len(piece)):
                stream.write(piece)
            os.fsync(stream.fileno())

    written = seconds(write)
    (place / "written").unlink()
    rate = 512 * MIB / seconds(lambda: [hashlib.sha256(piece) for _ in range(512 * MIB // len(piece))])
    inflated, spent = 0, 0.0
    with zipfile.ZipFile(archive.path) as source, archive.path.open("rb") as raw:
        for info in source.infolist()[:8]:
            raw.seek(info.header_offset + 26)
            name, extra = (int.from_bytes(raw.read(2), "little") for _ in range(2))
            raw.seek(info.header_offset + 30 + name + extra)
            packed = raw.read(min(info.compress_size, 16 * MIB))
            begun = time.perf_counter()
            inflated += len(inflate.decompressobj(-15).decompress(packed))
            spent += time.perf_counter() - begun
    return written, (archive.bytes + archive.unpacked_bytes) / rate, archive.unpacked_bytes / inflated * spent


def measure(options: Options) -> None:
    """Print the ratio, the memory, and the distance to the limits of the machine."""
    with workplace("cold") as place:
        archive = make_archive(place / "archive.zip", options.archive_bytes)
        print(
            f"  {archive.bytes / 1e9:.2f} GB unpack to {archive.unpacked_bytes / 1e9:.2f} GB in "
            f"{archive.files} files, half of the download in one that does not compress"
        )
        collections = collections_root()
        inflate = importlib.import_module(INFLATE).INFLATE
        peaks: list[float] = []
        with served(place) as server:
            url = f"{server}/{archive.path.name}"
            medians = alternating(
                {
                    "hand": lambda: by_hand(archive, url, place / "hand"),
                    "store": lambda: by_store(archive, url, place / "store", collections, peaks),
                },
                options.repetitions,
            )
        written, hashed, inflated = limits(archive, place, inflate)
    say("curl, sha256sum --check, unzip, in turn and without fsync", medians["hand"], "s")
    say(f"the artifact store (inflate: {inflate.__name__}), with every fsync", medians["store"], "s")
    say("times faster", medians["hand"] / medians["store"], "x", "at least 3")
    say(
        "memory of the process tree over the interpreter", max(peaks) - interpreter_mib(), "MiB", "at most 96"
    )
    cores = os.cpu_count() or 1
    bound = max(written, (hashed + inflated) / cores)
    say("physical limit: writing the tree and fsync", written, "s")
    say("physical limit: sha256 of the download and of the files, one core", hashed, "s")
    say("physical limit: inflating, one core", inflated, "s")
    say(
        f"the slower of the disk and {cores} cores, as part of the store's time",
        100 * bound / medians["store"],
        "%",
    )
