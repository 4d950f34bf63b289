"""One request for a url from an offset; no retries.

urllib serves http and https, and open serves file.
"""

from __future__ import annotations

import http.client
import io
import os
import re
import socket
import ssl
import time
import urllib.error
import urllib.request
from email.message import Message
from typing import IO, Any, NamedTuple, Optional, Protocol
from urllib.parse import unquote, urlsplit

from .artifact import public_url


class Origin(NamedTuple):
    """The source of partial bytes.

    With it a later request can ask for the rest of the same file. ``validator`` is a strong ETag or a
    Last-Modified date, fit for If-Range (RFC 9110, 13.1.5).
    """

    url: str = ""
    validator: str = ""
    total: Optional[int] = None


_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_UNSATISFIED = re.compile(r"bytes \*/(\d+)")
_RETRIED_STATUSES = (408, 425, 429, 500, 502, 503, 504)
_USER_AGENT = "coldvox.ci artifact store"
# No useful download ends at a lower speed.
_FLOOR_BYTES_PER_SECOND = 1024


class FetchError(Exception):
    """One request failed, for the reason in its text, which is a phrase.

    ``retry``: the same url may work in a moment. ``wait_seconds``: how long the server asks to wait.
    ``changed``: the bytes already here belong to another file. ``slow``: too few bytes came to count as
    progress.
    """

    def __init__(
        self,
        reason: str,
        *,
        retry: bool,
        wait_seconds: float = 0.0,
        changed: bool = False,
        slow: bool = False,
    ) -> None:
        super().__init__(reason)
        self.retry = retry
        self.wait_seconds = wait_seconds
        self.changed = changed
        self.slow = slow


class Floor:
    """A limit for a server that sends a few bytes now and then and never ends.

    Each window of ``window_seconds`` must bring 1 KiB per second on average. Times are of one monotonic
    clock.
    """

    def __init__(self, window_seconds: float, now: float) -> None:
        self._window_seconds = window_seconds
        self._began = now
        self._bytes = 0

    def count(self, size: int, now: float) -> None:
        """Count ``size`` bytes that came by ``now``.

        Raises FetchError after a window with too few.
        """
        self._bytes += size
        elapsed = now - self._began
        if elapsed < self._window_seconds:
            return
        # Compare with the window, not with elapsed time: a suspended process receives fewer bytes.
        if self._bytes < _FLOOR_BYTES_PER_SECOND * self._window_seconds:
            raise FetchError(
                f"only {self._bytes} bytes came in {elapsed:.3g} s, and less than 1 KiB/s is given up",
                retry=True,
                slow=True,
            )
        self._began, self._bytes = now, 0


class _Counted(io.RawIOBase):
    """The bytes that ``raw`` receives, counted.

    Headers and chunk lengths must not come too slowly either.
    """

    def __init__(self, raw: io.RawIOBase, floor: Floor) -> None:
        self._raw = raw
        self._floor = floor

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> Optional[int]:
        count = self._raw.readinto(buffer)
        if count:
            self._floor.count(count, time.monotonic())
        return count

    def fileno(self) -> int:
        return self._raw.fileno()

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    """An answer that fails when any part of it comes too slowly.

    This includes headers and chunk lengths.
    """

    def __init__(self, sock: socket.socket, *more: Any, **options: Any) -> None:
        super().__init__(sock, *more, **options)
        seconds = sock.gettimeout()
        if seconds:
            # Twice the time that a server may take before its first byte.
            floor = Floor(2 * seconds, time.monotonic())
            self.fp = io.BufferedReader(_Counted(self.fp.detach(), floor))


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_answering(http.client.HTTPConnection), req)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_answering(http.client.HTTPSConnection), req)


def _answering(kind: type[http.client.HTTPConnection]) -> Any:
    """Return a function that makes a connection of ``kind`` whose answers are counted."""

    def made(*details: Any, **options: Any) -> http.client.HTTPConnection:
        connection = kind(*details, **options)
        connection.response_class = _Answer
        return connection

    return made


class _Readable(Protocol):
    def read1(self, size: int = ..., /) -> bytes: ...
    def close(self) -> None: ...


