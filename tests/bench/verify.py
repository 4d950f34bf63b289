"""The check of an installed tree by lstat, and by reading every byte."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time

from tests.bench.common import Options, alternating, collections_root, say, seconds, workplace
from tests.bench.data import make_archive

LOOKS = 50
FILES = 24


def measure(options: Options) -> None:
    """Print both tiers.

    The files are in memory, so that the processor is compared and not the disk.
    """
    with workplace("verify") as place:
        collections_root()
        archive = make_archive(place / "m.zip", options.archive_bytes // 2, middle_files=FILES - 1)
        library = "ansible_collections.coldvox.ci.plugins.module_utils"
        module = {
            name: importlib.import_module(f"{library}.store.{name}")
            for name in ("artifact", "install", "layout", "members", "index")
        }
        wanted = {"name": "m", "url": archive.path.as_uri(), "sha256": archive.sha256, "strip_components": 1}
        settings = module["install"].Settings(module["members"].Limits(2**40, 250, 10_000))
        store = str(place / "store")
        module["install"].Store(store, settings).install(module["artifact"].parse_all([wanted]))
        records = module["index"].Index(module["layout"].Layout(store))

        def quick() -> float:
            begun = time.perf_counter()
            for _ in range(LOOKS):
                if records.condition(archive.sha256, full=False).receipt is None:
                    sys.exit("bench: the published tree is not as its receipt says.")
            return (time.perf_counter() - begun) / LOOKS * 1000

        def full() -> float:
            return seconds(lambda: records.condition(archive.sha256, full=True))

        def sha256sum() -> float:
            command = ["sha256sum", "--quiet", "--check", "checksums.txt"]
            return seconds(lambda: subprocess.run(command, cwd=store, check=True))

        medians = alternating({"quick": quick, "full": full, "sha256sum": sha256sum}, options.repetitions)
    size = archive.unpacked_bytes / 1e9
    say(f"quick verification of {archive.files} files", medians["quick"], "ms", "at most 1")
    say(f"full verification of {size:.2f} GB on {os.cpu_count()} cores", size / medians["full"], "GB/s")
    say("sha256sum --check of the same files", size / medians["sha256sum"], "GB/s")
    say("times faster", medians["sha256sum"] / medians["full"], "x")
