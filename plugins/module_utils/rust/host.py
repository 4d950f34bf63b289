"""Rust on this host: read rustup's own files.

Change them by rustup and cargo only.
"""

from __future__ import annotations

import contextlib
import filecmp
import os
import platform
import pwd
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Optional

from ..host.durable import make_directory
from ..host.flock import Flock
from ..host.process import Result, Run
from .plan import (
    Installed,
    RustError,
    State,
    Step,
    moves,
    parse_components,
    parse_settings,
    parse_updates,
    parse_version,
    triple_of,
)
from .whole import (
    damage,
    difference,
    forget_damaged_records,
    is_noted,
    note_checksums,
    proxies_whole,
    settings_damaged,
    tools,
)

# Proxies are the host's setting. Nothing else of the environment is inherited.
_NETWORK = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SHORT = 500
_NOT_FOUND = 127
_TIMED_OUT = 124
#: The directory of the checksums, next to rustup's home.
NOTES = "rust-checksums"
_BITS = 64 if sys.maxsize > 2**32 else 32  # of the Python of this host
_UPDATE_AVAILABLE = 100  # exit status of `rustup check`


@dataclass(frozen=True)
class RustHost:
    """One shared Rust installation.

    Its directories, its server, and how to run programs. ``full`` reads every byte of the toolchains.
    """

    rustup_home: str
    cargo_home: str
    dist_server: str
    installer: str
    timeout_seconds: int
    run: Run
    full: bool = False

    def read(self) -> State:
        """Return what is installed, without running anything and without the network."""
        settings = parse_settings(_text(os.path.join(self.rustup_home, "settings.toml")))
        root = os.path.join(self.rustup_home, "toolchains")
        names = sorted(os.listdir(root)) if os.path.isdir(root) else []
        return State(
            rustup=self._rustup_state(),
            host=settings.get("default_host_triple") or host_triple(platform.machine(), bits=_BITS),
            default=settings.get("default_toolchain"),
            toolchains={name: self._installed(os.path.join(root, name), name) for name in names},
            tools=tools(self.cargo_home),
        )

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other runs from installing at the same time; rustup does not.

        Waits as long as a program may take. Raises LockTimeoutError.
        """
        os.makedirs(self.rustup_home, exist_ok=True)
        lock = Flock(os.path.join(self.rustup_home, "coldvox.lock"), mode=0o600)
        lock.acquire(self.timeout_seconds)
        with lock:
            forget_damaged_records(self.rustup_home, self.cargo_home)
            yield

    def note(self, names: Iterable[str], changed: Collection[str]) -> None:
        """Keep the checksums of the whole toolchains ``names`` for a later full reading.

        Those in ``changed`` are noted again.
        """
        for name in names:
            root, note = os.path.join(self.rustup_home, "toolchains", name), self._note(name)
            if name in changed or not is_noted(root, note):
                make_directory(os.path.dirname(note), 0o755)
                note_checksums(root, note)

    def _note(self, name: str) -> str:
        return os.path.join(os.path.dirname(self.rustup_home), NOTES, f"{name}.json")

    def _installed(self, root: str, name: str) -> Installed:
        """Read one toolchain directory by rustup's own records."""
        rustlib = os.path.join(root, "lib", "rustlib")
        components, targets = parse_components(_text(os.path.join(rustlib, "components")), triple_of(name))
        version = parse_version(_text(os.path.join(rustlib, "multirust-channel-manifest.toml")))
        broken = damage(root) or (self.full and difference(root, self._note(name)))
        return Installed(version, components, targets, complete=not broken)

    def _rustup_state(self) -> str:
        """Compare ``bin/rustup`` with the installer, of which it is a copy."""
        rustup = os.path.join(self.cargo_home, "bin", "rustup")
        if not os.path.isfile(rustup):
            return "missing"
        if not proxies_whole(self.cargo_home) or settings_damaged(self.rustup_home):
            return "other"
        if not self.installer or not os.path.isfile(self.installer):
            return "current"
        return "current" if filecmp.cmp(rustup, self.installer, shallow=False) else "other"

    def updates(self, names: Sequence[str]) -> frozenset[str]:
        """Ask the server which of ``names`` have an update.

        Only a channel can have an update.
        """
        asked = [name for name in names if moves(name)]
        if not asked or settings_damaged(self.rustup_home):  # rustup fails before these are removed
            return frozenset()
        done = self._call("rustup", ("check", "--no-self-update"))
        if done.status not in (0, _UPDATE_AVAILABLE):
            raise RustError(self._explain("looking for updates", done))
        return parse_updates(done.stdout) & frozenset(asked)

    def perform(self, step: Step, toolchain: Optional[str]) -> None:
        """Run ``step``; ``toolchain`` builds cargo tools. Raises RustError."""
        if step.program == "installer" and not os.path.isfile(self.installer):
            raise RustError(
                f"The program rustup cannot be installed, because its installer '{self.installer}' is not on "
                "this host; give the path of a verified rustup-init."
            )
        argv = step.argv
        if step.program == "cargo":
            argv = (*([f"+{toolchain}"] if toolchain else []), *argv, "--root", self.cargo_home)
        done = self._call(step.program, argv)
        if done.status != 0:
            raise RustError(self._explain(step.title, done))

    def _call(self, program: str, argv: Sequence[str]) -> Result:
        path = self.installer if program == "installer" else os.path.join(self.cargo_home, "bin", program)
        return self.run([path, *argv], environment=self._environment(), timeout_seconds=self.timeout_seconds)

    def _environment(self) -> dict[str, str]:
        """Return an environment without the caller's.

        A stray RUSTUP_TOOLCHAIN would change the result.
        """
        kept = {key: value for key, value in os.environ.items() if key.lower() in _NETWORK}
        return {
            **kept,
            "PATH": _PATH,
            "HOME": pwd.getpwuid(os.geteuid()).pw_dir,
            "RUSTUP_HOME": self.rustup_home,
            "CARGO_HOME": self.cargo_home,
            "RUSTUP_DIST_SERVER": self.dist_server,
            "RUSTUP_AUTO_INSTALL": "0",
            "RUSTUP_INIT_SKIP_PATH_CHECK": "yes",
            "RUSTUP_TERM_COLOR": "never",
            "CARGO_TERM_COLOR": "never",
            "CARGO_BUILD_JOBS": str(os.cpu_count() or 1),
            "RUST_BACKTRACE": "0",
        }

    def _explain(self, title: str, done: Result) -> str:
        """Return a sentence: what failed, where, the program's reason, what to do."""
        if done.status == _TIMED_OUT:
            return (
                f"{_capital(title)} did not end within {self.timeout_seconds} s; look at the host's network "
                f"and at '{self.dist_server}', or allow more time."
            )
        output = done.stderr + done.stdout
        short = _errors(output)
        for signs, reason in _REASONS:
            if any(sign in output for sign in signs):
                return f"{_capital(title)} failed: {reason.format(server=self.dist_server)} ({short})."
        if done.status == _NOT_FOUND:
            return f"{_capital(title)} failed: {short}; install rustup first or give its installer."
        return (
            f"{_capital(title)} failed with status {done.status}: {short}; "
            "correct that on the host and try again."
        )


