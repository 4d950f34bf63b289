from __future__ import annotations

import io
import os
import shutil
import stat
import subprocess
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.store import inflate
from ansible_collections.coldvox.ci.plugins.module_utils.store.archive import unpack
from ansible_collections.coldvox.ci.plugins.module_utils.store.members import Limits
from ansible_collections.coldvox.ci.plugins.module_utils.store.receipt import file_sha256, scan
from ansible_collections.coldvox.ci.plugins.module_utils.store.staging import Staging
from ansible_collections.coldvox.ci.plugins.module_utils.store.tar_reader import members_of, open_tar

from tests._support.fault_server import LIMITS, noise, sha256, tar_of, tar_special, zip_of

FILES = {"top/a": b"hello\n", "top/sub/big": noise(3_000_000), "top/sub/empty": b""}


def unpacked(tmp_path: Path, data: bytes, form: str, strip: int = 0, limits: Limits = LIMITS) -> Staging:
    archive = tmp_path / "archive"
    archive.write_bytes(data)
    root = str(tmp_path / "out")
    return unpack(str(archive), form, lambda count: Staging(root, count), strip, limits, 2, lambda *_: None)


def outside_is_clean(tmp_path: Path) -> bool:
    return sorted(path.name for path in tmp_path.iterdir()) in (["archive"], ["archive", "out"])


@pytest.mark.parametrize("form", ["zip", "gz", "xz", "bz2", ""])
def test_unpack_gives_contents_modes_and_entries_that_agree(tmp_path: Path, form: str) -> None:
    data = zip_of(FILES) if form == "zip" else tar_of(FILES, form)
    tree = unpacked(tmp_path, data, "zip" if form == "zip" else "tar", strip=1)
    entries = {entry.path: entry for entry in tree.entries()}
    assert sorted(entries) == ["a", "sub", "sub/big", "sub/empty"]
    for name, content in FILES.items():
        path = name.removeprefix("top/")
        assert (tmp_path / "out" / path).read_bytes() == content
        assert entries[path].sha256 == sha256(content)
    for path, seen in scan(tree.root).items():
        assert seen.mode == entries[path].mode
        assert stat.S_ISDIR(seen.mode) or seen.mtime_ns == entries[path].mtime * 10**9
    assert entries["a"].mode == stat.S_IFREG | 0o644
    assert entries["sub"].mode == stat.S_IFDIR | 0o755
    tree.sync()


