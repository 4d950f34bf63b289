"""The program ``python -m testbed.github``.

``prepare`` fetches GitHub's description of its API, ``serve`` runs the emulator.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from testbed.errors import TestbedError
from testbed.github import description
from testbed.github.api import PREFIX, operations
from testbed.github.emulator import Emulator
from testbed.github.rest.call import no_downloads
from testbed.github.runner_downloads import mirrored
from testbed.github.server import Server
from testbed.github.validation import Description
from testbed.paths import testbed_paths


def main(arguments: list[str]) -> int:
    """Run one command and return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "prepare":
            print(description.prepare(options.cache, operations()))
        else:
            _serve(options)
    except TestbedError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    return 0


def _serve(options: argparse.Namespace) -> None:
    if not options.spec.is_file():
        raise TestbedError(
            f"GitHub's API description is missing at {options.spec}; "
            "make it with `python -m testbed.github prepare`."
        )
    checked = Description.load(options.spec, PREFIX)
    offer = mirrored(options.mirror_url, options.mirror_manifest) if options.mirror_url else no_downloads
    try:
        server = Server((options.host, options.port), Emulator(checked, downloads=offer))
    except OSError as error:
        raise TestbedError(
            f"The GitHub emulator cannot listen on {options.host}:{options.port} ({error.strerror}); "
            "stop the program that uses the address, or choose another one with --host and --port."
        ) from None
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print(f"GitHub emulator: {server.url}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


def _parser() -> argparse.ArgumentParser:
    cache = testbed_paths().cache
    parser = argparse.ArgumentParser(prog="python -m testbed.github", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    prepare = commands.add_parser("prepare", help="fetch and cut GitHub's API description")
    prepare.add_argument("--cache", type=Path, default=cache)
    serve = commands.add_parser("serve", help="run the emulator until SIGTERM")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, default=8080)
    serve.add_argument("--spec", type=Path, default=cache / "github" / "openapi.json")
    serve.add_argument("--mirror-url", default="", help="the artifact mirror that has the runner package")
    serve.add_argument("--mirror-manifest", type=Path, default=cache / "www" / "manifest.json")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
