"""A style in Streamlit's page itself, for what Streamlit draws before any style of the script arrives."""

from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Message, Scope, Send

# Streamlit draws the sidebar open in a window of this width; app/components/narrow_window.js closes it.
STYLE = (
    b"<style>@media (max-width: 899.98px) {"
    b" :root:not([data-sidebar-seen]) [data-testid=stSidebar] { display: none } }</style>"
)


def asks_for_page(scope: Scope) -> bool:
    """Whether a browser asks for a page, not for a file, a script or a picture."""
    return scope["method"] == "GET" and "text/html" in Headers(scope=scope).get("accept", "")


def uncompressed(scope: Scope) -> Scope:
    """The request, as one of a browser that does not take a compressed answer."""
    return {**scope, "headers": [pair for pair in scope["headers"] if pair[0] != b"accept-encoding"]}


def with_style(send: Send) -> Send:
    """`send`, with `STYLE` at the end of the head of an HTML page."""
    start: Message | None = None
    body = b""

    async def sending(message: Message) -> None:
        nonlocal start, body
        if message["type"] == "http.response.start" and _is_html(message):
            start = message  # its length is known once the body is
        elif start and message["type"] == "http.response.body":
            body += message.get("body", b"")
            if message.get("more_body"):
                return
            page, start["headers"] = body.replace(b"</head>", STYLE + b"</head>", 1), list(start["headers"])
            MutableHeaders(scope=start)["content-length"] = str(len(page))
            await send(start)
            await send({"type": "http.response.body", "body": page})
        else:
            await send(message)

    return sending


def _is_html(message: Mapping) -> bool:
    return Headers(raw=list(message["headers"])).get("content-type", "").startswith("text/html")


__all__ = ["STYLE", "asks_for_page", "uncompressed", "with_style"]
