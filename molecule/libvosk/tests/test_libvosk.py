"""The library, which compiler, linker and loader find with -lvosk alone."""

from __future__ import annotations

from collections.abc import Callable

from testinfra.host import Host

PROGRAM = r"""
#include <stdio.h>
#include <vosk_api.h>
int main(void) {
    vosk_set_log_level(-1);
    puts(vosk_model_new("/nonexistent") == NULL ? "refused" : "loaded");
    return 0;
}
"""


def test_libvosk_links_into_a_c_program(as_user: Callable[..., str]) -> None:
    assert as_user(f"cat > a.c <<'END'{PROGRAM}END\ncc a.c -lvosk -o a && ./a") == "refused\n"


def test_libvosk_is_known_to_the_loader(host: Host) -> None:
    assert "libvosk.so" in host.check_output("ldconfig -p")


def test_libvosk_version_is_registered(host: Host) -> None:
    assert "0.3.45" in host.file("/etc/coldvox-ci/libvosk.json").content_string


def test_libvosk_cannot_be_replaced_by_a_job(refused: Callable[..., None]) -> None:
    refused("echo planted > $(readlink -f /usr/local/lib/libvosk.so)")
    refused("rm /usr/local/lib/libvosk.so")