def test_unpack_gives_the_same_entries_every_time(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    first = unpacked(tmp_path / "1", zip_of(FILES), "zip")
    second = unpacked(tmp_path / "2", zip_of(FILES), "zip")
    assert sorted(first.entries()) == sorted(second.entries())


def test_unpack_zip_keeps_only_the_execute_bit(tmp_path: Path) -> None:
    modes = {"run": 0o104755, "world": 0o100666, "exec": 0o100711}
    tree = unpacked(tmp_path, zip_of(dict.fromkeys(modes, b"x"), modes), "zip")
    assert {entry.path: entry.mode & 0o7777 for entry in tree.entries()} == {
        "run": 0o755,
        "world": 0o644,
        "exec": 0o755,
    }


def test_unpack_tar_keeps_only_the_execute_bit(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        info = tarfile.TarInfo("run")
        info.mode, info.size, info.uid = 0o6777, 1, 1234
        archive.addfile(info, io.BytesIO(b"x"))
    unpacked(tmp_path, buffer.getvalue(), "tar")
    status = os.stat(tmp_path / "out" / "run")
    assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o755, os.geteuid())


def test_unpack_makes_links_inside_and_hard_links_share_their_file(tmp_path: Path) -> None:
    data = tar_of(
        {
            "d/f": b"content",
            "l": tar_special(tarfile.SYMTYPE, "d/f"),
            "d/up": tar_special(tarfile.SYMTYPE, "../d/f"),
            "h": tar_special(tarfile.LNKTYPE, "d/f"),
        }
    )
    tree = unpacked(tmp_path, data, "tar")
    out = tmp_path / "out"
    assert (out / "l").read_bytes() == (out / "d/up").read_bytes() == b"content"
    assert (out / "h").samefile(out / "d/f")
    assert tree.make_executable(["h", "nothing"]) == ["nothing"]
    assert {e.path: e.mode & 0o777 for e in tree.entries() if e.is_file} == {"d/f": 0o755, "h": 0o755}


def test_unpack_makes_a_zip_symlink_inside(tmp_path: Path) -> None:
    data = zip_of({"d/f": b"content", "l": b"d/f"}, {"l": stat.S_IFLNK | 0o777})
    unpacked(tmp_path, data, "zip")
    assert (tmp_path / "out" / "l").readlink() == Path("d/f")


def evil_tars() -> dict[str, bytes]:
    sym, link = tarfile.SYMTYPE, tarfile.LNKTYPE
    return {
        "parent": tar_of({"../evil": b"x"}),
        "absolute": tar_of({"/tmp/evil-coldvox": b"x"}),
        "inner parent": tar_of({"a/../../evil": b"x"}),
        "symlink out": tar_of({"l": tar_special(sym, "../..")}),
        "absolute symlink": tar_of({"l": tar_special(sym, "/etc")}),
        "through a symlink": tar_of({"l": tar_special(sym, "."), "l/evil": b"x"}),
        "file then symlink": tar_of({"l/evil": b"x", "l": tar_special(sym, "..")}),
        "hard link out": tar_of({"h": tar_special(link, "../../etc/passwd")}),
        "absolute hard link": tar_of({"h": tar_special(link, "/etc/passwd")}),
        "hard link to a link": tar_of({"l": tar_special(sym, "f"), "h": tar_special(link, "l")}),
        "device": tar_of({"d": tar_special(tarfile.CHRTYPE)}),
        "block device": tar_of({"d": tar_special(tarfile.BLKTYPE)}),
        "fifo": tar_of({"p": tar_special(tarfile.FIFOTYPE)}),
        "file below file": tar_of({"a": b"x", "a/b": b"x"}),
        "newline": tar_of({"a\nb": b"x"}),
    }


@pytest.mark.parametrize("case", sorted(evil_tars()))
def test_unpack_refuses_an_evil_tar_which_reaches_nothing(tmp_path: Path, case: str) -> None:
    with pytest.raises(CiError):
        unpacked(tmp_path, evil_tars()[case], "tar")
    assert outside_is_clean(tmp_path)
    assert not os.path.exists("/tmp/evil-coldvox")


def evil_zips() -> dict[str, bytes]:
    link = stat.S_IFLNK | 0o777
    duplicate = io.BytesIO()
    with zipfile.ZipFile(duplicate, "w") as archive:
        archive.writestr("a", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a", b"2")
    return {
        "parent": zip_of({"../evil": b"x"}),
        "absolute": zip_of({"/tmp/evil-coldvox": b"x"}),
        "backslash": zip_of({"..\\evil": b"x"}),
        "drive": zip_of({"C:/evil": b"x"}),
        "symlink out": zip_of({"l": b"../.."}, {"l": link}),
        "through a symlink": zip_of({"l": b".", "l/evil": b"x"}, {"l": link}),
        "device": zip_of({"d": b""}, {"d": stat.S_IFCHR | 0o666}),
        "fifo": zip_of({"p": b""}, {"p": stat.S_IFIFO | 0o666}),
        "twice": duplicate.getvalue(),
        "truncated": zip_of(FILES)[:-3000],
        "no directory": zip_of(FILES)[:1000],
        "not a zip": b"<html>please log in</html>",
        "empty": b"",
    }


@pytest.mark.parametrize("case", sorted(evil_zips()))
def test_unpack_refuses_an_evil_zip_which_reaches_nothing(tmp_path: Path, case: str) -> None:
    with pytest.raises(CiError) as caught:
        unpacked(tmp_path, evil_zips()[case], "zip")
    assert outside_is_clean(tmp_path)
    assert "\n" not in str(caught.value)


def test_unpack_detects_bad_bytes_inside_a_zip(tmp_path: Path) -> None:
    data = bytearray(zip_of(FILES))
    data[1_500_000] ^= 0xFF
    with pytest.raises(CiError, match="corrupt"):
        unpacked(tmp_path, bytes(data), "zip")


@pytest.mark.parametrize("module", ["zlib", "isal.isal_zlib"])
def test_inflate_gives_the_same_result_and_refusal_with_every_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setattr(inflate, "INFLATE", pytest.importorskip(module))
    (tmp_path / "sound").mkdir()
    tree = unpacked(tmp_path / "sound", zip_of(FILES), "zip")
    assert {e.path: e.sha256 for e in tree.entries() if e.is_file} == {
        name: sha256(content) for name, content in FILES.items()
    }
    data = bytearray(zip_of({"text": b"hello\n" * 50_000}))
    data[60:100] = bytes(40)
    with pytest.raises(CiError, match="corrupt"):
        unpacked(tmp_path, bytes(data), "zip")


def test_unpack_refuses_entries_that_share_bytes(tmp_path: Path) -> None:
    data = bytearray(zip_of({"a": noise(5000), "b": noise(5000, "b")}))
    # Let the second central entry point to the first one's data, as a bomb made of overlapping entries does.
    second = data.rindex(b"PK\x01\x02")
    data[second + 42 : second + 46] = b"\0\0\0\0"
    with pytest.raises(CiError, match="overlaps"):
        unpacked(tmp_path, bytes(data), "zip")


def test_inflate_threads_do_not_take_sound_entries_for_overlapping_ones(tmp_path: Path) -> None:
    """With an extra field in each entry, as Info-ZIP writes it.

    See the lock in inflate.py.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(3000):
            with archive.open(f"{number}", "w", force_zip64=True) as stream:
                stream.write(b"content")
    assert len(unpacked(tmp_path, buffer.getvalue(), "zip").entries()) == 3000


def test_unpack_refuses_an_encrypted_zip(tmp_path: Path) -> None:
    data = bytearray(zip_of({"a": b"x"}))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(CiError, match="'a' is encrypted"):
        unpacked(tmp_path, bytes(data), "zip")


@pytest.mark.parametrize("form", ["zip", "tar"])
def test_unpack_refuses_a_bomb_before_it_writes(tmp_path: Path, form: str) -> None:
    zeros = {"zeros": bytes(100 * 2**20)}
    data = zip_of(zeros) if form == "zip" else tar_of(zeros)
    with pytest.raises(CiError, match="max_ratio=250"):
        unpacked(tmp_path, data, form)
    with pytest.raises(CiError, match="max_unpacked_bytes=1000"):
        unpacked(tmp_path, data, form, limits=Limits(1000, 250, 10))
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize("form", ["zip", "tar"])
def test_unpack_refuses_a_file_that_strip_components_would_lose(tmp_path: Path, form: str) -> None:
    files = {"top/a": b"x", "README": b"x"}
    with pytest.raises(CiError, match="'README' is not below 1 directories"):
        unpacked(tmp_path, zip_of(files) if form == "zip" else tar_of(files), form, strip=1)


V1 = {"vosk-model-small-pt-0.3/final.mdl": b"x", "vosk-model-small-pt-0.3/mfcc.conf": b"x"}


@pytest.mark.parametrize("form", ["zip", "tar"])
@pytest.mark.parametrize(
    "extras",
    [
        pytest.param(["._vosk-model-small-pt-0.3", ".DS_Store", ".gitattributes"], id="Vosklet 2"),
        pytest.param(["__MACOSX/vosk-model-small-pt-0.3/._final.mdl", "__MACOSX/._x"], id="skema 599"),
        pytest.param(["./vosk-model-small-pt-0.3/._final.mdl", "vosk-model-small-pt-0.3/ivector/.DS_Store"]),
    ],
)
def test_unpack_leaves_out_what_macos_adds(tmp_path: Path, form: str, extras: list[str]) -> None:
    files = {extras[0]: b"fork", **V1, **dict.fromkeys(extras, b"fork")}
    tree = unpacked(tmp_path, zip_of(files) if form == "zip" else tar_of(files), form, strip=1)
    assert sorted(entry.path for entry in tree.entries()) == ["final.mdl", "mfcc.conf"]
    assert sorted(path.name for path in (tmp_path / "out").rglob("*")) == ["final.mdl", "mfcc.conf"]


@pytest.mark.parametrize("form", ["zip", "tar"])
def test_unpack_refuses_two_top_directories(tmp_path: Path, form: str) -> None:
    files = {**V1, "vosk-model-small-es-0.3/ivector/final.ie": b"x"}
    with pytest.raises(
        CiError, match=r"two top directories, 'vosk-model-small-pt-0.3' and 'vosk-model-small-es-"
    ):
        unpacked(tmp_path, zip_of(files) if form == "zip" else tar_of(files), form, strip=1)


@pytest.mark.parametrize("keep", [0, 10, 600, 40_000])
def test_unpack_refuses_a_truncated_tar(tmp_path: Path, keep: int) -> None:
    with pytest.raises(CiError):
        unpacked(tmp_path, tar_of({"a": noise(100_000)})[:keep], "tar")


def test_unpack_keeps_a_name_in_an_odd_encoding_byte_by_byte(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.GNU_FORMAT, encoding="latin-1") as archive:
        info = tarfile.TarInfo("mod\u00e8le")
        info.size = 1
        archive.addfile(info, io.BytesIO(b"x"))
    tree = unpacked(tmp_path, buffer.getvalue(), "tar")
    assert os.listdir(os.fsencode(tree.root)) == [b"mod\xe8le"]
    assert file_sha256(os.path.join(tree.root, tree.entries()[0].path)) == sha256(b"x")


def compressed(data: bytes) -> bytes:
    """Return ``data`` in zstd."""
    if shutil.which("zstd") is None:
        pytest.skip("the program zstd is not installed")
    return subprocess.run(["zstd", "-q"], input=data, capture_output=True, check=True).stdout


MEMBERS = {"m/a": noise(300_000), "m/b": b"b\n" * 70_000, "m/hard": tar_special(tarfile.LNKTYPE, "m/b")}


def test_open_tar_reads_zstd(tmp_path: Path) -> None:
    tree = unpacked(tmp_path, compressed(tar_of(MEMBERS, "")), "tar", strip=1)
    (tmp_path / "plain").mkdir()
    plain = unpacked(tmp_path / "plain", tar_of(MEMBERS), "tar", strip=1)
    assert tree.entries() == plain.entries()


@pytest.mark.parametrize("keep", [40, 10_000, -5])
def test_open_tar_refuses_truncated_zstd(tmp_path: Path, keep: int) -> None:
    with pytest.raises(CiError, match=r"corrupt|truncated"):
        unpacked(tmp_path, compressed(tar_of(MEMBERS, ""))[:keep], "tar")


def test_open_tar_refuses_a_bomb_in_zstd(tmp_path: Path) -> None:
    with pytest.raises(CiError, match="max_unpacked_bytes"):
        unpacked(
            tmp_path, compressed(tar_of(MEMBERS, "")), "tar", limits=LIMITS._replace(max_unpacked_bytes=1000)
        )


@pytest.mark.skipif("zst" in tarfile.TarFile.OPEN_METH, reason="this Python reads zstd itself")
def test_open_tar_without_zstd_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = compressed(tar_of(MEMBERS, ""))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CiError, match="install zstd on the host"):
        unpacked(tmp_path, data, "tar")


def test_members_of_keeps_no_headers_in_memory(tmp_path: Path) -> None:
    """Each of 1000 members has 20 KB of attributes.

    Tarfile alone would hold 20 MB in the end.
    """
    archive = tmp_path / "x.tar"
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as target:
        for number in range(1000):
            info = tarfile.TarInfo(f"f{number}")
            info.pax_headers = {"comment": "x" * 20_000}
            target.addfile(info)
    tracemalloc.start()
    with open_tar(str(archive)) as source:
        assert sum(1 for _info in members_of(source)) == 1000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000
