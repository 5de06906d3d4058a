"""Datasets of Hugging Face as tables of records: `hf:name[:config][:split]`, or a folder that `datasets` has saved.

Rows are read one after the other as they are asked for; what is in the cloud is streamed and not kept. No code that
comes with a dataset is run.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from app.texts.prompt_columns import Table
from app.texts.prompt_jsonl import Number, table_of_values
from app.texts.prompts import PromptError, opening

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

HUB = "hf:"
SPLITS = ("train", "validation", "valid", "dev", "test")
"""What a single word after a dataset's name means as a split; any other is a configuration."""


class DatasetName(NamedTuple):
    """Which rows of which dataset."""

    path: str
    """On the Hub, or the folder where it is saved."""
    config: str | None
    split: str | None


def is_dataset(where: str) -> bool:
    """Whether this names a dataset, and no file of records."""
    return where.startswith(HUB) or any((Path(where) / name).is_file() for name in ("state.json", "dataset_dict.json"))


def dataset_name(where: str) -> DatasetName:
    """What `hf:name[:config][:split]` names. Raises PromptError if it is not of this form."""
    path, *more = where.removeprefix(HUB).split(":")
    if not path or len(more) > 2 or not all(more):
        raise PromptError(f"{opening(where, 80)} names no dataset; write it as hf:name, hf:name:split or "
                          "hf:name:config:split.")  # fmt: skip
    if len(more) == 1 and more[0].partition("[")[0] in SPLITS:
        return DatasetName(path, None, more[0])
    return DatasetName(path, *more, *[None] * (2 - len(more)))


def revision_of(where: str) -> str:
    """The commit of a dataset on the Hub. Raises PromptError if it cannot be reached."""
    from huggingface_hub import HfApi

    path, sha = dataset_name(where).path, None
    with _told(path):
        sha = HfApi().dataset_info(path, timeout=20).sha
    return sha or ""


def dataset_table(
    name: str, where: str, text_column: str | None, id_column: str | None, limit: int
) -> tuple[Table, Callable[[], float]]:
    """The rows of a dataset, and how much of them is read, 0..1 (0 where nobody knows how many there are).

    Raises PromptError if it cannot be reached or read, and ModuleNotFoundError without the library.
    """
    data = _plain_columns(_opened(dataset_name(where)))
    total = len(data) if hasattr(data, "__len__") else _stated_rows(data)
    taken = 0

    def values() -> Iterator[tuple[str, object]]:
        nonlocal taken
        taken = 0
        with _told(name):
            for number, row in enumerate(data, start=1):
                taken = number
                yield f"row {number}", {column: _plain(value) for column, value in row.items()}

    table = table_of_values(name, values, text_column, id_column, limit)
    return table, lambda: min(taken / total, 1.0) if total else 0.0


def _opened(name: DatasetName) -> "Dataset | IterableDataset":
    import datasets

    datasets.disable_progress_bars()
    with _told(name.path):
        if is_dataset(name.path):
            found = datasets.load_from_disk(name.path)
        else:
            found = datasets.load_dataset(name.path, name.config, streaming=True)
        if not isinstance(found, dict):
            if name.split:
                raise PromptError(f"{name.path} has no splits; leave out {name.split}.")
            return found
        split = name.split or ("train" if "train" in found or len(found) != 1 else next(iter(found)))
        if split not in found:
            raise PromptError(f"{name.path} has no split {split}; choose one of {', '.join(found)}.")
        return found[split]


def _plain_columns(data: Any) -> Any:
    """The dataset without columns of pictures and sounds, which would be decoded for nothing."""
    if data.features is None:
        return data
    heavy = [name for name, kind in data.features.items() if hasattr(kind, "decode_example")]
    return data.remove_columns(heavy) if heavy else data


def _stated_rows(data: Any) -> int:
    splits = data.info.splits or {}
    return getattr(splits.get(str(data.split)), "num_examples", 0) or 0


def _plain(value: Any) -> object:
    """A cell as JSON would have it."""
    if value is None or isinstance(value, str | bool | list | dict):
        return value
    if isinstance(value, int | float):
        return Number(value)
    return [] if isinstance(value, bytes) else Number(str(value))


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Turns whatever keeps a dataset from being read into one sentence."""
    try:
        yield
    except (PromptError, MemoryError, ModuleNotFoundError):
        raise
    except Exception as error:  # of the network, of the Hub, and of whatever kind of files the dataset is made
        reason = opening(str(error).partition("\n")[0], 160).rstrip(".") or type(error).__name__
        raise PromptError(
            f"The dataset {opening(name, 80)} cannot be read ({reason}); check its name and the network, or download "
            "it as Parquet files and give these."
        ) from error


__all__ = ["HUB", "DatasetName", "dataset_name", "dataset_table", "is_dataset", "revision_of"]
