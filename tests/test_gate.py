"""The server itself: which hosts it answers, what a session may upload, whom it calls, and what it lets go of."""

import asyncio
import os
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest
import streamlit
from streamlit import config, net_util, runtime
from streamlit.runtime.media_file_manager import MediaFileManager
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage
from streamlit.runtime.memory_session_storage import MemorySessionStorage
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFileRec
from streamlit.web.server import server_util

from app.limits import MAX_SESSION_MB, MAX_TRACE_MB
from app.server import web
from app.server.first_paint import STYLE
from app.server.gate import HEADERS, Gate, answered_hosts, heads
from tests.threads import run_in_thread

ROOT = Path(__file__).parents[1]
MB = 2**20


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.5", "localhost", "::1"])
def test_server_for_this_machine_answers_to_its_loopback_names_and_those_it_was_given(address):
    assert answered_hosts(address) == {"localhost", "127.0.0.1", "::1", address}
    assert "explorer.example.org" in answered_hosts(address, ["Explorer.Example.org"])


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.168.0.7", "explorer.example.org"])
def test_server_for_others_answers_to_all_names_unless_it_was_given_some(address):
    assert answered_hosts(address) is None
    assert answered_hosts(address, ["a.example"]) == {"localhost", "127.0.0.1", "::1", "a.example", address}


def answer(gate: Gate, **request) -> dict:
    """The head of the gate's answer to a request: its first message."""
    return messages(gate, **request)[0]


def messages(gate: Gate, *, method="GET", path="/", kind="http", body_is_read=True, **headers) -> list[dict]:
    """All messages of the gate's answer to a request."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": kind, "method": method, "path": path, "headers": named, "query_string": b"", "extensions": {}}
    # In a thread of its own: in this one the loop of a browser test may be running.
    run_in_thread(lambda: asyncio.run(gate(scope, receive, send))).result(10)
    return sent


async def everything(scope, receive, send):
    """An app that says yes to every request."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"yes"})


def private(held: int = 0) -> Gate:
    return Gate(everything, answered_hosts("127.0.0.1"), lambda session: held)


@pytest.mark.parametrize("host", ["localhost:8501", "127.0.0.1:8501", "[::1]:8501", "LOCALHOST", "a.localhost:1"])
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_request_for_this_machine_is_answered(host, kind):
    assert answer(private(), host=host, kind=kind).get("status", 200) == 200


@pytest.mark.parametrize(
    "host", ["rebound.example:8501", "127.0.0.1.example", "", "localhost.example", "[::2]:1", ":80"]
)
def test_request_for_another_name_is_refused(host):
    assert answer(private(), host=host)["status"] == 400
    assert answer(private(), host=host, kind="websocket")["type"] in (
        "websocket.close",
        "websocket.http.response.start",
    )


def test_public_server_answers_to_any_name():
    assert answer(Gate(everything, None, lambda session: 0), host="explorer.example.org")["status"] == 200


