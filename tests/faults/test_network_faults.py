"""Servers that break, stall and send false answers: no wrong byte is published."""

from __future__ import annotations

import gzip
import socket
from pathlib import Path
from typing import Any, NamedTuple, Optional

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError

from tests._support.fault_server import FaultServer, install, model_zip, noise, wanted

BODY = model_zip("network", 400_000)
PAGE = b"<html><title>Please log in</title></html>"


PASSING = ("408", "429", "500", "502", "503", "504")


class Case(NamedTuple):
    """The behaviour of ``/m.zip`` and the words of the refusal.

    None where the download succeeds all the same.
    """

    page: dict[str, Any]
    refusal: Optional[str] = None
    body: bytes = BODY


def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


CASES = {
    **{f"21 {status} and then well": Case({"faults": [status]}) for status in PASSING},
    "21 500 for ever": Case({"faults": ["500"] * 50}, "the server answered 500"),
    "21 503 with Retry-After": Case({"faults": ["503"], "headers": {"Retry-After": "1"}}),
    "21 404": Case({"faults": ["404"] * 9}, "the server answered 404"),
    "21 403": Case({"faults": ["403"] * 9}, "the server answered 403"),
    "22 stall": Case({"faults": ["stall:0"] * 50}, "no byte came for 0.3 s"),
    "22 stall again and again, with bytes between": Case({"faults": ["stall:100000"] * 50}),
    "22 stall and then well": Case({"faults": ["stall:100000"]}),
    "22 drip": Case({"rate": 200}, "less than 1 KiB/s is given up"),
    "23 reset": Case({"faults": ["reset:100000", "reset:50000", "break:0", "reset:1"]}),
    "23 broken at every step": Case({"faults": [f"break:{size}" for size in range(1000, 20000, 1000)]}),
    "24 ignores Range": Case({"faults": ["break:100000"], "ranges": False}),
    "24 ignores Range twice": Case({"faults": ["break:100000", "reset:300000"], "ranges": False}),
    "24 wrong Content-Range": Case(
        {"faults": ["break:100000"], "headers": {"Content-Range": "bytes 5-9/10"}}
    ),
    "24 Content-Range without sense": Case(
        {"faults": ["break:100000"], "headers": {"Content-Range": "bytes all/of it"}}
    ),
    "24 another length in Content-Range": Case(
        {"faults": ["break:100000"], "headers": {"Content-Range": "bytes 100000-9/12345678"}}
    ),
    "26 length too short": Case({"length": 1000}, "wrong checksum"),
    # All bytes have arrived when the connection ends; the server answers 416 to a request for more.
    "24 26 length too long, then 416": Case({"length": len(BODY) + 1, "faults": ["break:9999999"]}),
    "26 no length": Case({"length": -1}),
    "26 Content-Encoding gzip": Case(
        {"headers": {"Content-Encoding": "gzip"}}, "sent with Content-Encoding gzip", gzip.compress(BODY)
    ),
    # Correct bytes with a wrong header, as Amazon S3 and others send them: the digest decides.
    **{
        f"26 Content-Encoding {encoding} of correct bytes": Case({"headers": {"Content-Encoding": encoding}})
        for encoding in ("x-gzip", "gzip", "aws-chunked", "zip, br", "")
    },
    "26 Content-Encoding x-gzip, resumed": Case(
        {"headers": {"Content-Encoding": "x-gzip"}, "faults": ["break:100000"]}
    ),
    "29 correct bytes as a web page": Case({"headers": {"Content-Type": "text/html"}}),
    "27 redirect loop": Case({"location": "/m.zip"}, "redirect"),
    "27 redirect to a file": Case({"location": "file:///etc/passwd"}, "not allowed"),
    "27 redirect to ftp": Case({"location": "ftp://127.0.0.1/m.zip"}, "not safe"),
    "29 a web page with 200": Case({"headers": {"Content-Type": "text/html"}}, "a web page instead", PAGE),
    "30 other bytes": Case({}, "wrong checksum, expected sha256", model_zip("other")),
    "31 right size, wrong bytes": Case({}, "wrong checksum, expected sha256", BODY[:-1] + b"?"),
    "31 no bytes at all": Case({}, "wrong checksum", b""),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_download_from_a_bad_server_is_right_or_refused(server: FaultServer, root: Path, case: Case) -> None:
    url = server.serve("/m.zip", case.body, **{**case.page, "faults": list(case.page.get("faults", []))})
    artifact = wanted("m", url, BODY, kind="model", strip_components=1)
    if case.refusal is None:
        report = install(root, artifact, timeout_seconds=0.3)
        assert report.results[0].outcome == "fetched"
    else:
        with pytest.raises(CiError) as caught:
            install(root, artifact, timeout_seconds=0.3)
        assert case.refusal in str(caught.value)
        assert "\n" not in str(caught.value)
        assert server.count("/m.zip") <= 60
        assert list((root / "trees").iterdir()) == list((root / "staging").iterdir()) == []
        # The next run, with a sound server, starts over or continues, and succeeds.
        server.serve("/m.zip", BODY)
        install(root, artifact)
    assert (root / "models" / "m" / "am" / "final.mdl").read_bytes() == noise(400_000, "network")


def test_download_reports_a_closed_port_and_an_unknown_name(server: FaultServer, root: Path) -> None:
    dead = [f"http://127.0.0.1:{closed_port()}/m.zip", "http://no-such-host.invalid/m.zip"]
    with pytest.raises(CiError) as caught:
        install(root, wanted("m", dead, BODY))
    assert "Connection refused" in str(caught.value)
    assert "no-such-host.invalid" in str(caught.value)
    url = server.serve("/m.zip", BODY)
    assert install(root, wanted("m", [*dead, url], BODY)).results[0].source_url == url


@pytest.mark.parametrize("etags", [('"one"', '"two"'), (None, None), ('W/"a"', 'W/"b"')], ids=str)
def test_download_starts_over_when_the_file_changes(
    server: FaultServer, root: Path, etags: tuple[Optional[str], Optional[str]]
) -> None:
    """Change the file after half of it has arrived; mostly its tag changes too."""
    old, new = model_zip("old", 400_000), BODY
    url = server.serve("/m.zip", old, etag=etags[0], faults=["break:100000", *["503"] * 3])
    artifact = wanted("m", url, new, kind="model", strip_components=1)
    with pytest.raises(CiError):
        install(root, artifact)
    assert (root / "partial").exists()
    server.serve("/m.zip", new, etag=etags[1])
    assert install(root, artifact).results[0].outcome == "fetched"
