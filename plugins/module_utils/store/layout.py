"""The paths of a store, and the checks that its directory must pass."""

from __future__ import annotations

import os
import stat

from ..errors import CiError
from ..host.durable import make_directory, replace_file, storage_error
from ..host.mounts import noexec_reason
from ..host.paths import Paths

DEFAULT_STORE = Paths().store
# Every user can read published directories; what is being fetched is for the owner alone.
_PUBLIC = ("trees", "receipts", "refs", "last_used", "models", "locks", "progress", "leases", "counters")
_PRIVATE = ("partial", "staging", "trash")
# The kinds that run in the store. A runner is copied to its instances, which may be on another mount.
_RUN_HERE = ("library", "toolchain")
_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# Downloads of coldvox.ci that can be fetched again.\n"


class Layout:
    """The paths of the store at ``root``.

    Only ``prepare``, ``check`` and ``exists`` touch the disk.
    """

    def __init__(self, root: str) -> None:
        self.root = os.path.realpath(root)

    def area(self, *parts: str) -> str:
        """Return a path in the store.

        It is a directory ("partial", "receipts") or an entry there.
        """
        return os.path.join(self.root, *parts)

    def tree(self, sha256: str) -> str:
        return self.area("trees", sha256)

    def receipt(self, sha256: str) -> str:
        return self.area("receipts", f"{sha256}.json")

    def ref(self, name: str) -> str:
        return self.area("refs", f"{name}.json")

    def last_used(self, sha256: str) -> str:
        return self.area("last_used", sha256)

    def model(self, name: str) -> str:
        return self.area("models", name)

    def download_lock(self, sha256: str) -> str:
        return self.area("locks", f"{sha256}.download.lock")

    def mutate_lock(self, sha256: str) -> str:
        return self.area("locks", f"{sha256}.mutate.lock")

    def lease_lock(self, name: str) -> str:
        return self.area("locks", f"lease-{name}.lock")

    def lease(self, name: str) -> str:
        return self.area("leases", f"{name}.json")

    def counter(self, name: str) -> str:
        return self.area("counters", name)

    def partial(self, sha256: str) -> str:
        return self.area("partial", f"{sha256}.part")

    def progress(self, sha256: str) -> str:
        return self.area("progress", f"{sha256}.json")

    def fresh(self, area: str, sha256: str) -> str:
        """Return an unused path below ``staging`` or ``trash``."""
        return self.area(area, f"{sha256}.{os.urandom(6).hex()}")

    @property
    def trees(self) -> str:
        return self.area("trees")

    @property
    def locks(self) -> str:
        return self.area("locks")

    @property
    def refs_lock(self) -> str:
        return self.area("locks", "refs.lock")

    @property
    def collect_lock(self) -> str:
        return self.area("locks", "collect.lock")

    @property
    def clock(self) -> str:
        """The file with the time of all clocks at the last collection."""
        return self.area("clock.json")

    @property
    def manifest(self) -> str:
        return self.area("version-manifest.json")

    @property
    def checksums(self) -> str:
        return self.area("checksums.txt")

    def exists(self) -> bool:
        return os.path.isdir(self.root)

    def check(self) -> None:
        """Refuse a store that another user can write to.

        A user who can rename a tree decides what jobs run.
        """
        try:
            status = os.stat(self.root)
        except FileNotFoundError:
            return
        except OSError as error:
            raise storage_error(f"looking at the store {self.root}", error) from error
        if not stat.S_ISDIR(status.st_mode):
            raise CiError(
                f"The store {self.root} is not a directory; move that file away or set another store."
            )
        if status.st_uid not in (0, os.geteuid()):
            raise CiError(
                f"The store {self.root} belongs to user id {status.st_uid}, who could replace what is "
                f"published; give it to the user that installs (chown {os.geteuid()}) or set another store."
            )
        if status.st_mode & 0o022:
            raise CiError(
                f"The store {self.root} can be written by others (mode {status.st_mode & 0o7777:04o}); "
                "remove that permission with chmod 0755."
            )

    def check_exec(self, name: str, kind: str) -> None:
        """Refuse a program or library that could not run where the store is."""
        reason = noexec_reason(self.root) if kind in _RUN_HERE else ""
        if reason:
            raise CiError(f"Artifact {name} is of no use in the store: {reason}.", artifact=name)

    def prepare(self) -> None:
        """Create the missing directories of the store.

        Their modes are fixed and independent of the umask.
        """
        self.check()
        try:
            make_directory(self.root)
            for name in _PUBLIC:
                make_directory(self.area(name))
            for name in _PRIVATE:
                make_directory(self.area(name), 0o700)
            if not os.path.exists(self.area("CACHEDIR.TAG")):
                replace_file(self.area("CACHEDIR.TAG"), _TAG)
        except OSError as error:
            raise storage_error(f"preparing the store {self.root}", error) from error
