from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.mirror import build, part_cache, registry
from tests._support.mirror_client import MODEL_MIB

EXPECTED = {
    "vosk-api/v0.3.45/vosk-linux-x86_64-0.3.45.zip",
    "vosk-api/v0.3.45/vosk-linux-aarch64-0.3.45.zip",
    "vosk/models/vosk-model-small-en-us-0.15.zip",
    "vosk/models/vosk-model-en-us-0.22.zip",
    "actions/runner/releases/download/v2.336.0/actions-runner-linux-x64-2.336.0.tar.gz",
    "rustup/archive/1.29.0/x86_64-unknown-linux-gnu/rustup-init",
}


def test_manifest_has_digest_and_size_of_each_file(www: Path) -> None:
    manifest = json.loads((www / "manifest.json").read_text())
    assert set(manifest) >= EXPECTED
    for path, entry in manifest.items():
        content = (www / path).read_bytes()
        assert entry == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}, path


def test_manifest_files_have_no_placeholder(www: Path) -> None:
    manifest = json.loads((www / "manifest.json").read_text())
    small = [path for path, entry in manifest.items() if entry["bytes"] < 100_000]
    assert [path for path in small if b"mirror.invalid" in (www / path).read_bytes()] == []
    assert b"mirror.invalid" in (www / "cargo-registry/config.json").read_bytes()


def test_build_again_is_quick_and_changes_nothing(www: Path, cache: Path) -> None:
    before = {path: path.stat().st_ino for path in www.rglob("*")}
    messages: list[str] = []
    # Of this process, so that a busy machine does not count.
    begin = time.process_time()
    build.build(www, cache, MODEL_MIB, messages.append)
    assert time.process_time() - begin < 2
    assert {path: path.stat().st_ino for path in www.rglob("*")} == before
    assert not [line for line in messages if line.startswith("buil")]


def test_build_rejects_a_model_below_one_mib(tmp_path: Path) -> None:
    with pytest.raises(TestbedError, match="cannot be 0 MiB large"):
        build.build(tmp_path / "www", tmp_path, 0)


def _part(text: str, *files: str, sources: tuple[Path, ...] = ()) -> part_cache.Part:
    def make(www: Path) -> None:
        for file in files:
            (www / file).parent.mkdir(parents=True, exist_ok=True)
            (www / file).write_text(text)

    return part_cache.Part("sample", make, sources, (text, *files))


def test_publish_removes_only_files_of_earlier_builds(tmp_path: Path) -> None:
    parts, root = part_cache.PartCache(tmp_path, print), tmp_path / "www"
    (root / "rpm").mkdir(parents=True)
    (root / "rpm/other.rpm").write_text("not ours")
    build.publish(root, [parts.built(_part("old", "a/one", "b/two"))], tmp_path)
    build.publish(root, [parts.built(_part("new", "a/one"))], tmp_path)
    files = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    assert files == ["a/one", "manifest.json", "rpm/other.rpm"]
    assert (root / "a/one").read_text() == "new"
    assert not (root / "b").exists()
    assert list(json.loads((root / "manifest.json").read_text())) == ["a/one"]


def test_publish_replaces_a_damaged_file(tmp_path: Path) -> None:
    parts, root = part_cache.PartCache(tmp_path, print), tmp_path / "www"
    build.publish(root, [parts.built(_part("text", "one"))], tmp_path)
    (root / "one").unlink()
    (root / "one").write_text("something else")
    build.publish(root, [parts.built(_part("text", "one"))], tmp_path)
    assert (root / "one").read_text() == "text"


def test_part_is_built_again_when_a_source_changes(tmp_path: Path) -> None:
    parts, source = part_cache.PartCache(tmp_path, print), tmp_path / "source.py"
    source.write_text("1")
    first = parts.built(_part("text", "one", sources=(source,)))
    assert parts.built(_part("text", "one", sources=(source,))).www == first.www
    source.write_text("2")
    assert parts.built(_part("text", "one", sources=(source,))).www != first.www


def test_part_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def make(www: Path) -> None:
        (www / "half").write_text("half")
        raise TestbedError("no network")

    parts = part_cache.PartCache(tmp_path, print)
    with pytest.raises(TestbedError, match="no network"):
        parts.built(part_cache.Part("sample", make, ()))
    assert list((tmp_path / "mirror").iterdir()) == []


def test_part_cache_removes_parts_unused_for_a_day(tmp_path: Path) -> None:
    parts = part_cache.PartCache(tmp_path, print)
    old, recent = parts.built(_part("old", "one")), parts.built(_part("recent", "one"))
    past = time.time() - part_cache.KEEP_UNUSED_SECONDS - 60
    os.utime(old.www.parent, (past, past))
    parts.built(_part("new", "one"))
    assert not old.www.exists()
    assert recent.www.exists()


@pytest.mark.parametrize(
    ("name", "path"),
    [("a", "1/a"), ("ab", "2/ab"), ("abc", "3/a/abc"), ("cargo-audit", "ca/rg/cargo-audit")],
)
def test_index_path_of_a_crate(name: str, path: str) -> None:
    assert registry.index_path(name) == path
