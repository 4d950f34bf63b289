from __future__ import annotations

import errno
import io
import os
import stat
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.store import download
from ansible_collections.coldvox.ci.plugins.module_utils.store.download import Partial
from ansible_collections.coldvox.ci.plugins.module_utils.store.fetch import Fetcher
from ansible_collections.coldvox.ci.plugins.module_utils.store.members import Limits
from ansible_collections.coldvox.ci.plugins.module_utils.store.receipt import Seen, scan
from ansible_collections.coldvox.ci.plugins.module_utils.store.staging import Staging
from ansible_collections.coldvox.ci.plugins.module_utils.store.stream_unzip import StreamUnzip

from tests._support.fault_server import LIMITS, FaultServer, install, noise, wanted, zip_of

FILES = {"big": noise(600_000), "text": b"hello\n" * 50_000, "dir/small": b"x", "dir/empty": b""}


def archive_of(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED, *, large: bool = False) -> bytes:
    """Return a zip; ``large`` writes sizes in the form for members above 4 GiB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            with archive.open(info, "w", force_zip64=large) as stream:
                stream.write(content)
    return buffer.getvalue()


def streamed(files: dict[str, bytes]) -> bytes:
    """Return a zip written to a pipe: its sizes come after the bytes."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return pipe.getvalue()


class Arrival:
    """A download that brings what the test says, and the unpacking next to it."""

    def __init__(self, directory: Path, limits: Limits = LIMITS) -> None:
        self.partial = Partial(str(directory / "x.part"))
        self.place = directory / "ahead"
        self.ahead = StreamUnzip(self.partial, str(self.place), limits)

    def bring(self, data: bytes, total: int | None, piece: int = 100_000) -> None:
        for at in range(0, len(data), piece):
            self.partial.append(data[at : at + piece])
            self.ahead.arrived(total)

    def settle(self) -> None:
        """Wait until all is unpacked that will be."""
        if self.ahead._thread is not None:
            self.ahead._thread.join()

    def taken(self, data: bytes) -> dict[str, bytes]:
        """Take every member of the archive ``data`` that is there."""
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {info.filename: self.ahead.take(info) for info in archive.infolist()}
        return {name: Path(done.path).read_bytes() for name, done in members.items() if done}


@pytest.fixture
def arrival(tmp_path: Path) -> Iterator[Arrival]:
    arrival = Arrival(tmp_path)
    yield arrival
    arrival.ahead.close()
    arrival.partial.discard()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("piece", [29, 4096, 10**9])
@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_stream_unzip_has_the_members_when_the_archive_has_arrived(
    arrival: Arrival, method: int, large: bool, piece: int
) -> None:
    files = {**FILES, "big": FILES["big"][:20_000], "text": FILES["text"][:5_000]}
    data = archive_of(files, method, large=large)
    arrival.bring(data, len(data), piece)
    arrival.settle()
    assert arrival.taken(data) == {name: content for name, content in files.items() if content}
    assert arrival.taken(data) == {}


def test_stream_unzip_take_waits_for_a_member_under_way(arrival: Arrival) -> None:
    data = archive_of(FILES)
    arrival.bring(data, len(data))
    arrival.ahead.end()
    taken = arrival.taken(data)
    assert all(taken[name] == FILES[name] for name in taken)
    arrival.settle()
    assert arrival.taken(data) == {}


def test_stream_unzip_drops_members_from_before_a_restart(arrival: Arrival) -> None:
    """Even though the archive that came then says the same of its member."""
    data = archive_of(FILES)
    half = len(data) * 3 // 4
    arrival.bring(data[:half], len(data))
    arrival.partial.restart()
    arrival.bring(data, len(data))
    arrival.settle()
    assert arrival.taken(data) == {}


def test_stream_unzip_does_nothing_without_a_length(arrival: Arrival) -> None:
    data = archive_of(FILES)
    arrival.bring(data, None)
    assert arrival.ahead._thread is None
    assert arrival.taken(data) == {}


def altered(field: int, value: bytes) -> Callable[[bytes], bytes]:
    """Return what overwrites a field of the first local header."""
    return lambda data: data[:field] + value + data[field + len(value) :]


def bad_byte(data: bytes) -> bytes:
    return data[:300_000] + bytes([data[300_000] ^ 1]) + data[300_001:]


ODD: dict[str, Callable[[bytes], bytes]] = {
    "not a zip": lambda data: b"<html>please log in</html>" + data[26:],
    "encrypted": altered(6, b"\x01"),
    "another checksum": altered(14, b"abcd"),
    "fewer bytes than there are": altered(22, b"\x01\0\0\0"),
    "more bytes than there are": altered(22, b"\xff\xff\xff\x0f"),
    "no field with the sizes": altered(18, b"\xff" * 8),
    "an unknown method": altered(8, b"\x63"),
    "bad bytes": bad_byte,
}


@pytest.mark.parametrize("case", ODD)
def test_stream_unzip_drops_a_member_that_differs_from_its_header(arrival: Arrival, case: str) -> None:
    data = archive_of(FILES)
    odd = ODD[case](data)
    assert odd != data
    arrival.bring(odd, len(data))
    arrival.settle()
    assert "big" not in arrival.taken(data)
    assert "0" not in os.listdir(arrival.place)


