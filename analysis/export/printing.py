"""Printing: a report as PDF, by this machine's Chrome or Chromium, which can reach no network meanwhile."""

import asyncio
import base64
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from analysis.export.pictures import (
    NO_BROWSER_FOR_PDF,
    NO_KALEIDO_FOR_PDF,
    PictureError,
    browser_path,
    has_kaleido,
    offline_chromium,
)
from analysis.export.report_page import Report

LONGEST_S = 180
FOOTER = (
    '<div style="width:100%;text-align:center;font:8px Helvetica,Arial,sans-serif;color:#5B6570">'
    '<span class="pageNumber"></span> / <span class="totalPages"></span></div>'
)
DRAWN = """new Promise((tell) => {
  const look = () => {
    const told = document.documentElement.dataset.drawn;
    return told ? tell(told) : setTimeout(look, 50);
  };
  look();
})"""
"""JavaScript: waits for `report.js`, which says when all figures are drawn, or how many are not."""


def pdf(report: Report) -> bytes:
    """The report as a PDF of A4 pages. Raises PictureError, in a sentence, if no browser here prints it."""
    if not has_kaleido():
        raise PictureError(NO_KALEIDO_FOR_PDF)
    if (path := browser_path()) is None:
        raise PictureError(NO_BROWSER_FOR_PDF)
    from choreographer.errors import BrowserClosedError, BrowserFailedError, ChannelClosedError

    # A thread of its own, because an event loop may already run in the thread of a notebook or server.
    with ThreadPoolExecutor(1, "printing") as thread:
        printing = _printed(path, report.html(vectors=True))
        try:
            return thread.submit(asyncio.run, asyncio.wait_for(printing, LONGEST_S)).result()
        except (BrowserFailedError, BrowserClosedError, ChannelClosedError, TimeoutError) as error:
            raise PictureError(f"{path} did not print the report ({error or 'it took too long'})") from error


async def _printed(path: str, html: bytes) -> bytes:
    from choreographer import Browser

    async with Browser(path=path, browser_cls=offline_chromium()) as browser:
        # A Chromium from a snap cannot read the folder for temporary files.
        folder = Path.home() if browser.is_isolated() else None
        with tempfile.NamedTemporaryFile(suffix=".html", prefix="versatileffn-report-", dir=folder) as file:
            file.write(html)
            file.flush()
            tab = await browser.create_tab("about:blank")

            async def told(command: str, **how):
                answer = await tab.send_command(command, how)
                if "error" in answer or "exceptionDetails" in answer["result"]:
                    raise PictureError(f"the browser did not print the report ({str(answer)[:200]})")
                return answer["result"]

            await told("Page.enable")
            loaded = tab.subscribe_once("Page.loadEventFired")
            await told("Page.navigate", url=Path(file.name).as_uri())
            await loaded
            drawn = await told("Runtime.evaluate", expression=DRAWN, awaitPromise=True, returnByValue=True)
            if (state := drawn["result"]["value"]) != "all":
                raise PictureError(f"the browser did not draw all figures of the report ({state})")
            printed = await told(
                "Page.printToPDF",
                printBackground=True,
                preferCSSPageSize=True,
                displayHeaderFooter=True,
                headerTemplate="<span></span>",
                footerTemplate=FOOTER,
                generateTaggedPDF=True,
                generateDocumentOutline=True,
            )
            return base64.b64decode(printed["data"])


__all__ = ["pdf"]