class Opened(NamedTuple):
    """An answer ready to be read.

    ``offset`` is the place of its first byte; ``total`` the whole length, None if the server does not state
    it. ``doubt`` is a phrase about a header that says that these are other bytes. Only the digest decides:
    servers send correct bytes with a wrong Content-Encoding (flatpak-external-data-checker issue 279).
    """

    stream: _Readable
    offset: int
    origin: Origin
    doubt: str = ""

    @property
    def total(self) -> Optional[int]:
        return self.origin.total


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to an unencrypted url.

    urllib stops at ten.
    """

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> Optional[urllib.request.Request]:
        scheme = urlsplit(newurl).scheme
        if scheme not in ("http", "https") or (req.type == "https" and scheme != "https"):
            raise FetchError(
                f"it redirects from {req.type} to {public_url(newurl)}, which is not safe", retry=False
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _strong_validator(headers: Message) -> str:
    etag = headers.get("ETag", "")
    if etag and not etag.startswith("W/"):
        return etag
    return headers.get("Last-Modified", "")


def _retry_after(headers: Optional[Message]) -> float:
    value = (headers.get("Retry-After", "") if headers else "").strip()
    return float(value) if value.isdigit() else 0.0


def open_url(url: str, offset: int, origin: Origin, timeout_seconds: float) -> Opened:
    """Open ``url`` and ask for the bytes from ``offset`` on.

    The answer may still begin at 0. ``origin`` is the source of the bytes already here: with its validator
    the server itself makes sure that the rest belongs to them. Another url has no validator, so length and
    digest have to prove it. Raises FetchError.
    """
    if urlsplit(url).scheme == "file":
        return _open_file(url)
    request = urllib.request.Request(url, headers={"User-Agent": _USER_AGENT, "Accept-Encoding": "identity"})  # noqa: S310
    if offset:
        request.add_header("Range", f"bytes={offset}-")
        if origin.url == url and origin.validator:
            request.add_header("If-Range", origin.validator)
    try:
        answer = urllib.request.build_opener(_SafeRedirects, _Http, _Https).open(
            request, timeout=timeout_seconds
        )
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and offset:
                return _complete_or_changed(error.headers, offset, origin)
            raise _status_error(error) from error
    except (OSError, http.client.HTTPException) as error:
        raise network_error(error, timeout_seconds) from error
    return _judge(answer, url, offset, origin)


def _status_error(error: urllib.error.HTTPError) -> FetchError:
    # The server's own text, or for a loop urllib's of several lines: keep one printable line.
    reason = " ".join(str(error.reason).split())[:120].encode("ascii", "replace").decode()
    return FetchError(
        f"the server answered {error.code} {reason}",
        retry=error.code in _RETRIED_STATUSES,
        wait_seconds=_retry_after(error.headers),
    )


def _complete_or_changed(headers: Message, offset: int, origin: Origin) -> Opened:
    """Return the answer to a 416.

    It is the end of the file if ``offset`` is its length; otherwise this raises FetchError.
    """
    match = _UNSATISFIED.fullmatch(headers.get("Content-Range", ""))
    if match and int(match.group(1)) == offset:
        return Opened(_Nothing(), offset, origin._replace(total=offset))
    raise FetchError("the file on the server changed", retry=True, changed=True)


class _Nothing:
    """A stream at its end."""

    def read1(self, _size: int = -1, /) -> bytes:
        return b""

    def close(self) -> None:
        return None


def _judge(answer: http.client.HTTPResponse, url: str, offset: int, origin: Origin) -> Opened:
    headers = answer.headers
    validator = _strong_validator(headers)
    length = headers.get("Content-Length", "")
    doubt = _doubt(headers)
    if answer.status != 206:
        return Opened(answer, 0, Origin(url, validator, int(length) if length.isdigit() else None), doubt)
    match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    total = int(match.group(3)) if match and match.group(3) != "*" else None
    same_file = origin.url != url or not origin.validator or not validator or origin.validator == validator
    same_length = origin.total is None or total is None or origin.total == total
    if not match or int(match.group(1)) != offset or not same_file or not same_length:
        answer.close()
        raise FetchError("the file on the server changed between two requests", retry=True, changed=True)
    return Opened(answer, offset, Origin(url, validator or origin.validator, total or origin.total), doubt)


def _doubt(headers: Message) -> str:
    if headers.get_content_type() == "text/html":
        return "a web page instead of the file"
    encoding = headers.get("Content-Encoding", "identity").lower()
    printable = "".join(filter(str.isprintable, encoding))[:40]
    return "" if encoding in ("", "identity") else f"sent with Content-Encoding {printable}"


def _open_file(url: str) -> Opened:
    path = unquote(urlsplit(url).path)
    try:
        stream = open(path, "rb")  # noqa: SIM115  # the caller closes it
        total = os.fstat(stream.fileno()).st_size
    except OSError as error:
        raise FetchError(f"{path} cannot be read ({error.strerror})", retry=False) from error
    return Opened(stream, 0, Origin(url, "", total))


def network_error(error: Exception, timeout_seconds: float) -> FetchError:
    """Return the FetchError for a network ``error``."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return FetchError(f"its certificate is not accepted ({cause.verify_message})", retry=False)
    if isinstance(cause, TimeoutError):  # socket.timeout is the same class from Python 3.10 on
        return FetchError(f"no byte came for {timeout_seconds:g} s", retry=True)
    if isinstance(cause, OSError) and "timed out" in str(cause):
        return FetchError(f"no byte came for {timeout_seconds:g} s", retry=True)
    if isinstance(cause, OSError):
        return FetchError(f"{cause.strerror or cause}", retry=True)
    return FetchError(f"{cause or type(cause).__name__}", retry=True)