# The order counts: rustup also reports a channel that does not exist as a failed download.
_REASONS = (
    (
        ("nonexistent rust version", "invalid toolchain name", "no release found"),
        "'{server}' has no such toolchain, so correct its name",
    ),
    (
        ("does not support target", "component 'rust-std'"),
        "the toolchain has no such target, so correct its name",
    ),
    (
        ("does not contain component", "unavailable for download"),
        "the toolchain has no such component for this host, so take it off the list",
    ),
    (
        ("checksum failed", "checksum mismatch", "failed to verify the checksum"),
        "a file from '{server}' does not have the published checksum; the installed toolchains are "
        "untouched, so repair the mirror or try again",
    ),
    (("No space left on device",), "the disk is full, so make room"),
    (
        ("error sending request", "could not download", "Could not resolve", "spurious network error"),
        "'{server}' cannot be reached or lacks the file, so look at the network and the address",
    ),
)


def host_triple(machine: str, *, bits: int = 64) -> str:
    """Return rustup's host triple for ``uname -m`` on glibc Linux.

    ``bits`` are those of this host's programs: a 64-bit kernel can have a userland of 32 bits.
    """
    if machine.startswith("armv7") or (machine == "aarch64" and bits == 32):
        return "armv7-unknown-linux-gnueabihf"
    if machine == "x86_64" and bits == 32:
        return "i686-unknown-linux-gnu"
    return f"{machine}-unknown-linux-gnu"


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except (FileNotFoundError, NotADirectoryError):
        return ""


def _errors(output: str) -> str:
    """Return the error lines of a program's ``output``, or its last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line[len("error:") :].strip() for line in lines if line.startswith("error:")]
    text = "; ".join(errors) or (lines[-1] if lines else "it printed nothing")
    if len(text) <= _SHORT:
        return text
    # The action is at the beginning, the reason at the end.
    return f"{text[: _SHORT // 2].rstrip()} ... {text[-_SHORT // 2 :].lstrip()}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
