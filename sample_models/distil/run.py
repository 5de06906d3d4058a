"""One run of a distillation: it can stop and go on, and ends as a model folder."""

import json
import math
import time
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase

from sample_models.conversion import save_folder
from sample_models.distil.gates import fit_gates, refit_depth
from sample_models.distil.losses import Lesson, Objective
from sample_models.distil.low_rank import grown, make_trainable, merged_tensors, trained_tensors
from sample_models.distil.options import DistilOptions
from sample_models.distil.teacher import halve_matrices, read_pair
from sample_models.intermediate_checkpoints import FOLDER as CHECKPOINTS_FOLDER
from sample_models.olmo import ModelWeights
from sample_models.text_data import document_windows, write_tokens
from sample_models.tokenizer_files import read_tokenizer
from sample_models.train_losses import AuxiliaryWeights
from sample_models.train_schedules import checkpoint_steps
from sample_models.train_state import Log, replaced, save_checkpoint
from sample_models.upcycling import read_dense

LR_FLOOR, WARM_UP_STEPS = 0.05, 50
TAU_START, TAU_FLOOR, TAU_FLOOR_AT = 1.0, 0.1, 0.7
HEAD_STEP = 0.02
"""How far a step at the full rate moves a logit of router or depth head, about. They read H without a norm, and its
size grows a hundredfold over the layers of a real model, so each layer has a rate of its own."""
FIT_WINDOWS, REFIT_WINDOWS = 40, 80
"""Windows that router and depth head are first fitted on, and that depth heads are refitted on."""

UPDATE = "update.safetensors"
"""File of a run that holds what was trained, and nothing of the dense model."""


def learning_rate_factor(step: int, steps: int) -> float:
    """Share of the peak rate: linear warm-up over the first 50 steps of a stage, then a cosine to 5 %."""
    cosine = 0.5 * (1 + math.cos(math.pi * min(step / steps, 1.0)))
    return min(1.0, (step + 1) / WARM_UP_STEPS) * (LR_FLOOR + (1 - LR_FLOOR) * cosine)


def tau_at(progress: float) -> float:
    """Gumbel temperature of stage 2: geometric from 1 to 0.1 over its first 70 %, then at its floor."""
    return TAU_START * (TAU_FLOOR / TAU_START) ** min(progress / TAU_FLOOR_AT, 1.0)


def draw_windows(texts: list[np.ndarray], weights: Iterable[float], batch: int, length: int, seed: int, step: int):
    """`batch` windows [batch, length] for a step, each from a text drawn by weight: the same for the same seed."""
    random, share = np.random.default_rng((seed, step)), np.array(list(weights))
    drawn = random.choice(len(texts), size=batch, p=share / share.sum())
    starts = [random.integers(0, len(texts[text]) - length) for text in drawn]
    windows = [texts[text][start : start + length] for text, start in zip(drawn, starts, strict=True)]
    return torch.from_numpy(np.stack(windows).astype(np.int64))


