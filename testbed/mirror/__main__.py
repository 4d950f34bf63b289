"""The program ``python -m testbed.mirror``: build the mirror's tree, or serve it."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from testbed.errors import TestbedError
from testbed.mirror.build import build
from testbed.mirror.server import MirrorServer
from testbed.paths import testbed_paths


def main(arguments: Sequence[str]) -> int:
    """Run the command that ``arguments`` name and return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "build":
            build(options.root, options.cache, options.model_mib, lambda line: print(line, flush=True))
        else:
            serve(options.host, options.port, options.root, options.audit)
    except TestbedError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    return 0


def serve(host: str, port: int, root: Path, audit: Path | None) -> None:
    """Serve ``root`` until the process is stopped.

    Raises TestbedError when the address cannot be used.
    """
    try:
        server = MirrorServer(root, host, port, audit)
    except OSError as error:
        raise TestbedError(
            f"The mirror cannot listen on {host}:{port}: {error.strerror}; stop the program that uses "
            "the address, or choose another one with --host and --port."
        ) from error
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with server:
        print(f"serving {root} at {server.url}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("stopped", flush=True)


def _parser() -> argparse.ArgumentParser:
    paths = testbed_paths()
    parser = argparse.ArgumentParser(prog="python -m testbed.mirror", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    builder = commands.add_parser("build", help="bring the tree up to date")
    builder.add_argument("--cache", type=Path, default=paths.cache, help="downloads and finished parts")
    builder.add_argument("--model-mib", type=int, default=64, help="size of the large model, unpacked")
    server = commands.add_parser("serve", help="serve the tree until SIGTERM")
    server.add_argument("--host", default="127.0.0.1")
    server.add_argument("--port", type=int, default=8081, help="port, 0 for a free one")
    server.add_argument("--audit", type=Path, help="file that gets a line of JSON for each request")
    for command in (builder, server):
        command.add_argument("--root", type=Path, default=paths.www, help="the tree (default %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
