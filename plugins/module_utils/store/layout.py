"""Where everything of a store lies, and the checks a store's directory must pass before anything is put
there.
"""

from __future__ import annotations

import os
import stat

from ..errors import CiError
from ..host.durable import make_directory, replace_file, storage_error
from ..host.paths import Paths

DEFAULT_STORE = Paths().store
# Published directories can be read by all; what is in flight is nobody's business but the owner's.
_PUBLIC = ("trees", "receipts", "refs", "last_used", "models", "locks", "progress", "leases", "counters")
_PRIVATE = ("partial", "staging", "trash")
_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# Downloads of coldvox.ci that can be fetched again.\n"


class Layout:
    """The paths of the store at ``root``. Nothing here touches the disk except ``prepare`` and ``check``."""

    def __init__(self, root: str) -> None:
        self.root = os.path.realpath(root)

    def _in(self, *parts: str) -> str:
        return os.path.join(self.root, *parts)

    def tree(self, sha256: str) -> str:
        return self._in("trees", sha256)

    def receipt(self, sha256: str) -> str:
        return self._in("receipts", f"{sha256}.json")

    def ref(self, name: str) -> str:
        return self._in("refs", f"{name}.json")

    def last_used(self, sha256: str) -> str:
        return self._in("last_used", sha256)

    def model(self, name: str) -> str:
        return self._in("models", name)

    def download_lock(self, sha256: str) -> str:
        return self._in("locks", f"{sha256}.download.lock")

    def mutate_lock(self, sha256: str) -> str:
        return self._in("locks", f"{sha256}.mutate.lock")

    def lease_lock(self, name: str) -> str:
        return self._in("locks", f"lease-{name}.lock")

    def lease(self, name: str) -> str:
        return self._in("leases", f"{name}.json")

    def counter(self, name: str) -> str:
        return self._in("counters", name)

    def partial(self, sha256: str) -> str:
        return self._in("partial", f"{sha256}.part")

    def progress(self, sha256: str) -> str:
        return self._in("progress", f"{sha256}.json")

    def fresh(self, area: str, sha256: str) -> str:
        """Return an unused path below ``staging`` or ``trash``."""
        return self._in(area, f"{sha256}.{os.urandom(6).hex()}")

    @property
    def refs_lock(self) -> str:
        return self._in("locks", "refs.lock")

    @property
    def collect_lock(self) -> str:
        return self._in("locks", "collect.lock")

    @property
    def clock(self) -> str:
        """The file with what the clocks said at the last collection."""
        return self._in("clock.json")

    def area(self, name: str) -> str:
        """Return the directory ``name`` of the store ("partial", "receipts")."""
        return self._in(name)

    @property
    def refs(self) -> str:
        return self._in("refs")

    @property
    def locks(self) -> str:
        return self._in("locks")

    @property
    def trees(self) -> str:
        return self._in("trees")

    @property
    def staging(self) -> str:
        return self._in("staging")

    @property
    def partials(self) -> str:
        return self._in("partial")

    @property
    def progresses(self) -> str:
        return self._in("progress")

    @property
    def trash(self) -> str:
        return self._in("trash")

    @property
    def manifest(self) -> str:
        return self._in("version-manifest.json")

    @property
    def checksums(self) -> str:
        return self._in("checksums.txt")

    def exists(self) -> bool:
        return os.path.isdir(self.root)

    def check(self) -> None:
        """Refuse a store that somebody else could write to: whoever can rename a tree decides what jobs
        run.
        """
        try:
            status = os.stat(self.root)
        except FileNotFoundError:
            return
        except OSError as error:
            raise storage_error(f"looking at the store {self.root}", error) from error
        if not stat.S_ISDIR(status.st_mode):
            raise CiError(
                f"the store {self.root} is not a directory; move that file away or set another store."
            )
        if status.st_uid not in (0, os.geteuid()):
            raise CiError(
                f"the store {self.root} belongs to user id {status.st_uid}, who could replace what is "
                f"published; give it to the user that installs (chown {os.geteuid()}) or set another store."
            )
        if status.st_mode & 0o022:
            raise CiError(
                f"the store {self.root} can be written by others (mode {status.st_mode & 0o7777:04o}); "
                "take that away with chmod 0755."
            )

    def prepare(self) -> None:
        """Create what is missing of the store, with fixed modes whatever the umask is."""
        self.check()
        try:
            make_directory(self.root)
            for name in _PUBLIC:
                make_directory(self._in(name))
            for name in _PRIVATE:
                make_directory(self._in(name), 0o700)
            if not os.path.exists(self._in("CACHEDIR.TAG")):
                replace_file(self._in("CACHEDIR.TAG"), _TAG)
        except OSError as error:
            raise storage_error(f"preparing the store {self.root}", error) from error
