"""Train a sample model: first dense, then VersatileFFN continued from it (the paper's continued pre-training).

    python -m sample_models.train --ffn dense --data corpus/*.txt --valid held_out.txt --out runs/dense
    python -m sample_models.train --init runs/dense --data corpus/*.txt --valid held_out.txt --out runs/versatile

`--ffn` of the second command also takes the paper's baselines and ablations (k_loop, moe, width, depth, average). Text
files are UTF-8 (`.xz` too), with documents separated by a line `<|endoftext|>`. Give the same command again to resume
an interrupted run from its last checkpoint; a command with other settings is refused. In the folder DIR of the run,
`settings.json` holds the options and `log.csv` the curves, and at the end DIR is a Hugging Face folder. With
`--keep-checkpoints N` it also holds the weights after N steps spread over the run. This needs only
torch, transformers, tokenizers, safetensors, numpy and lazy_loader; runs on a CPU or one CUDA GPU.
"""

import math
import time

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.feed_forward import DepthPath, RoutedFFN
from sample_models.intermediate_checkpoints import FOLDER as CHECKPOINTS_FOLDER
from sample_models.modeling_versatile import VersatileFFNForCausalLM
from sample_models.run_options import parse_options, save_settings
from sample_models.text_data import even_windows, random_windows, train_tokenizer, write_tokens
from sample_models.train_losses import auxiliary_losses, held_out_loss, next_token_loss, observe_residuals
from sample_models.train_options import TrainOptions
from sample_models.train_schedules import TAU_FLOOR, checkpoint_steps, learning_rate, tau_schedule
from sample_models.train_state import Log, load_state, save_checkpoint, save_state


def make_optimizer(model: torch.nn.Module, weight_decay: float) -> torch.optim.AdamW:
    """AdamW with decay on matrices only: none on norms, embeddings, router and depth head."""
    decayed, free = [], []
    for name, parameter in model.named_parameters():
        exempt = parameter.ndim < 2 or any(word in name for word in ("router", "depth_head", "embed_tokens"))
        (free if exempt else decayed).append(parameter)
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.95), fused=True)


def new_model(options: TrainOptions, vocab_size: int) -> VersatileFFNForCausalLM:
    """A model with random weights, or with those of `--init` and random ones for router, depth head and real experts.

    Raises ValueError if the weights of `--init` do not fit.
    """
    config = VersatileFFNConfig(
        vocab_size=vocab_size,
        hidden_size=options.hidden_size,
        intermediate_size=options.intermediate_size,
        num_hidden_layers=options.layers,
        num_attention_heads=options.heads,
        max_position_embeddings=options.context,
        ffn=options.ffn,
        max_loops=options.max_loops,
        tau=TAU_FLOOR,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=0,
    )
    torch.manual_seed(options.seed)
    model = VersatileFFNForCausalLM(config)
    # Larger than the usual 0.02: the heads read H un-normalised, which in layer 0 is little more than the embedding.
    # With small logits the Gumbel noise would dominate.
    torch.nn.init.normal_(model.model.embed_tokens.weight, std=options.embedding_std)
    if options.init:
        source = VersatileFFNForCausalLM.from_pretrained(options.init, dtype=torch.float32)
        missing, unexpected = model.load_state_dict(source.state_dict(), strict=False)
        new_only = all(any(part in name for part in ("router", "depth_head", "expert_")) for name in missing)
        if unexpected or not new_only:
            raise ValueError(f"--init {options.init} has other shapes: missing {missing}, unexpected {unexpected}")
    return model


def prepare_tokenizer(options: TrainOptions) -> PreTrainedTokenizerFast:
    """The tokenizer of `--init`, or of this run if it is resumed, or a new one trained on the training text."""
    for folder in (options.init or options.out, options.out):
        if (folder / "tokenizer.json").exists():
            tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
            break
    else:
        tokenizer = train_tokenizer(options.data, options.vocab_size, options.context)
    tokenizer.save_pretrained(options.out)
    return tokenizer


