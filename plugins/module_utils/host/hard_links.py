"""A directory that shares the files of another one, so that it takes no space.

Files are hard links to the original's. Directories are new.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Collection

# Another file system, no hard links there, or too many links to the file.
_CANNOT_LINK = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP)


def link_folder(source: str, target: str, leave_out: Collection[str] = (), *, copy: bool = True) -> None:
    """Make ``target`` with links to all files of ``source``, except the paths in ``leave_out``.

    With ``copy``, a file that cannot be linked is copied. Symbolic links stay what they are. Raises OSError.
    """
    os.mkdir(target)
    shutil.copymode(source, target)  # independent of the umask here
    with os.scandir(source) as entries:
        for entry in entries:
            place = os.path.join(target, entry.name)
            if entry.path in leave_out:
                continue
            if entry.is_dir(follow_symlinks=False):
                link_folder(entry.path, place, leave_out, copy=copy)
            elif entry.is_symlink():
                os.symlink(os.readlink(entry.path), place)
            else:
                _link_file(entry.path, place, copy)


def _link_file(source: str, target: str, copy: bool) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _CANNOT_LINK or not copy:
            raise
        shutil.copy2(source, target, follow_symlinks=False)
