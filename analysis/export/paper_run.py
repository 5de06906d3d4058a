"""The paper's figures of a run as files: Fig. 4, Fig. 5 with its words sorted, Fig. 6, Table 2, data and captions."""

import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from analysis.catalogue import FigureSpec
from analysis.export.captions import numbers, source
from analysis.export.files import PLOTLY_JS, figure_html, remove_files, write_file
from analysis.export.paper import Paper, paper_figure
from analysis.export.pictures import PICTURE_FORMATS, pictures
from analysis.export.tables import TABLE_FORMATS, table_csv, table_parquet, table_records
from analysis.figures.runs.paper import COSINE, PAPER_FIGURES
from analysis.figures.runs.paper_clouds import SEED, WIDTH, cloud_caption, cloud_svg, word_cloud
from analysis.runs.atlas import Atlas
from analysis.runs.filter_words import in_words
from analysis.runs.paper import cloud_levels
from analysis.runs.paper_paths import PathCosines
from analysis.view import DEFAULT_VIEW
from analysis.words.numbers import significant

FORMATS = (*PICTURE_FORMATS, "html", *TABLE_FORMATS)
PAPER = Paper(85.0)
"""One column, unless another is asked for."""
ABOUT = "about.json"
EARLIER = rf"paper_(loops|words|cosine|cost|cloud_[\d.]+)\.({'|'.join((*FORMATS, 'caption.txt'))})|{ABOUT}|{PLOTLY_JS}"
"""Names of the files that `write_paper` writes."""


def cloud_name(level: float) -> str:
    """The name of the files of a cloud."""
    return f"paper_cloud_{level:g}"


def paper_caption(spec: FigureSpec, drawn: Atlas | PathCosines) -> str:
    """The caption of a figure of a run as plain text: how to read it, what is counted, and by which model."""
    about = drawn.routing if isinstance(drawn, PathCosines) else drawn
    told = f"{numbers(spec, about, DEFAULT_VIEW)} {source(about)}"
    if isinstance(drawn, PathCosines):
        told += (
            f" {drawn.prompts} prompts with {drawn.tokens:,} tokens that count were read again, drawn with seed "
            f"{drawn.seed}; {drawn.other_loops:,} of their cells took other loops than in the run."
        )
    return f"{spec.title}. {spec.whole_caption_of(about.meta)}\n\n{told}\n"


def paper_files(
    drawn: Atlas,
    cosines: PathCosines | None = None,
    *,
    formats: Sequence[str] = ("html", "csv"),
    paper: Paper = PAPER,
    levels: Sequence[float] | None = None,
    seed: int = SEED,
) -> Iterator[tuple[str, bytes]]:
    """Yield (file name, content) of the paper's figures of a run under a filter.

    Of every figure: pictures as wide as `paper` says, `.html`, which needs `plotly.min.js` beside it, its data, and
    `.caption.txt`. `levels` are the values of λ of the clouds, those of the paper unless others are given; a cloud is
    an SVG whatever the formats. Fig. 6 needs `cosines`. `about.json` says what all of it is of. Raises ValueError for
    an unknown format or a λ that no token has, and PictureError before the first file if no browser draws the pictures
    asked for.
    """
    if unknown := [name for name in formats if name not in FORMATS]:
        raise ValueError(f"unknown format {', '.join(unknown)}; known formats are {', '.join(FORMATS)}")
    levels = cloud_levels(drawn.sizes) if levels is None else [_level(drawn, level) for level in levels]
    wanted = [each for each in PICTURE_FORMATS if each in formats]
    has_words = "gate" in drawn.sizes.parts
    with pictures() if wanted else nullcontext() as draw:
        given = [(spec, drawn) for spec in PAPER_FIGURES] + ([(COSINE, cosines)] if cosines else [])
        for spec, data in given:
            laid_out = paper_figure(spec, data, paper=paper)
            for each in wanted:
                yield f"{spec.name}.{each}", draw(laid_out, each, scale=paper.scale)
            if "html" in formats:
                yield f"{spec.name}.html", figure_html(_titled(spec, data), spec.name, plotlyjs="directory")
            yield from _data(spec, data, formats)
            yield f"{spec.name}.caption.txt", paper_caption(spec, data).encode("utf-8")
        for level in levels if has_words else ():
            name = cloud_name(level)
            svg = cloud_svg(drawn, level, seed=seed)
            if svg:
                yield f"{name}.svg", svg.encode("utf-8")
                for each in wanted:
                    if each != "svg":
                        yield (
                            f"{name}.{each}",
                            draw(word_cloud(drawn, level=level, seed=seed), each, scale=_scale(paper)),
                        )
            yield f"{name}.caption.txt", f"{cloud_caption(drawn, level, svg, seed=seed)} {source(drawn)}\n".encode()
    if "html" in formats:
        yield PLOTLY_JS, get_plotlyjs().encode("utf-8")
    yield ABOUT, _about(drawn, cosines, levels, seed)


