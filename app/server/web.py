"""Runs the app as a server: with its settings from whatever folder it is started, and calling nobody."""

import asyncio
import os
import re
import sys
import tomllib
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import streamlit as st
from starlette.middleware import Middleware
from streamlit import net_util, runtime

from app.server.gate import Gate, answered_hosts, heads

MAIN = Path(sys.modules[__package__.partition(".")[0]].__file__).parent / "main.py"
"""The script that Streamlit runs: app/main.py, or that of the installed package."""
SETTINGS = Path(__file__).parents[1] / ".streamlit" / "config.toml"
"""Streamlit also finds them here, beside the script that it runs, whatever folder it is started in."""
FRAMED_VARIABLE = "VERSATILEFFN_FRAMED_BY"
"""Environment variable with the origin of a site that may show the app in a frame, such as https://huggingface.co."""
SWEEP_S = 60
"""How often what closed sessions left is let go of."""


def run(address: str, port: int, hosts: Iterable[str] = ()) -> None:
    """Serve the app until it is stopped; `hosts` are more names under which it may be asked (`answered_hosts`)."""
    call_nobody()
    main = str(MAIN)
    framed_by = os.environ.get(FRAMED_VARIABLE, "")
    heads(framed_by)  # refused before the server starts
    gate = Middleware(Gate, hosts=answered_hosts(address, hosts), held=held_bytes, framed_by=framed_by)
    sys.argv = [main]  # what Streamlit takes for the launcher, beside which it looks for modules
    app = st.App(main, middleware=[gate], lifespan=sweeping)
    app.run(config=settings() | {"server.address": address, "server.port": port})


def settings() -> dict[str, Any]:
    """The project's settings, but those that an environment variable of Streamlit's changes (STREAMLIT_SERVER_...)."""
    found = _flat(tomllib.loads(SETTINGS.read_text(encoding="utf-8")))
    return {name: value for name, value in found.items() if variable_of(name) not in os.environ}


def variable_of(name: str) -> str:
    """The environment variable of a setting: STREAMLIT_SERVER_MAX_UPLOAD_SIZE of server.maxUploadSize."""
    return "STREAMLIT_" + re.sub(r"(?<=[a-z])(?=[A-Z])|\.", "_", name).upper()


def _flat(table: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in table.items():
        flat |= _flat(value, f"{before}{name}.") if isinstance(value, Mapping) else {before + name: value}
    return flat


def call_nobody() -> None:
    """Keep Streamlit from asking others for this machine's address.

    It does so where it starts, and, on the loop that serves everybody, whenever a page of another origin wants to
    connect: where names are not resolved, all visitors then wait for seconds.
    """
    net_util.get_external_ip = net_util.get_internal_ip = lambda: None


def held_bytes(session: str) -> int:
    """Bytes of the files that a session has uploaded and not removed."""
    files = runtime.get_instance().uploaded_file_mgr.file_storage.get(session, {})
    return sum(len(file.data) for file in list(files.values()))


@asynccontextmanager
async def sweeping(app: st.App) -> AsyncIterator[None]:
    """Let go of what closed sessions left, again and again, while the server runs."""
    task = asyncio.create_task(_sweep_for_ever())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _sweep_for_ever() -> None:
    while True:
        await asyncio.sleep(SWEEP_S)
        sweep()


def sweep() -> None:
    """Close the sessions that nobody came back to, and drop the files that no session shows any more.

    Streamlit does both only when something else happens, and drops what was offered for download in two steps.
    """
    server = runtime.get_instance()
    for _, left in server._session_mgr._session_storage._cache.expire():
        left.session.shutdown()
    server.media_file_mgr.remove_orphaned_files()


__all__ = ["run"]
