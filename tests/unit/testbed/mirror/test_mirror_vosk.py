from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from testbed.mirror import models, vosk

# Loads a model in a separate process: a failure in libvosk may crash it.
LOADER = """
import ctypes, sys
vosk = ctypes.CDLL(sys.argv[1])
vosk.vosk_model_new.restype = ctypes.c_void_p
vosk.vosk_recognizer_new.restype = ctypes.c_void_p
vosk.vosk_recognizer_final_result.restype = ctypes.c_char_p
model = vosk.vosk_model_new(sys.argv[2].encode())
if not model:
    sys.exit(3)
model = ctypes.c_void_p(model)
assert vosk.vosk_model_find_word(model, b"hello") == 1
assert vosk.vosk_model_find_word(model, b"goodbye") == -1
recognizer = ctypes.c_void_p(vosk.vosk_recognizer_new(model, ctypes.c_float(16000.0)))
assert recognizer
assert vosk.vosk_recognizer_accept_waveform(recognizer, bytes(32000), 32000) >= 0
print(vosk.vosk_recognizer_final_result(recognizer).decode())
"""
PROGRAM = """
#include <stdio.h>
#include <vosk_api.h>
int main(int argc, char **argv) {
    vosk_set_log_level(-1);
    VoskModel *model = argc > 1 ? vosk_model_new(argv[1]) : NULL;
    printf("%d\\n", model ? vosk_model_find_word(model, "hello") : -7);
    if (model) vosk_model_free(model);
    return 0;
}
"""


@pytest.fixture(scope="module")
def library(www: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory that the x86_64 release zip unpacks to."""
    target = tmp_path_factory.mktemp("libvosk")
    with zipfile.ZipFile(www / "vosk-api/v0.3.45/vosk-linux-x86_64-0.3.45.zip") as archive:
        archive.extractall(target)
    return target / "vosk-linux-x86_64-0.3.45"


def _unpacked_model(www: Path, name: str, target: Path) -> Path:
    with zipfile.ZipFile(www / f"vosk/models/{name}.zip") as archive:
        archive.extractall(target)
    [top] = target.iterdir()
    assert top.name == name
    return top


def _load(library: Path, model: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", LOADER, str(library / "libvosk.so"), str(model)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("name", [models.SMALL, models.LARGE])
def test_libvosk_loads_the_model_and_decodes_with_it(
    name: str, www: Path, library: Path, tmp_path: Path
) -> None:
    outcome = _load(library, _unpacked_model(www, name, tmp_path))
    assert outcome.returncode == 0, outcome.stderr
    assert set(json.loads(outcome.stdout)["text"].split()) == {"hello"}


@pytest.mark.parametrize("file", ["graph/HCLG.fst", "am/final.mdl", "conf/mfcc.conf"])
def test_libvosk_refuses_a_model_that_lacks_a_file(
    file: str, www: Path, library: Path, tmp_path: Path
) -> None:
    model = _unpacked_model(www, models.SMALL, tmp_path)
    (model / file).unlink()
    assert _load(library, model).returncode == 3


def test_padding_has_the_requested_size() -> None:
    members = models.padding(models.LARGE, 8)
    sizes = {name: sum(map(len, member.content)) for name, member in members.items()}  # type: ignore[arg-type]
    assert sum(sizes.values()) == 8 << 20
    assert max(sizes.values()) == 5 << 20


def test_models_have_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        models.part(models.LARGE, 2).make(tmp_path / name)
    path = f"vosk/models/{models.LARGE}.zip"
    assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes()


def _declared() -> set[str]:
    return set(re.findall(r"\b(vosk_\w+)\(", vosk.HEADER.read_text()))


def _exported(library: Path) -> set[str]:
    # The names are in the dynamic string table; C++ names are mangled and do not match.
    return {name.decode() for name in re.findall(rb"\0(vosk_[a-z_]+)(?=\0)", library.read_bytes())}


def test_vosk_header_declares_what_libvosk_exports(library: Path) -> None:
    assert _declared() == _exported(library / "libvosk.so")
    assert len(_declared()) == 36


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler on this machine")
def test_libvosk_links_with_a_c_program(www: Path, library: Path, tmp_path: Path) -> None:
    source, program = tmp_path / "program.c", tmp_path / "program"
    source.write_text(PROGRAM)
    strict = ["-Wall", "-Wextra", "-Werror", "-pedantic"]
    paths = [f"-I{library}", f"-L{library}", f"-Wl,-rpath,{library}"]
    subprocess.run(["cc", *strict, str(source), *paths, "-lvosk", "-o", str(program)], check=True)
    model = _unpacked_model(www, models.SMALL, tmp_path / "model")
    outcome = subprocess.run([str(program), str(model)], capture_output=True, text=True, check=True)
    assert outcome.stdout == "1\n"


def test_libvosk_for_arm_is_for_arm(www: Path) -> None:
    path = "vosk-linux-aarch64-0.3.45/libvosk.so"
    with zipfile.ZipFile(www / "vosk-api/v0.3.45/vosk-linux-aarch64-0.3.45.zip") as archive:
        head = archive.open(path).read(20)
    assert head[:4] == b"\x7fELF"
    assert int.from_bytes(head[18:20], "little") == 183, "EM_AARCH64"