def write_paper(folder: Path, files: Iterator[tuple[str, bytes]]) -> Iterator[Path]:
    """Write the files of `paper_files` into a folder, and yield each path after it is written.

    Files that an earlier call left there are removed before the first is written.
    """
    for number, (name, content) in enumerate(files):
        if number == 0:
            remove_files(folder, EARLIER)
        yield write_file(folder / name, content)


def paper_zip(files: Iterator[tuple[str, bytes]]) -> bytes:
    """The files of `paper_files` in one zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _level(drawn: Atlas, level: float) -> float:
    had = drawn.table("paper_words")["gate"].unique() if "gate" in drawn.sizes.parts else []
    for each in had:
        if abs(each - level) < 1e-6:
            return float(each)
    raise ValueError(f"no token has λ {level:g} here; there are {', '.join(map(significant, had)) or 'none'}")


def _scale(paper: Paper) -> float:
    """That of a cloud, which is a picture of one size."""
    return paper.layout_px * paper.scale / WIDTH


def _titled(spec: FigureSpec, data: Atlas | PathCosines) -> go.Figure:
    return spec.figure(data).update_layout(title={"text": spec.title, "x": 0, "pad": {"l": 12}}, margin={"t": 70})


def _data(spec: FigureSpec, data: Atlas | PathCosines, formats: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    table = spec.table(data)
    if "csv" in formats:
        yield f"{spec.name}.csv", table_csv(table)
    if "parquet" in formats:
        yield f"{spec.name}.parquet", table_parquet(table)
    if "json" in formats:
        content = {"figure": spec.name, "how_to_read": spec.whole_caption, "records": table_records(table)}
        yield f"{spec.name}.json", json.dumps(content, ensure_ascii=False, indent=1).encode("utf-8")


def _about(drawn: Atlas, cosines: PathCosines | None, levels: Sequence[float], seed: int) -> bytes:
    counted = drawn.table("counts").iloc[0]
    again = {"prompts": cosines.prompts, "tokens": cosines.tokens, "seed": cosines.seed} if cosines else None
    content = {
        "run": drawn.name,
        "model": drawn.meta.get("model"),
        "weights_sha256": drawn.meta.get("weights_sha256"),
        "filter": drawn.chosen.as_json(),
        "filter_in_words": in_words(drawn.chosen),  # also of what the JSON leaves out: tokens chosen on the map
        "tokens": int(counted["tokens"]),
        "prompts": int(counted["prompts"]),
        "lambda_of_the_clouds": list(levels),
        "seed_of_the_clouds": seed,
        "read_again_for_fig_6": again,
        "versions": {name: version(name) for name in ("plotly", "wordcloud", "duckdb")},
    }
    return json.dumps(content, ensure_ascii=False, indent=1).encode("utf-8")


__all__ = ["ABOUT", "FORMATS", "PAPER", "cloud_name", "paper_caption", "paper_files", "paper_zip", "write_paper"]
