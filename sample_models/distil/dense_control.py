"""The dense model itself, trained further on the windows of distillation runs: what the tokens alone are worth.

    python -m sample_models.distil.dense_control --runs RUN [RUN ...] --out FOLDER

A distilled model has read texts that its dense model has not, so part of its quality may come from them. The control
trains low-rank updates of the same ranks on the same windows in the same order, by next-token cross-entropy alone, with
the last run's peak learning rate. Give the same command again to continue a stopped run. The option `--dense-trained`
of `publish` measures it beside the distilled model.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from sample_models.distil.finished import Run, read_run
from sample_models.distil.low_rank import make_trainable, merged_tensors, trained_tensors
from sample_models.distil.run import UPDATE, draw_windows, learning_rate_factor
from sample_models.distil.teacher import dense_folder, filled, halve_matrices, read_pair
from sample_models.modeling_versatile import VersatileFFNForCausalLM
from sample_models.run_options import option, parse_options, read_settings, save_settings
from sample_models.text_data import write_tokens
from sample_models.tokenizer_files import read_tokenizer
from sample_models.train_state import Log, replaced
from sample_models.upcycling import read_dense


@dataclass(frozen=True, kw_only=True)
class ControlOptions:
    """The options of the control."""

    runs: tuple[Path, ...] = option(help="folders of the runs whose windows it reads, in order", fixed=True)
    out: Path = option(help="folder of the control")
    stop_after: int | None = option(None, "steps to do in this call; the same command continues from there")
    log_every: int = option(10, "steps")
    save_every_s: float = option(180, "seconds between saved states")


class DenseControl:
    """The dense model, its windows and its optimiser, in the folder `options.out`."""

    def __init__(self, options: ControlOptions):
        self.options, self.runs = options, [read_run(folder) for folder in options.runs]
        last = self.runs[-1].options
        self.device = torch.device(last.device)
        dense = dense_folder(last.dense, options.out / "dense")
        self.model = read_pair(dense)[1].to(self.device)
        torch.manual_seed(last.seed)
        make_trainable(self.model, last.rank, last.attention_rank)
        self.head = halve_matrices(self.model) if last.bf16 else self.model.lm_head.weight.detach()
        self.autocast = torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=last.bf16)
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=0.0, betas=(0.9, 0.95), weight_decay=0.0)
        tokenizer = read_tokenizer(dense, read_dense(dense).config)
        self.texts = {
            path: write_tokens([path], tokenizer, options.out / f"{path.name}.tokens")
            for run in self.runs
            for path in run.options.data
        }
        self.steps = sum(run.steps for run in self.runs)
        self.log, self.state_path = Log(options.out / "log.csv"), options.out / "state.pt"
        self.first_step = self._go_on() if self.state_path.exists() else 0

    def windows(self, run: Run, step: int) -> torch.Tensor:
        """The windows [window, token] that a step of a run has read."""
        options = run.options
        texts, weights = [self.texts[path] for path in options.data], options.data_weights or [1.0] * len(options.data)
        drawn = draw_windows(texts, weights, options.batch, options.context + 1, options.seed, step)
        return drawn.to(self.device)

    def train(self) -> None:
        """Do the steps that are left, or as many as `stop_after` allows, and write the update after the last."""
        options = self.options
        end = min(self.steps, self.first_step + options.stop_after) if options.stop_after else self.steps
        saved, clock, losses, tokens = time.monotonic(), time.monotonic(), [], 0
        for step, windows in enumerate(self._all_windows(), start=1):
            if not self.first_step < step <= end:
                continue
            losses.append(self.step(windows, step - 1))
            tokens += windows[:, 1:].numel()
            if step % options.log_every == 0 or step == end:
                seconds = time.monotonic() - clock
                self.log.write({"step": step, "loss": sum(losses) / len(losses), "tokens_per_s": tokens / seconds})
                clock, losses, tokens = time.monotonic(), [], 0
            if step == end or time.monotonic() - saved > options.save_every_s:
                self._save_state(step)
                saved = time.monotonic()
        self.first_step = end
        if end == self.steps:
            save_file(
                {name: tensor.contiguous() for name, tensor in trained_tensors(self.model).items()},
                options.out / UPDATE,
                metadata={"format": "pt"},
            )

    def step(self, windows: torch.Tensor, step: int) -> float:
        """One update; returns the cross-entropy before it, in nats per token."""
        with self.autocast:
            hidden = self.model.model(windows[:, :-1], use_cache=False).last_hidden_state
            logits = F.linear(hidden.to(self.head.dtype), self.head).flatten(0, 1).float()
        loss = F.cross_entropy(logits, windows[:, 1:].flatten())
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for p in self.model.parameters() if p.requires_grad], 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = self.runs[-1].options.learning_rate * learning_rate_factor(step, self.steps)
        self.optimizer.step()
        return float(loss.detach())

    def _all_windows(self) -> Iterator[torch.Tensor]:
        return (self.windows(run, step) for run in self.runs for step in range(run.steps))

    def _save_state(self, step: int) -> None:
        state = {"step": step, "trained": trained_tensors(self.model), "optimizer": self.optimizer.state_dict()}
        with replaced(self.state_path) as partial:
            torch.save(state, partial)

    @torch.no_grad()
    def _go_on(self) -> int:
        state = torch.load(self.state_path, map_location=self.device, weights_only=True)
        for name, tensor in trained_tensors(self.model).items():
            tensor.copy_(state["trained"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.log.cut_after(state["step"])
        return state["step"]


def read_control(folder: Path, dense: Path) -> VersatileFFNForCausalLM:
    """The dense model of a folder with the update of a finished control, in float32 and eval mode.

    Raises ValueError if the control has not been trained to its end.
    """
    if not (folder / UPDATE).exists():
        raise ValueError(f"{folder} is not finished: give the command of the control again")
    teacher = read_pair(dense)[1]
    merged = merged_tensors(dict(teacher.state_dict()), load_file(folder / UPDATE))
    return filled(teacher.config, merged).eval().requires_grad_(False)


def control_tokens(folder: Path) -> int:
    """Training tokens of the control in a folder."""
    runs = [read_run(run) for run in read_settings(ControlOptions, folder / "settings.json").runs]
    return sum(run.steps * run.options.tokens_per_step for run in runs)


def main(argv: list[str] | None = None) -> None:
    """Train the control as the command line says; one that cannot begin ends the program with one sentence."""
    options = parse_options(ControlOptions, "python -m sample_models.distil.dense_control", __doc__, argv)
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        save_settings(options, options.out / "settings.json")
        control = DenseControl(options)
        control.train()
    except ValueError as error:
        raise SystemExit(str(error)) from error
    if control.first_step == control.steps:
        print(f"{options.out} is ready")


__all__ = ["ControlOptions", "DenseControl", "control_tokens", "read_control"]

if __name__ == "__main__":
    main()
