"""The manifest of a run: which model read which sources, how, and how far it came."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from analysis.runs.schema import RUN_VERSION, Sizes
from hooks.files import whole_file

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Counts:
    """How far a run came; each is a sum over its parts."""

    parts: int = 0
    prompts: int = 0
    """Records that were traced."""
    problems: int = 0
    """Records that could not be used."""
    tokens: int = 0

    @property
    def records(self) -> int:
        """Rows of the table `prompts`, and the number of the next record."""
        return self.prompts + self.problems


@dataclass(frozen=True)
class Manifest:
    """What a run is of. `model`, `settings` and `sources` must be the same for it to go on."""

    sizes: Sizes
    model: dict[str, Any]
    """The entries of a trace's `meta` about the model: model, weights_sha256, config, dtype, and others."""
    tokenizer: dict[str, Any]
    settings: dict[str, Any]
    """What the rows depend on beside model and sources: chat, overlap, interventions, columns, texts to a part."""
    sources: list[dict[str, Any]]
    """Each with its name and what tells it from another version of itself: bytes and SHA-256, or a fingerprint."""
    others: tuple[str, ...] = ()
    """Columns of the reader's files that stand in `prompts`."""
    versions: dict[str, str] = field(default_factory=dict)
    counts: Counts = Counts()
    finished: bool = False
    """Whether all sources were read to their end."""
    started: str = ""
    """Time in UTC, ISO 8601."""
    updated: str = ""

    def write(self, folder: Path) -> None:
        """Replace the manifest of a folder, whole or not at all."""
        counts = vars(self.counts)
        data = vars(self) | {"run_version": RUN_VERSION, "sizes": self.sizes.as_json(), "counts": counts}
        with whole_file(folder / MANIFEST) as part:
            part.write_text(json.dumps(data, indent=1, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Raises ValueError, in a sentence, if the folder has none, or one that this program cannot read."""
        path = folder / MANIFEST
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            version = data.pop("run_version")
            if version != RUN_VERSION:
                raise _Version(
                    f"{folder} is a run of version {str(version)[:20]}, and this program reads version {RUN_VERSION}: "
                    "open it with the program that made it, or make it anew"
                )
            sizes, counts = Sizes.from_json(data.pop("sizes")), Counts(**data.pop("counts"))
            read = cls(sizes=sizes, counts=counts, **(data | {"others": tuple(data["others"])}))
            read._check()
            return read
        except FileNotFoundError as error:
            raise ValueError(
                f"{folder} is not a run: it has no {MANIFEST}. Make one with `python -m app run FILE --out FOLDER`"
            ) from error
        except OSError as error:
            raise ValueError(
                f"{path} cannot be read ({error.strerror}): copy the run again, or change its rights"
            ) from error
        except _Version:
            raise
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is damaged: make the run anew, or copy it again") from error

    def _check(self) -> None:
        """Raises TypeError for what no program of ours wrote: SQL and reports are made of these values."""
        objects = [self.model, self.tokenizer, self.settings, self.versions, *self.sources]
        objects += [self.model.get("config", {})]
        texts = [*self.others, self.started, self.updated]
        numbers = vars(self.counts).values()
        if not (
            isinstance(self.sources, list)
            and all(isinstance(each, dict) for each in objects)
            and all(isinstance(each, str) for each in texts)
            and all(type(each) is int and each >= 0 for each in numbers)
            and isinstance(self.finished, bool)
            and isinstance(self.settings.get("interventions") or [], list)
        ):
            raise TypeError("this is no manifest of a run")

    def with_counts(self, counts: Counts, **changed: Any) -> "Manifest":
        return replace(self, counts=counts, **changed)

    def differs_from(self, other: "Manifest") -> str | None:
        """What of another manifest forbids that one run goes on with the other, in a few words; None if nothing."""
        own, new = self.model, other.model
        if (own.get("weights_sha256"), own.get("dtype")) != (new.get("weights_sha256"), new.get("dtype")):
            weights = own.get("weights_sha256", "")[:12]
            return f"it is of the model {own.get('model')} ({own.get('dtype')}, weights {weights})"
        if self.sources != other.sources:
            return "it is of other files, or of other versions of them"
        if self.sizes != other.sizes or self.tokenizer != other.tokenizer:
            return "the model has other sizes or another tokenizer"
        differing = sorted(
            name for name in {*self.settings, *other.settings} if self.settings.get(name) != other.settings.get(name)
        )
        if differing or self.others != other.others:
            return f"it was made with another choice of {' and '.join(differing or ['columns'])}"
        return None


class _Version(ValueError):
    """A run of another version."""


__all__ = ["MANIFEST", "Counts", "Manifest"]