def test_answers_keep_browsers_from_loading_anything_from_elsewhere():
    head = {name.decode(): value.decode() for name, value in answer(private(), host="localhost")["headers"]}
    assert head == {name.lower(): value for name, value in HEADERS.items()}
    policy = dict(part.split(maxsplit=1) for part in head["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == "'self'"
    assert not any("http" in sources or "*" in sources for sources in policy.values())


def test_one_site_may_be_allowed_to_frame_the_pages():
    framed = Gate(everything, None, lambda session: 0, framed_by="https://host.example:8443")
    head = {name.decode(): value.decode() for name, value in answer(framed, host="localhost")["headers"]}
    assert "x-frame-options" not in head
    assert head["content-security-policy"].endswith("; frame-ancestors 'self' https://host.example:8443")
    for origin in ("https://a.example; script-src *", "host.example", "https://*"):
        with pytest.raises(ValueError, match="an origin is written as"):
            heads(origin)


UPLOAD = dict(method="PUT", path="/_stcore/upload_file/one/file", host="localhost")


def test_session_may_upload_up_to_its_limit_and_no_more():
    room = str(19 * MB)
    assert answer(private(), **UPLOAD, content_length=room)["status"] == 200
    assert answer(private(held=(MAX_SESSION_MB - 19) * MB), **UPLOAD, content_length=room)["status"] == 200
    assert answer(private(held=(MAX_SESSION_MB - 19) * MB + 1), **UPLOAD, content_length=room)["status"] == 413
    assert answer(private(held=MAX_SESSION_MB * MB), **UPLOAD | {"method": "DELETE"})["status"] == 200


@pytest.mark.parametrize("length", [{}, {"content_length": "-1"}, {"content_length": "9" * 400}])
def test_upload_that_does_not_say_its_size_counts_as_the_largest(length):
    assert answer(private(held=(MAX_SESSION_MB - MAX_TRACE_MB) * MB), **UPLOAD, **length)["status"] == 413


def test_uploads_under_way_count_and_are_forgotten_afterwards():
    gate, statuses = private(), []

    async def begin() -> int:
        sent = []

        async def send(message):
            sent.append(message)

        named = [(b"host", b"localhost"), (b"content-length", str(19 * MB).encode())]
        await gate({"type": "http", "method": "PUT", "path": UPLOAD["path"], "headers": named}, None, send)
        return sent[0]["status"]

    async def slow(scope, receive, send):
        statuses.append(await begin())  # the next one comes while this one is read
        await everything(scope, receive, send)

    gate.app = slow
    assert run_in_thread(lambda: asyncio.run(begin())).result(10) == 200
    assert statuses == [413, 200, 200], "three of 19 MB are let in, the fourth is not"
    assert not gate._coming


def test_bytes_that_a_session_holds_are_counted(monkeypatch):
    held = MemoryUploadedFileManager("/upload")
    monkeypatch.setattr(runtime, "get_instance", lambda: SimpleNamespace(uploaded_file_mgr=held))
    assert web.held_bytes("one") == 0 and not held.file_storage
    held.add_file("one", UploadedFileRec("a", "a.csv", "text/csv", bytes(7)))
    held.add_file("one", UploadedFileRec("b", "b.csv", "text/csv", bytes(5)))
    assert (web.held_bytes("one"), web.held_bytes("two")) == (12, 0)


def test_closed_session_and_its_downloads_are_let_go(monkeypatch):
    closed, files = [], MediaFileManager(MemoryMediaFileStorage("/media"))
    files.add(b"zip", "application/zip", "1.0", file_name="all.zip", is_for_static_download=True)
    session = SimpleNamespace(id="one", shutdown=lambda: (closed.append("one"), files.clear_session_refs()))
    storage = MemorySessionStorage(ttl_seconds=0)
    storage.save(SimpleNamespace(session=session))
    server = SimpleNamespace(_session_mgr=SimpleNamespace(_session_storage=storage), media_file_mgr=files)
    monkeypatch.setattr(runtime, "get_instance", lambda: server)
    web.sweep()
    web.sweep()
    assert closed == ["one"] and not files._file_metadata


def test_foreign_origin_is_refused_without_asking_anybody(monkeypatch):
    def ask(*arguments, **how):
        raise AssertionError("it asked the network")

    monkeypatch.setattr(net_util, "get_external_ip", net_util.get_external_ip)  # put back afterwards
    monkeypatch.setattr(net_util, "get_internal_ip", net_util.get_internal_ip)
    monkeypatch.setattr(net_util, "_make_blocking_http_get", ask)
    monkeypatch.setattr(socket, "socket", ask)
    web.call_nobody()
    assert not server_util.is_url_from_allowed_origins("http://elsewhere.example")


def test_settings_of_the_project_hold_from_any_folder(monkeypatch, tmp_path):
    """They are given to Streamlit by name; a setting in the environment stays what it is there."""
    given = {}

    class FakeApp:
        def __init__(self, main, **parts):
            given["parts"] = parts

        def run(self, config):
            given["config"] = config

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(streamlit, "App", FakeApp)
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(web, "call_nobody", lambda: None)
    monkeypatch.setenv("STREAMLIT_SERVER_MAX_UPLOAD_SIZE", "50")
    web.run("127.0.0.1", 8501)
    written = tomllib.loads((ROOT / "app" / ".streamlit" / "config.toml").read_text())
    found = given["config"]
    assert "server.maxUploadSize" not in found
    assert found["server.enableXsrfProtection"] is True and found["server.fileWatcherType"] == "none"
    assert found["theme.dark.sidebar.backgroundColor"] == written["theme"]["dark"]["sidebar"]["backgroundColor"]
    assert all(config._config_options_template[name].env_var == web.variable_of(name) for name in found)


def test_server_started_elsewhere_answers_to_this_machine_alone(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "config.json").write_text("[" * 10**5)
    command = [sys.executable, "-m", "app", "serve", "--port", str(port), "--models", str(tmp_path)]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        assert wait_for(f"http://127.0.0.1:{port}/_stcore/health") == 200
        asked = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"Host": "rebound.example"})
        with pytest.raises(urllib.error.HTTPError, match="400"):
            urllib.request.urlopen(asked, timeout=20)
        began = time.monotonic()
        assert handshake(port, origin="http://elsewhere.example").startswith("HTTP/1.1 403")
        assert handshake(port, origin=f"http://127.0.0.1:{port}").startswith("HTTP/1.1 101")
        assert handshake(port, origin="http://a.example", host="a.example").startswith("HTTP/1.1 400")
        assert time.monotonic() - began < 5, "nobody was asked for an address"
    finally:
        server.terminate()
        server.wait(20)
    told = (tmp_path / "log").read_text()
    assert "skipped: " in told and "strange/config.json is not readable JSON" in told


def wait_for(url: str) -> int:
    deadline = time.monotonic() + 60
    while True:
        try:
            return urllib.request.urlopen(url, timeout=1).status
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def handshake(port: int, *, origin: str, host: str = "127.0.0.1") -> str:
    """The first line of the answer to a WebSocket's handshake."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as wire:
        wire.sendall(
            f"GET /_stcore/stream HTTP/1.1\r\nHost: {host}:{port}\r\nOrigin: {origin}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            "\r\n".encode()
        )
        return wire.recv(200).decode(errors="replace").partition("\r\n")[0]


@pytest.mark.parametrize("parts", [[b"<html><head></head>..</html>"], [b"<html><he", b"ad></head>.", b".</html>"]])
def test_page_has_the_style_for_what_is_drawn_first_and_no_other_answer_has(parts):
    whole, kind = b"".join(parts), b"text/html; charset=utf-8"

    async def serving(scope, receive, send):
        assert (b"accept-encoding", b"gzip") not in scope["headers"] or scope["path"] == "/a.js"
        length = str(len(whole)).encode()
        headers = [(b"content-type", kind if scope["path"] == "/" else b"text/plain"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for i, part in enumerate(parts):
            await send({"type": "http.response.body", "body": part, "more_body": i < len(parts) - 1})

    for path, accept in (("/", "text/html,*/*"), ("/a.js", "*/*"), ("/text", "text/html")):
        sent = messages(Gate(serving, None, lambda session: 0), path=path, accept=accept, accept_encoding="gzip")
        body = b"".join(each["body"] for each in sent[1:])
        assert body == (whole.replace(b"</head>", STYLE + b"</head>") if path == "/" else whole)
        assert dict(sent[0]["headers"])[b"content-length"] == str(len(body)).encode()