class Training:
    """A training run, new or resumed."""

    def __init__(self, options: TrainOptions):
        """Raises ValueError if the folder holds a run with other settings, or `--init` a model of other sizes."""
        self.options, out = options, options.out
        out.mkdir(parents=True, exist_ok=True)
        transformers_logging.set_verbosity_error()
        save_settings(options, out / "settings.json")
        self.tokenizer = prepare_tokenizer(options)
        self.tokens = write_tokens(options.data, self.tokenizer, out / "train.tokens")
        valid_tokens = write_tokens(options.valid, self.tokenizer, out / "valid.tokens")
        self.device = torch.device(options.device)
        self.model = new_model(options, len(self.tokenizer)).to(self.device).train()
        self.optimizer = make_optimizer(self.model, options.weight_decay)
        self.log, self.state_path = Log(out / "log.csv"), out / "state.pt"
        self.first_step = load_state(self.state_path, self.model, self.optimizer)
        self.log.cut_after(self.first_step)
        print(f"{self.model.num_parameters():,} parameters, {len(self.tokens):,} training tokens", flush=True)
        self.valid = self._on_device(even_windows(valid_tokens, options.valid_windows, options.context))
        self.ffns = [layer.mlp for layer in self.model.model.layers]
        self.residuals = observe_residuals(self.model)
        if options.compile:
            for layer in self.model.model.layers:
                layer.self_attn.compile()
                layer.mlp.compile()
        self.loss_of = torch.compile(next_token_loss) if options.compile else next_token_loss
        self.checkpoint_steps = checkpoint_steps(options.keep_checkpoints, options.steps)

    def run(self) -> None:
        """Train to the end, or for `stop_after` steps. At the end save the model."""
        options = self.options
        last = options.steps if options.stop_after is None else min(options.steps, self.first_step + options.stop_after)
        if self.first_step == 0:
            self._save_checkpoint(0)
        self._logged_at, self._logged_step = time.monotonic(), self.first_step
        saved_at = time.monotonic()
        for step in range(self.first_step, last):
            row, done = self.update(step), step + 1
            self._save_checkpoint(done)  # before the state is saved, so that an interruption cannot lose it
            if done % options.log_every == 0 or done == options.steps:
                self._write(done, row)
            if done == last or time.monotonic() - saved_at > options.save_every_s:
                save_state(self.state_path, done, self.model, self.optimizer)
                saved_at = time.monotonic()
        if last == options.steps:
            self._save_model()

    def update(self, step: int) -> dict[str, float | torch.Tensor]:
        """Do one optimizer step, counted from 0; return its row of the log, with the loss before the step."""
        options, progress = self.options, step / self.options.steps
        tau, rate = tau_schedule(progress), learning_rate(options.learning_rate, progress)
        self.model.set_tau(tau)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        ids = self._on_device(random_windows(self.tokens, options.batch, options.context + 1, options.seed, step))
        self.residuals.clear()
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=options.bf16):
            hidden = self.model.model(ids[:, :-1], use_cache=False).last_hidden_state
            loss = self.loss_of(hidden, self.model.lm_head.weight, ids[:, 1:])
        row = {"step": step + 1, "tokens": (step + 1) * options.tokens_per_step, "loss": loss.detach()}
        terms = auxiliary_losses(self.ffns, self.residuals)
        loss = loss + sum(options.auxiliary.factor(name) * term for name, term in terms.items())
        row |= {name: value.detach() for name, value in terms.items()}
        if "depth_entropy" in terms:
            row["tau"] = tau
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return row

    def _on_device(self, ids: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(ids).to(self.device)

    def _save_checkpoint(self, done: int) -> None:
        """Save an intermediate checkpoint, if one is due after this step."""
        if done in self.checkpoint_steps:
            tokens, tau = done * self.options.tokens_per_step, tau_schedule(done / self.options.steps)
            save_checkpoint(self.options.out / CHECKPOINTS_FOLDER, done, tokens, tau, self.model.state_dict())

    def _write(self, done: int, row: dict[str, float | torch.Tensor]) -> None:
        """Write a row of the log, with the held-out loss if it is due."""
        options, now = self.options, time.monotonic()
        evaluated = done % options.valid_every == 0 or done == options.steps
        row["held_out"] = held_out_loss(self.model, self.valid, options.batch) if evaluated else math.nan
        row["lr"] = self.optimizer.param_groups[0]["lr"]
        row["tokens_per_s"] = (done - self._logged_step) * options.tokens_per_step / (now - self._logged_at)
        self.log.write({name: float(value) for name, value in row.items()})
        self._logged_at, self._logged_step = time.monotonic(), done

    def _save_model(self) -> None:
        self.model.config.gates_trained = any(isinstance(ffn, (RoutedFFN, DepthPath)) for ffn in self.ffns)
        self.model.eval().save_pretrained(self.options.out)
        self.tokenizer.save_pretrained(self.options.out)


def parse(argv: list[str] | None = None) -> TrainOptions:
    """The options of a command line."""
    return parse_options(TrainOptions, "python -m sample_models.train", __doc__, argv)


def train(options: TrainOptions) -> None:
    """Start or resume a run. Raises ValueError as `Training` does."""
    Training(options).run()


def main(argv: list[str] | None = None) -> None:
    """Train as the command line says; a run that cannot be started or resumed ends the program with one sentence."""
    options = parse(argv)
    try:
        training = Training(options)
    except ValueError as error:
        raise SystemExit(str(error)) from error
    training.run()


if __name__ == "__main__":
    main()
