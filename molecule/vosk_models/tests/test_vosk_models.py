"""Models that the real library loads and that no job can alter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from testinfra.host import Host

MODELS = "/usr/local/share/vosk-models"
SMALL = "vosk-model-small-en-us-0.15"
PROGRAM = r"""
#include <stdio.h>
#include <vosk_api.h>
int main(int count, char **words) {
    vosk_set_log_level(-1);
    VoskModel *model = vosk_model_new(words[1]);
    if (count < 2 || model == NULL) return 1;
    VoskRecognizer *recognizer = vosk_recognizer_new(model, 16000);
    short silence[16000] = {0};
    vosk_recognizer_accept_waveform_s(recognizer, silence, 16000);
    puts(vosk_recognizer_final_result(recognizer));
    return 0;
}
"""


def wanted(hostvars: dict[str, Any]) -> list[str]:
    """Return the models that the inventory gives this host."""
    return [name for name in hostvars["vosk_model_catalogue"] if name in str(hostvars["vosk_models_models"])]


def test_models_load_in_the_real_library(as_user: Callable[..., str], hostvars: dict[str, Any]) -> None:
    build = f"cat > a.c <<'END'{PROGRAM}END\ncc a.c -lvosk -o a"
    assert SMALL in wanted(hostvars)
    for model in wanted(hostvars):
        assert '"text"' in as_user(f"{build} && ./a {MODELS}/{model}")


def test_model_checksums_agree(host: Host) -> None:
    done = host.run("cd /var/cache/coldvox-ci && sha256sum --check --quiet checksums.txt")
    assert done.rc == 0, done.stdout + done.stderr


def test_model_cannot_be_altered_by_a_job(refused: Callable[..., None]) -> None:
    refused(f"echo planted >> {MODELS}/{SMALL}/conf/model.conf")
    refused(f"touch {MODELS}/{SMALL}/planted")
    refused(f"rm {MODELS}/{SMALL}")
    refused("touch /var/cache/coldvox-ci/planted")
