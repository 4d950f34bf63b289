"""The program ``python -m testbed.runner FILE``: pack the stand-in runner."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from testbed.runner.package import build, default_version


def main(arguments: list[str]) -> int:
    """Pack the runner and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m testbed.runner", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--version", default=default_version())
    options = parser.parse_args(arguments)
    build(options.file, version=options.version)
    print(options.file)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