class Distillation:
    """Student, teacher, texts and optimiser of a run in the folder `options.out`."""

    def __init__(self, options: DistilOptions, dense: Path):
        self.options, self.dense = options, dense
        self.device = torch.device(options.device)
        self.tokenizer: PreTrainedTokenizerBase = read_tokenizer(dense, read_dense(dense).config)
        self.texts = [self._tokens(path) for path in options.data]
        self.held_out = {path.name.split(".")[0]: self._held_out_windows(path) for path in options.valid}
        self.log, self.state_path = Log(options.out / "log.csv"), options.out / "state.pt"
        torch.manual_seed(options.seed)
        student, teacher = read_pair(dense)
        student, teacher = student.to(self.device), teacher.to(self.device)
        self.student = student
        if not (self.state_path.exists() or options.init):
            fit_gates(student, teacher, self._windows(10**9, FIT_WINDOWS), options.loop_shares)
        make_trainable(student, options.rank, options.attention_rank)
        self._names = list(trained_tensors(student))
        if options.train_only:
            self._freeze_all_but(options.train_only)
        heads = tuple(
            halve_matrices(each) if options.bf16 else each.lm_head.weight.detach() for each in (student, teacher)
        )
        auxiliary = AuxiliaryWeights(options.load_balance, options.router_z, options.depth_entropy)
        objective = Objective(options.kl, options.cross_entropy, options.streams, options.loop_cost, auxiliary)
        self.lesson = Lesson(student, teacher, heads, objective, compiled=options.compile)
        self.optimizer = self._make_optimizer()
        self.first_step = self._go_on() if self.state_path.exists() else 0

    def _freeze_all_but(self, part: str) -> None:
        if not any(part in name for name in self._names):
            raise ValueError(f"--train-only: no trained tensor has {part!r} in its name, as {self._names[-1]} has")
        for name, parameter in self.student.named_parameters():
            parameter.requires_grad_(parameter.requires_grad and part in name)

    def _tensors(self) -> dict[str, torch.Tensor]:
        """All tensors of the update, those that this run leaves as they are too."""
        parameters = dict(self.student.named_parameters())
        return {name: parameters[name].detach() for name in self._names}

    def _tokens(self, path: Path) -> np.ndarray:
        return write_tokens([path], self.tokenizer, self.options.out / f"{path.name}.tokens")

    def _held_out_windows(self, path: Path) -> torch.Tensor:
        tokens, count = np.array(self._tokens(path)), self.options.valid_windows
        windows = document_windows(tokens, self.tokenizer.eos_token_id, count, self.options.context)
        return torch.from_numpy(windows).to(self.device)

    def _windows(self, step: int, batch: int) -> torch.Tensor:
        options = self.options
        weights = options.data_weights or [1.0] * len(self.texts)
        windows = draw_windows(self.texts, weights, batch, options.context + 1, options.seed, step)
        return windows.to(self.device)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.options.bf16)

    def _make_optimizer(self) -> torch.optim.AdamW:
        """AdamW without decay; the two heads of a layer have a rate by the mean L1 norm of the H that they read."""
        with torch.no_grad(), self._autocast():
            self.lesson.ask_teacher(self._windows(10**9, 2)[:, :-1])
        sizes = [float(h.float().abs().sum(dim=-1).mean()) for h in self.lesson.teacher_streams.mid]
        heads = [[ffn.router.weight, ffn.depth_head.weight] for ffn in self.lesson.ffns]
        of_heads = {id(weight) for pair in heads for weight in pair}
        rest = [p for p in self.student.parameters() if p.requires_grad and id(p) not in of_heads]
        groups = [{"params": rest, "peak": self.options.learning_rate}]
        groups += [{"params": pair, "peak": HEAD_STEP / size} for pair, size in zip(heads, sizes, strict=True)]
        for group in groups:
            group["params"] = [parameter for parameter in group["params"] if parameter.requires_grad]
        groups = [group for group in groups if group["params"]]
        return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.95), weight_decay=0.0)

    def _go_on(self) -> int:
        """Take the state that was saved last; returns the steps done."""
        state = torch.load(self.state_path, map_location=self.device, weights_only=True)
        self._take(state["trained"])
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["rng"].cpu())
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda_rng"].cpu(), self.device)
        self.log.cut_after(state["step"])
        return state["step"]

    def begin_with(self, update: Path) -> None:
        """Begin with what another run trained (its update file), instead of from the dense model."""
        self._take(grown(load_file(update), self._tensors()))
        if self.options.refit_depth:
            with self._autocast():
                windows, options = self._windows(10**9, REFIT_WINDOWS)[:, :-1], self.options
                steady = {"steady_layers": options.steady_layers, "steady_shares": options.steady_shares}
                refit_depth(self.lesson, windows, options.loop_shares, **steady)

    @torch.no_grad()
    def _take(self, trained: dict[str, torch.Tensor]) -> None:
        for name, parameter in self.student.named_parameters():
            if name in trained:
                parameter.copy_(trained[name])

    def train(self) -> None:
        """Do the steps that are left, or as many as `stop_after` allows."""
        options = self.options
        last = options.layer_steps + options.steps
        end = min(last, self.first_step + options.stop_after) if options.stop_after else last
        if self.first_step == 0:
            self._keep_checkpoint(0)
        saved, clock, rows = time.monotonic(), time.monotonic(), []
        for step in range(self.first_step, end):
            rows.append(self.step(step))
            done = step + 1
            self._keep_checkpoint(done)  # before the state is saved, so that an interruption cannot lose it
            if done % options.log_every == 0 or done in (options.layer_steps, end):
                seconds = time.monotonic() - clock
                self.log.write(self._row(done, rows, seconds, last))
                rows, clock = [], time.monotonic()
            if done == end or time.monotonic() - saved > options.save_every_s:
                self.save_state(done)
                saved = time.monotonic()
        self.first_step = end

    def tau(self, step: int) -> float:
        """Gumbel temperature of a step, counted from 0."""
        in_stage_2 = step - self.options.layer_steps
        return TAU_START if in_stage_2 < 0 else tau_at(in_stage_2 / max(self.options.steps, 1))

    def step(self, step: int) -> dict[str, float]:
        """One update; what is returned was measured before it."""
        options = self.options
        layer_by_layer = step < options.layer_steps
        in_stage, steps = (
            (step, 3 * options.layer_steps) if layer_by_layer else (step - options.layer_steps, options.steps)
        )
        self.student.set_tau(self.tau(step))
        windows = self._windows(step, options.batch)
        with self._autocast():
            if layer_by_layer:
                loss, terms = self.lesson.layer_by_layer(windows[:, :-1])
            else:
                drawn = bool(options.gate_every) and in_stage % options.gate_every == 0
                loss, terms = self.lesson.end_to_end(windows[:, :-1], windows[:, 1:], straight_through=drawn)
        self.optimizer.zero_grad(set_to_none=True)
        self.lesson.with_auxiliary(loss, terms).backward()
        torch.nn.utils.clip_grad_norm_([p for p in self.student.parameters() if p.requires_grad], 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * learning_rate_factor(in_stage, steps)
        self.optimizer.step()
        return {name: float(value.detach()) for name, value in terms.items()}

    def _row(self, done: int, rows: list[dict[str, float]], seconds: float, last: int) -> dict[str, float]:
        """A row of the log: means over the steps since the row before, the rate, and what remains."""
        options, tokens = self.options, self.options.tokens_per_step
        names = ("kl", "loss", "error", "load_balance", "router_z", "depth_entropy", "loops")
        row = {"step": done, "tokens": done * tokens}
        row |= {name: float(np.mean([each.get(name, math.nan) for each in rows])) for name in names}
        row |= {"tokens_per_s": len(rows) * tokens / seconds, "minutes_left": (last - done) * seconds / len(rows) / 60}
        measure = done % options.valid_every == 0 or done in (options.layer_steps, last)
        losses = self.held_out_losses() if measure else dict.fromkeys(self.held_out, math.nan)
        return row | {f"held_out_{name}": loss for name, loss in losses.items()}

    @torch.no_grad()
    def held_out_losses(self) -> dict[str, float]:
        """Held-out text -> mean next-token cross-entropy in nats of its windows, in eval mode."""
        self.student.eval()
        losses = {}
        for name, windows in self.held_out.items():
            total = 0.0
            for ids in windows.split(self.options.batch):
                with self._autocast():
                    hidden = self.student.model(ids, use_cache=False).last_hidden_state[:, :-1]
                logits = F.linear(hidden.to(self.lesson.head.dtype), self.lesson.head).float()
                total += float(F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())) * len(ids)
            losses[name] = total / len(windows)
        return losses

    def save_state(self, step: int) -> None:
        """Everything needed to go on, replaced in one move so that a stop in between cannot spoil it."""
        state = {"step": step, "trained": self._tensors(), "optimizer": self.optimizer.state_dict()}
        state["rng"] = torch.get_rng_state()
        if self.device.type == "cuda":
            state["cuda_rng"] = torch.cuda.get_rng_state(self.device)
        with replaced(self.state_path) as partial:
            torch.save(state, partial)

    def _keep_checkpoint(self, done: int) -> None:
        """Save an intermediate checkpoint of the whole model, if one is due after this step."""
        options = self.options
        if done in checkpoint_steps(options.keep_checkpoints, options.layer_steps + options.steps):
            tensors = distilled(self.dense, self._trained()).tensors
            tau = self.tau(done)
            save_checkpoint(options.out / CHECKPOINTS_FOLDER, done, done * options.tokens_per_step, tau, tensors)

    def _trained(self) -> dict[str, torch.Tensor]:
        """The trained tensors in bfloat16, as an update holds them."""
        return {name: tensor.to("cpu", torch.bfloat16).contiguous() for name, tensor in self._tensors().items()}

    def save_model(self) -> None:
        """Write the update by itself, and the whole model as a Hugging Face folder, both in bfloat16."""
        trained = self._trained()
        about = {"format": "pt", "options": json.dumps(asdict(self.options), default=str)}
        save_file(trained, self.options.out / UPDATE, metadata=about)
        save_folder(distilled(self.dense, trained), self.tokenizer, self.options.out)


def distilled(dense: Path, trained: dict[str, torch.Tensor]) -> ModelWeights:
    """The model that a dense folder and an update of it make, its tensors in bfloat16."""
    weights = read_dense(dense)
    weights.config.gates_trained, weights.config.tau = True, TAU_FLOOR
    merged = merged_tensors(weights.tensors, trained)
    return replace(weights, tensors={name: tensor.to(torch.bfloat16) for name, tensor in merged.items()})


__all__ = ["UPDATE", "Distillation", "distilled", "draw_windows", "learning_rate_factor", "tau_at"]
