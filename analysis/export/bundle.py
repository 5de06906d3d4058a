"""The zip of everything about one text: figures, captions, tables, code, the trace, and a manifest."""

import hashlib
import io
import json
import platform
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.metadata import version
from importlib.util import find_spec

from plotly.offline import get_plotlyjs

from analysis.catalogue import CATALOGUE, OfTexts, routing_of
from analysis.export.captions import answers_text, caption
from analysis.export.files import Export, export_files, texts_json
from analysis.export.pictures import PictureError, PictureFormat
from analysis.export.snippet import PACKAGE, PYTHON, WHERE, snippet, trace_file_name
from analysis.export.snippet_of_result import TEXTS_FILE
from analysis.texts.study import SAMPLES
from hooks.trace import RoutingTrace

FORMATS = ("html", "csv", "parquet", "json")
"""Beside the pictures."""
FOLDERS = {"svg": "figures", "png": "figures", "pdf": "figures", "html": "figures", "txt": "figures", "py": "code"}
"""File ending -> folder; other files go to data."""
PACKAGES = ("numpy", "pandas", "plotly", "kaleido", "pyarrow")
MANIFEST_VERSION = 1
README = """Everything that VersatileFFN Explorer shows of one text.

answers.txt  what every page found, in one or two sentences
figures/    every figure as HTML (opens offline; keep plotly.min.js beside it) and, where a browser could draw them on
            the exporting machine, as pictures{paper}; NAME.caption.txt is its caption as a text
data/       the data of every figure as CSV, Parquet and JSON; routing.*: one row per layer and token
            In CSV an apostrophe stands before each =, +, - and @ with which a text begins, so that no spreadsheet
            runs it as a formula; {package}analysis.export.tables.read_csv(path) takes it away.
            Parquet and JSON have none.
code/       Python that makes each figure anew, to be run {where}, with {python};
            where it reads {trace} or {texts}, put that file there too
{trace}  every number of the text; opens without a model: {package}hooks.RoutingTrace.load(path)
{texts}  the texts of your own list, if figures of several texts were made of it
manifest.json  model, weights, text, selection, options, versions, what was left out and why, and the SHA-256 of every
            other file
"""


def bundle(
    export: Export,
    *,
    prompt: str,
    shipped: bool = True,
    from_file: bool = False,
    picture_formats: tuple[PictureFormat, ...] = ("svg", "pdf"),
    progress: Callable[[int, int, str], None] | None = None,
) -> bytes:
    """The zip as bytes. Without a browser to draw them it has no pictures, and its manifest says why.

    With `export.paper` the pictures have its width, letters and marks. `prompt` is the name of the text, `shipped` and
    `from_file` are as in `snippet`; `progress(done, total, file name)` is called after every file.
    """
    trace_file, formats = trace_file_name(prompt), (*picture_formats, *FORMATS)
    reasons = export.left_out
    left_out = [f"{spec.name}: {reasons.get(spec.name, 'not made')}" for spec in CATALOGUE if spec not in export.specs]
    try:
        files = dict(_counted(export, formats, progress))
    except PictureError as error:
        left_out.append(f"{' and '.join(picture_formats)}: {error}")
        files = dict(_counted(export, FORMATS, progress))
    for spec in export.specs:
        options, drawn = export.options.get(spec.name, {}), export.drawn(spec)
        marked = export.paper is None or export.paper.selection
        words = caption(spec, routing_of(drawn), export.view, marked=marked, **options)
        files[f"figures/{spec.name}.caption.txt"] = words.encode("utf-8")
        code = snippet(spec, drawn, export.view, shipped=shipped, from_file=from_file, trace_file=trace_file, **options)
        files[f"code/{spec.name}.py"] = code.encode("utf-8")
    files["figures/plotly.min.js"] = get_plotlyjs().encode("utf-8")
    files["answers.txt"] = answers_text((export.trace, *export.more), export.view).encode("utf-8")
    files[trace_file] = export.trace.to_bytes()
    for study in export.more:
        if isinstance(study, OfTexts) and study.name != SAMPLES:
            files[TEXTS_FILE] = texts_json(study)
    here = {"package": PACKAGE, "where": WHERE, "python": PYTHON.replace("`", "")}
    told = README.format(trace=trace_file, texts=TEXTS_FILE, paper=_paper_told(export), **here)
    files["README.txt"] = told.encode("utf-8")
    manifest = {**_about(export, prompt), "left_out": left_out, "files": [_entry(*file) for file in files.items()]}
    files["manifest.json"] = json.dumps(manifest, ensure_ascii=False, indent=1).encode("utf-8")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(zipfile.ZipInfo(path), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _paper_told(export: Export) -> str:
    if (paper := export.paper) is None:
        return ""
    marked = "" if paper.selection else ", the selection unmarked"
    letters = f"{paper.font} letters of {paper.size_pt:g} points"
    return f" for a paper:\n            {paper.width_mm:g} mm wide, {letters}{marked}"


def _counted(export: Export, formats: tuple[str, ...], progress) -> Iterator[tuple[str, bytes]]:
    captions = bool(export.paper) and formats != FORMATS
    total = len(export.specs) * (len(formats) + captions) + 2
    for done, (name, content) in enumerate(export_files(export, formats, plotlyjs="directory"), start=1):
        if progress:
            progress(done, total, name)
        yield f"{FOLDERS.get(name.rpartition('.')[2], 'data')}/{name}", content


def _versions() -> dict[str, str]:
    """Of the packages that may have had a part, as far as they are installed."""
    return {name: version(name) for name in PACKAGES if find_spec(name)}


def _about(export: Export, prompt: str) -> dict:
    trace, view = export.trace, export.view
    kinds = {spec.name: spec.of.__name__ for spec in export.specs if spec.of is not RoutingTrace}
    return {
        "manifest_version": MANIFEST_VERSION,
        "model": trace.meta.get("model"),
        "weights_sha256": trace.meta.get("weights_sha256"),
        "prompt": prompt,
        "text": trace.meta.get("text"),
        "windows": trace.meta.get("windows"),
        "interventions": trace.meta.get("interventions"),
        "selection": {"layer": view.layer, "token": view.token, "window": view.window},
        "options": export.options,
        "figures_of_more_than_a_trace": kinds,
        "paper": asdict(export.paper) if export.paper else None,
        "versions": {"python": platform.python_version(), **_versions()},
        "versions_of_trace": trace.meta.get("versions"),
    }


def _entry(path: str, content: bytes) -> dict:
    return {"path": path, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


__all__ = ["MANIFEST_VERSION", "bundle"]
