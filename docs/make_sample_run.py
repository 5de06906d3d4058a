"""Make the shipped run of the sample texts again with the default model: python -m docs.make_sample_run."""

import shutil
from pathlib import Path

from analysis.runs.manifest import Manifest
from analysis.runs.rows import rows_of_traces, sizes_of
from analysis.runs.writing import Record, RunWriter
from analysis.texts.sample_texts import KINDS, SAMPLE_TEXTS
from app.server.runs import SHIPPED
from app.version import version
from hooks import capture
from sample_models import CHECKPOINTS, DEFAULT_MODEL, load_model

SOURCE = "sample texts"


def write_run(folder: Path) -> None:
    """Trace the sample texts with the default model and write them as a run of one part."""
    traces = capture(load_model(CHECKPOINTS / DEFAULT_MODEL), list(SAMPLE_TEXTS))
    meta = {name: value for name, value in traces[0].meta.items() if name not in ("text", "versions")}
    manifest = Manifest(
        sizes=sizes_of(traces[0]),
        model=meta,
        tokenizer={},
        settings={},
        sources=[{"name": SOURCE, "made_by": "docs.make_sample_run"}],
        others=("kind",),
        versions={"versatileffn": version()},
    )
    records = [
        Record(f"text {number}", SOURCE, text, trace.num_tokens, others={"kind": KINDS[text]})
        for number, (text, trace) in enumerate(zip(SAMPLE_TEXTS, traces, strict=True))
    ]
    with RunWriter(folder, manifest) as writer:
        writer.write(rows_of_traces(manifest.sizes, list(enumerate(traces))), records)
        writer.finish()
    (folder / "run.lock").unlink(missing_ok=True)


def main() -> None:
    """Write the run in place of the shipped one."""
    shutil.rmtree(SHIPPED, ignore_errors=True)
    write_run(SHIPPED)
    size = sum(path.stat().st_size for path in SHIPPED.rglob("*") if path.is_file())
    print(f"{SHIPPED.name}: {len(SAMPLE_TEXTS)} texts, {size / 1000:.0f} KB")


if __name__ == "__main__":
    main()
