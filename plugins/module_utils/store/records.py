"""The store's books on disk: receipts, refs, and the two files generated from them."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Optional

from . import refs as ref_codec
from .durable import read_text, remove_file, replace_file
from .layout import Layout
from .plan import Condition
from .receipt import Receipt, decode, encode
from .refs import Ref
from .tree import content_difference, quick_difference

_TOUCH_EVERY_SECONDS = 300


class Records:
    """Reads and writes the books of the store ``layout``. Whoever writes refs holds the refs lock."""

    def __init__(self, layout: Layout, boot_id: str) -> None:
        self._layout = layout
        self._boot_id = boot_id

    def receipt(self, sha256: str) -> Optional[Receipt]:
        """Return the receipt of ``sha256``, None when it is missing, damaged or about something else."""
        text = read_text(self._layout.receipt(sha256))
        receipt = decode(text) if text else None
        return receipt if receipt and receipt.sha256 == sha256 else None

    def write_receipt(self, receipt: Receipt) -> bool:
        """Write ``receipt``; return whether it is safe against a power cut."""
        return replace_file(self._layout.receipt(receipt.sha256), encode(receipt))

    def drop_receipt(self, sha256: str) -> None:
        remove_file(self._layout.receipt(sha256))
        remove_file(self._layout.last_used(sha256))

    def condition(self, sha256: str, full: bool) -> Condition:
        """Look at the tree of ``sha256``: by lstat, and every byte when ``full`` or when a crash may have
        eaten some.

        A tree whose receipt is not durable and from another boot was being written out when the machine
        went down.
        """
        tree = self._layout.tree(sha256)
        if not os.path.lexists(tree):
            return Condition()
        receipt = self.receipt(sha256)
        if receipt is None:
            return Condition(damage="its receipt is missing or unreadable")
        damage = quick_difference(tree, receipt, os.stat(self._layout.root).st_uid)
        suspect = not receipt.durable and receipt.boot_id != self._boot_id
        if not damage and (full or suspect):
            damage = content_difference(tree, receipt)
        return Condition(damage=damage) if damage else Condition(receipt)

    def renew_boot(self, receipt: Receipt) -> None:
        """Note that a tree without a durable receipt was found good in this boot, so that it is not read
        again.
        """
        if not receipt.durable and receipt.boot_id != self._boot_id:
            self.write_receipt(receipt._replace(boot_id=self._boot_id))

    def ref(self, name: str) -> Optional[Ref]:
        return ref_codec.decode(read_text(self._layout.ref(name)))

    def refs(self) -> dict[str, Ref]:
        """Return all refs by name."""
        try:
            names = sorted(os.listdir(self._layout.refs))
        except FileNotFoundError:
            return {}
        found = (
            self.ref(name[: -len(".json")]) for name in names if name.endswith(".json") and name[0] != "."
        )
        return {ref.name: ref for ref in found if ref}

    def write_ref(self, ref: Ref) -> None:
        replace_file(self._layout.ref(ref.name), ref_codec.encode(ref))

    def drop_ref(self, name: str) -> None:
        remove_file(self._layout.ref(name))

    def generated_current(self) -> bool:
        """Tell whether the generated files are in step; the manifest is written last, so it speaks for
        both.
        """
        refs = self.refs()
        text = read_text(self._layout.manifest)
        if text is None:
            return not refs
        return text == ref_codec.manifest(refs.values()) and os.path.exists(self._layout.checksums)

    def regenerate(self) -> None:
        """Write the generated files anew from the refs."""
        refs = self.refs()
        found = {sha256: self.receipt(sha256) for sha256 in {ref.sha256 for ref in refs.values()}}
        receipts = {sha256: receipt for sha256, receipt in found.items() if receipt}
        replace_file(self._layout.checksums, ref_codec.checksums(refs.values(), receipts))
        replace_file(self._layout.manifest, ref_codec.manifest(refs.values()))

    def touch(self, sha256: str) -> None:
        """Note that ``sha256`` is in use; at most every five minutes, so that readers cost no disk writes.

        The file can be written by all, so that jobs can note their use; nobody but its owner can set another
        time than now (utime(2)), and what is written into it is never read.
        """
        path = self._layout.last_used(sha256)
        # A store that is read-only at the moment can be used all the same.
        with contextlib.suppress(OSError):
            if not os.path.exists(path):
                fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
                os.fchmod(fd, 0o666)  # whatever the umask is
                os.close(fd)
            elif time.time() - os.stat(path).st_mtime >= _TOUCH_EVERY_SECONDS:
                os.utime(path)