def test_stream_unzip_leaves_an_archive_whose_sizes_come_later(arrival: Arrival) -> None:
    data = streamed(FILES)
    arrival.bring(data, len(data))
    arrival.settle()
    assert arrival.taken(data) == {}
    assert os.listdir(arrival.place) == []


@pytest.mark.parametrize("field", ["CRC", "file_size", "compress_size", "compress_type"])
def test_stream_unzip_gives_nothing_to_a_directory_that_differs(arrival: Arrival, field: str) -> None:
    data = archive_of(FILES)
    arrival.bring(data, len(data))
    arrival.settle()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        info = archive.getinfo("big")
        setattr(info, field, getattr(info, field) ^ 1)
        assert arrival.ahead.take(info) is None


@pytest.mark.parametrize(
    "limits", [Limits(1_000, 250, 100), Limits(10**9, 2, 100)], ids=["too many bytes", "too good a ratio"]
)
def test_stream_unzip_does_not_unpack_a_bomb(tmp_path: Path, limits: Limits) -> None:
    arrival = Arrival(tmp_path, limits)
    data = archive_of({"bomb": bytes(80_000_000)})
    arrival.bring(data, len(data))
    arrival.settle()
    assert os.listdir(arrival.place) == []
    arrival.ahead.close()
    arrival.partial.discard()


def test_stream_unzip_leaves_a_nearly_full_disk_to_the_download(
    arrival: Arrival, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_SPARE_BYTES", 2**60)
    data = archive_of(FILES)
    arrival.bring(data, len(data))
    arrival.settle()
    assert os.listdir(arrival.place) == []


@pytest.fixture
def adopted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let all be unpacked ahead that can be; the paths that were taken."""
    paths: list[str] = []
    adopt = Staging.adopt

    def settle(ahead: StreamUnzip) -> None:
        if ahead._thread is not None:
            ahead._thread.join()

    def noting(tree: Staging, path: str, *more: Any, **named: Any) -> Any:
        paths.append(path)
        return adopt(tree, path, *more, **named)

    monkeypatch.setattr(StreamUnzip, "end", settle)
    monkeypatch.setattr(Staging, "adopt", noting)
    return paths


def files_of(root: Path) -> dict[str, Seen]:
    members = scan(os.path.realpath(root / "models" / "m"))
    return {path: seen for path, seen in members.items() if not stat.S_ISDIR(seen.mode)}


def test_stream_unzip_gives_the_same_tree_as_without(
    server: FaultServer, root: Path, adopted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = zip_of(FILES, {"text": 0o100755})
    artifact = wanted("m", server.serve("/m.zip", data), data, kind="model")
    install(root, artifact)
    assert sorted(adopted) == ["big", "dir/small", "text"]
    monkeypatch.setattr(StreamUnzip, "arrived", lambda *_: None)
    other = root.with_name("other")
    install(other, artifact)
    assert len(adopted) == 3
    assert files_of(other) == files_of(root)
    receipt = f"receipts/{artifact.sha256}.json"
    assert (other / receipt).read_text() == (root / receipt).read_text()
    assert os.listdir(root / "staging") == os.listdir(root / "partial") == []


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil-coldvox", "a\\b"])
def test_stream_unzip_does_not_hide_an_evil_name(
    server: FaultServer, root: Path, adopted: list[str], name: str
) -> None:
    data = zip_of({name: noise(5_000)})
    with pytest.raises(CiError, match="is refused"):
        install(root, wanted("m", server.serve("/m.zip", data), data))
    assert adopted == []
    assert os.listdir(root / "staging") == os.listdir(root / "trees") == []


def test_stream_unzip_frees_its_space_on_a_full_disk(
    server: FaultServer, root: Path, adopted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Count the bytes that are already unpacked as part of the needed space."""
    kept: list[int] = []

    def free_bytes(_fetcher: Fetcher) -> int:
        kept.append(sum(len(files) for _path, _directories, files in os.walk(root / "staging")))
        return 0 if kept[-1] else 2**40

    monkeypatch.setattr(Fetcher, "_free_bytes", free_bytes)
    data = zip_of(FILES)
    assert install(root, wanted("m", server.serve("/m.zip", data), data)).results[0].outcome == "fetched"
    assert kept == [3, 0]
    assert adopted == []


@pytest.mark.parametrize("call", ["open", "write"])
def test_stream_unzip_does_not_fail_the_install_when_the_disk_refuses(
    server: FaultServer, root: Path, adopted: list[str], monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    original: Callable[..., Any] = getattr(os, call)

    def failing(first: Any, *rest: Any, **more: Any) -> Any:
        path = os.readlink(f"/proc/self/fd/{first}") if isinstance(first, int) else str(first)
        if "/staging/" in path and os.path.basename(path) == "0":
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return original(first, *rest, **more)

    monkeypatch.setattr(os, call, failing)
    data = zip_of(FILES)
    assert install(root, wanted("m", server.serve("/m.zip", data), data)).results[0].outcome == "fetched"
    assert adopted == []
