"""The gate before every request: which hosts are answered, how much one session may upload, and heads of answers.

A plain ASGI middleware. Streamlit has no limit of its own for what a session uploads.
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.limits import MAX_SESSION_MB, MAX_TRACE_MB
from app.server.first_paint import asks_for_page, uncompressed, with_style

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
UPLOAD = re.compile(r".*/_stcore/upload_file/([^/]+)/[^/]+")
# What Streamlit's page needs: its own files, inline styles, compiled templates, and modules from blobs.
POLICY = (
    "default-src 'self'",
    "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "media-src 'self' data: blob:",
    "font-src 'self' data:",
    "connect-src 'self' data: blob:",
    "worker-src 'self' blob:",
    "object-src 'none'",
    "base-uri 'self'",
    "form-action 'self'",
)
HEADERS = {
    "Content-Security-Policy": "; ".join((*POLICY, "frame-ancestors 'self'")),
    "X-Frame-Options": "SAMEORIGIN",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # an address may hold a text
}
"""Headers of every answer that lacks them: whatever a page holds, a browser loads nothing for it from elsewhere."""


def heads(framed_by: str = "") -> dict[str, str]:
    """`HEADERS`, for pages that the site with the origin `framed_by` may show in a frame of its own.

    Raises ValueError for what is no origin, which could say anything in a header.
    """
    if not framed_by:
        return HEADERS
    if not re.fullmatch(r"https?://[\w.-]+(:\d+)?", framed_by):
        raise ValueError(f"an origin is written as https://example.org, got {framed_by}")
    policy = "; ".join((*POLICY, f"frame-ancestors 'self' {framed_by}"))
    others = {name: value for name, value in HEADERS.items() if name != "X-Frame-Options"}  # it knows no origins
    return others | {"Content-Security-Policy": policy}


def answered_hosts(address: str, names: Iterable[str] = ()) -> frozenset[str] | None:
    """The names under which a server that listens at `address` is asked; None: under any.

    A page elsewhere can let its own name resolve to this machine (DNS rebinding), and would then read what is served.
    So a server for this machine only answers to its loopback names and the `names` that it was given; one for others
    does so if it was given any.
    """
    names = frozenset(name.lower().strip("[]") for name in names)
    try:
        private = address == "localhost" or ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        private = False
    return LOOPBACK | names | {address} if private or names else None


class Gate:
    """Lets requests through to `app` that ask for one of `hosts` and do not make a session hold too many uploads."""

    def __init__(
        self, app: ASGIApp, hosts: frozenset[str] | None, held: Callable[[str], int], framed_by: str = ""
    ) -> None:
        """`held(session)` is the number of bytes of the files that a session holds; `framed_by` as for `heads`."""
        self.app, self.hosts, self.held, self.headers = app, hosts, held, heads(framed_by)
        self._coming: Counter[str] = Counter()
        """Session -> bytes of the uploads that are under way."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if not self._answers(headers.get("host", "")):
            refused = PlainTextResponse("Start the server with --hosts NAME to let it answer to this name.", 400)
            await refused(scope, receive, send)
            return
        if scope["type"] == "http" and scope["method"] == "PUT" and (named := UPLOAD.fullmatch(scope["path"])):
            await self._upload(named.group(1), headers, scope, receive, send)
            return
        if scope["type"] == "http" and asks_for_page(scope):
            await self.app(uncompressed(scope), receive, with_style(with_headers(send, self.headers)))
            return
        await self.app(scope, receive, with_headers(send, self.headers))

    def _answers(self, host: str) -> bool:
        name = (host.rpartition(":")[0] if re.search(r":\d*$", host) else host).lower().strip("[]")
        return self.hosts is None or name in self.hosts or name.endswith(".localhost")

    async def _upload(self, session: str, headers: Headers, scope: Scope, receive: Receive, send: Send) -> None:
        length = headers.get("content-length", "")
        claimed = int(length) if length.isdecimal() and len(length) < 12 else (MAX_TRACE_MB + 1) * 2**20
        if self.held(session) + self._coming[session] + claimed > MAX_SESSION_MB * 2**20:
            refused = PlainTextResponse(f"A session may hold {MAX_SESSION_MB} MB of files; remove one file first.", 413)
            await refused(scope, receive, send)
            return
        self._coming[session] += claimed
        try:
            await self.app(scope, receive, with_headers(send, self.headers))
        finally:
            self._coming[session] -= claimed
            self._coming += Counter()  # drops what is zero


def with_headers(send: Send, added: Mapping[str, str]) -> Send:
    """`send`, with these headers in the answer's head, unless it has others of their names."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in added.items():
                headers.setdefault(name, value)
        await send(message)

    return sending


__all__ = ["Gate", "answered_hosts", "heads"]
