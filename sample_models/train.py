"""Train a sample model: first dense, then VersatileFFN continued from it (the paper's continued pre-training).

    python -m sample_models.train --ffn dense --data corpus/*.txt --valid held_out.txt --out runs/dense
    python -m sample_models.train --init runs/dense --data corpus/*.txt --valid held_out.txt --out runs/versatile

The second takes `--ffn` for the paper's baselines and ablations too (k_loop, moe, width, depth, average).
Text files are UTF-8 (`.xz` too), documents separated by a line `<|endoftext|>`. A run that was stopped goes on where
its last checkpoint stands when the same command is given again, and refuses one that would make another run of it;
`DIR/settings.json` holds its options, `DIR/log.csv` its curves, and at the end DIR is a Hugging Face folder. With
`--keep-checkpoints N` it also holds the weights as they were at N steps of the run, to look back at. Needs only
torch, transformers, tokenizers, safetensors and numpy; runs on a CPU or one CUDA GPU.
"""

import argparse
import csv
import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.feed_forward import FFN, DenseFFN, DepthPath, RoutedFFN
from sample_models.kept_checkpoints import FOLDER as KEPT
from sample_models.kept_checkpoints import kept_name
from sample_models.modeling_versatile import VersatileFFNForCausalLM
from sample_models.text_data import even_windows, random_windows, train_tokenizer, write_tokens

TAU_START, TAU_FLOOR, TAU_FLOOR_AT = 5.0, 0.1, 0.7
LR_FLOOR, WARM_UP = 0.1, 0.05

SHAPING = (
    *("ffn", "init", "data", "valid", "hidden_size", "intermediate_size", "layers", "heads", "context", "vocab_size"),
    *("embedding_std", "batch", "steps", "learning_rate", "weight_decay", "seed"),
    *("max_loops", "load_balance", "router_z", "depth_entropy", "keep_checkpoints"),
)
"""Options that must stay the same when a run goes on."""


@dataclass(frozen=True)
class AuxiliaryWeights:
    """Factors of the terms beside the cross-entropy. Only load balancing is in the paper."""

    load_balance: float = 0.01
    router_z: float = 5e-4
    depth_entropy: float = 0.02

    def factor(self, name: str) -> float:
        """What a term is multiplied by in the loss: entropy is sought, the others are avoided."""
        return -self.depth_entropy if name == "depth_entropy" else getattr(self, name)


def learning_rate(peak: float, progress: float) -> float:
    """Linear warm-up over the first 5 % of the run, then a cosine to 10 % of the peak; progress in 0..1."""
    if progress < WARM_UP:
        return peak * (progress + 1e-3) / (WARM_UP + 1e-3)
    cosine = 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))
    return peak * (LR_FLOOR + (1 - LR_FLOOR) * cosine)


def tau_schedule(progress: float) -> float:
    """Gumbel temperature: geometric from 5 to 0.1 over the first 70 % of the run, then at its floor."""
    return TAU_START * (TAU_FLOOR / TAU_START) ** min(progress / TAU_FLOOR_AT, 1.0)


def load_balance_loss(router_logits: torch.Tensor, top_k: int) -> torch.Tensor:
    """Switch Transformer's N * sum_e frac_e * P_e over tokens [token, expert]; 1 when the load is even."""
    probs = router_logits.softmax(dim=-1)
    chosen = router_logits.topk(top_k, dim=-1).indices
    fraction = F.one_hot(chosen, probs.shape[-1]).to(probs.dtype).mean(dim=(0, 1))  # share of assignments, no gradient
    return probs.shape[-1] * (fraction * probs.mean(dim=0)).sum()


def auxiliary_losses(ffns: list[DenseFFN], residuals: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    """Means over layers of load balance and router z-loss, and of the entropy of the mean depth choice (nats).

    Only those whose head exists: the first two need a router, the last a depth head. Both heads are tiny, so they are
    evaluated once more on the residual stream H of each layer instead of carrying their logits out of the (compiled)
    layers.
    """
    terms: dict[str, list[torch.Tensor]] = {}
    for ffn, residual in zip(ffns, residuals, strict=True):
        hidden = residual.flatten(0, -2).float()
        if isinstance(ffn, RoutedFFN):
            router_logits = F.linear(hidden, ffn.router.weight)
            terms.setdefault("load_balance", []).append(load_balance_loss(router_logits, ffn.top_k))
            terms.setdefault("router_z", []).append(router_logits.logsumexp(dim=-1).square().mean())
        if isinstance(ffn, DepthPath):
            mean_choice = F.linear(hidden, ffn.depth_head.weight).softmax(dim=-1).mean(dim=0)
            entropy = -(mean_choice * mean_choice.clamp_min(1e-9).log()).sum()
            terms.setdefault("depth_entropy", []).append(entropy)
    return {name: torch.stack(values).mean() for name, values in terms.items()}


def make_optimizer(model: torch.nn.Module, weight_decay: float) -> torch.optim.AdamW:
    """AdamW with decay on matrices only: none on norms, embeddings, router and depth head."""
    decayed, free = [], []
    for name, parameter in model.named_parameters():
        exempt = parameter.ndim < 2 or any(word in name for word in ("router", "depth_head", "embed_tokens"))
        (free if exempt else decayed).append(parameter)
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.95), fused=True)


def new_model(args: argparse.Namespace, vocab_size: int) -> VersatileFFNForCausalLM:
    """A model with fresh weights, or with those of `--init` wherever they exist there (heads, real experts: fresh)."""
    config = VersatileFFNConfig(
        vocab_size=vocab_size,
        hidden_size=args.hidden_size,
        intermediate_size=args.intermediate_size,
        num_hidden_layers=args.layers,
        num_attention_heads=args.heads,
        max_position_embeddings=args.context,
        ffn=args.ffn,
        max_loops=args.max_loops,
        tau=TAU_FLOOR,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=0,
    )
    torch.manual_seed(args.seed)
    model = VersatileFFNForCausalLM(config)
    # Larger embeddings than the usual 0.02: the heads read H un-normalised, and in layer 0 H is little more than the
    # embedding; their logits would drown in the Gumbel noise.
    torch.nn.init.normal_(model.model.embed_tokens.weight, std=args.embedding_std)
    if args.init:
        source = VersatileFFNForCausalLM.from_pretrained(args.init, dtype=torch.float32)
        missing, unexpected = model.load_state_dict(source.state_dict(), strict=False)
        new_only = all(any(part in name for part in ("router", "depth_head", "expert_")) for name in missing)
        if unexpected or not new_only:
            raise SystemExit(f"--init {args.init} has other shapes: missing {missing}, unexpected {unexpected}")
    return model


@torch.no_grad()
def held_out_loss(model: torch.nn.Module, windows: torch.Tensor, batch: int) -> float:
    """Mean next-token cross-entropy in nats over windows [window, token], in eval mode."""
    model.eval()
    losses = [model(part, labels=part, use_cache=False).loss * len(part) for part in windows.split(batch)]
    model.train()
    return (sum(losses) / len(windows)).item()


class Log:
    """Rows of figures to a CSV file and, in short, to the terminal."""

    def __init__(self, path: Path):
        self.path = path

    def write(self, row: dict[str, float]) -> None:
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(row))
            if new:
                writer.writeheader()
            writer.writerow({name: f"{value:.6g}" for name, value in row.items()})
        print("  ".join(f"{name} {value:.4g}" for name, value in row.items()), flush=True)

    def cut_after(self, step: int) -> None:
        """Drop rows past `step`: they will be made again."""
        if self.path.exists():
            header, *rows = self.path.read_text().splitlines()
            kept = [row for row in rows if int(row.split(",")[0]) <= step]
            self.path.write_text("\n".join([header, *kept]) + "\n")


def save_state(path: Path, step: int, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Everything needed to go on, replaced in one move so that a stop in between cannot spoil it."""
    partial = path.with_suffix(".partial")
    state = {"step": step, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
    state["rng"] = torch.get_rng_state()
    if torch.cuda.is_available() and (device := next(model.parameters()).device).type == "cuda":
        state["cuda_rng"] = torch.cuda.get_rng_state(device)
    torch.save(state, partial)
    os.replace(partial, path)


def kept_steps(count: int, steps: int) -> list[int]:
    """The steps after which weights are kept: `count` of them, from 0 (untrained) to `steps`, ever further apart.

    The square of an even spacing: routing changes most at the start, and tau has reached its floor long before the end.
    Fewer than `count` where a run is too short to tell them apart; none for a count of 0.
    """
    if count == 0:
        return []
    return sorted({round(steps * (i / (count - 1)) ** 2) for i in range(count)})


def keep_checkpoint(folder: Path, step: int, tokens: int, tau: float, model: torch.nn.Module) -> None:
    """Write all weights in bfloat16, with step, tokens seen and tau in the header; replaced in one move."""
    folder.mkdir(exist_ok=True)
    path = folder / kept_name(step)
    weights = {name: value.to("cpu", torch.bfloat16) for name, value in model.state_dict().items()}
    header = {"format": "pt", "step": str(step), "tokens": str(tokens), "tau": f"{tau:.6g}"}
    partial = path.with_suffix(".partial")
    save_file(weights, partial, metadata=header)
    os.replace(partial, path)


def train(args: argparse.Namespace) -> None:
    """Train by the options of `parse`, from the start or from where a run in that folder stopped."""
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    transformers_logging.set_verbosity_error()
    write_settings(out / "settings.json", args)
    tokenizer = prepare_tokenizer(args, out)
    train_tokens = write_tokens(args.data, tokenizer, out / "train.tokens")
    valid_tokens = write_tokens(args.valid, tokenizer, out / "valid.tokens")
    device = torch.device(args.device)
    model = new_model(args, len(tokenizer)).to(device).train()
    optimizer = make_optimizer(model, args.weight_decay)
    log, state_path, first_step = Log(out / "log.csv"), out / "state.pt", 0
    if state_path.exists():
        state = torch.load(state_path, map_location=device, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["rng"].cpu())
        if device.type == "cuda" and "cuda_rng" in state:
            torch.cuda.set_rng_state(state["cuda_rng"].cpu(), device)
        first_step = state["step"]
        log.cut_after(first_step)
    print(f"{model.num_parameters():,} parameters, {len(train_tokens):,} training tokens", flush=True)
    valid = torch.from_numpy(even_windows(valid_tokens, args.valid_windows, args.context)).to(device)
    ffns, residuals = [layer.mlp for layer in model.model.layers], observe_residuals(model)
    if args.compile:
        for layer in model.model.layers:
            layer.self_attn.compile()
            layer.mlp.compile()
    loss_of = torch.compile(next_token_loss) if args.compile else next_token_loss
    kept = kept_steps(args.keep_checkpoints, args.steps)
    if first_step == 0 and kept:
        keep_checkpoint(out / KEPT, 0, 0, tau_schedule(0), model)
    saved_at = time.monotonic()
    clock, clock_step = time.monotonic(), first_step
    last_step = args.steps if args.stop_after is None else min(args.steps, first_step + args.stop_after)
    for step in range(first_step, last_step):
        progress = step / args.steps
        tau, rate = tau_schedule(progress), learning_rate(args.learning_rate, progress)
        model.set_tau(tau)
        for group in optimizer.param_groups:
            group["lr"] = rate
        ids = torch.from_numpy(random_windows(train_tokens, args.batch, args.context + 1, args.seed, step)).to(device)
        residuals.clear()
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=args.bf16):
            hidden = model.model(ids[:, :-1], use_cache=False).last_hidden_state
            loss = loss_of(hidden, model.lm_head.weight, ids[:, 1:])
        row = {"step": step + 1, "tokens": (step + 1) * args.batch * args.context, "loss": loss.detach()}
        terms = auxiliary_losses(ffns, residuals)
        loss = loss + sum(args.auxiliary.factor(name) * term for name, term in terms.items())
        row |= {name: value.detach() for name, value in terms.items()}
        if "depth_entropy" in terms:
            row["tau"] = tau
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step + 1 in kept:  # before the state of this step is saved: no stop in between can lose it
            tokens, tau = (step + 1) * args.batch * args.context, tau_schedule((step + 1) / args.steps)
            keep_checkpoint(out / KEPT, step + 1, tokens, tau, model)
        done = step + 1 == last_step
        if (step + 1) % args.log_every == 0 or step + 1 == args.steps:
            evaluated = (step + 1) % args.valid_every == 0 or step + 1 == args.steps
            now = time.monotonic()
            row["held_out"] = held_out_loss(model, valid, args.batch) if evaluated else math.nan
            row["lr"] = rate
            row["tokens_per_s"] = (step + 1 - clock_step) * args.batch * args.context / (now - clock)
            log.write({name: float(value) for name, value in row.items()})
            clock, clock_step = time.monotonic(), step + 1
        if done or time.monotonic() - saved_at > args.save_every_s:
            save_state(state_path, step + 1, model, optimizer)
            saved_at = time.monotonic()
    if last_step < args.steps:
        return
    model.config.gates_trained = any(isinstance(ffn, (RoutedFFN, DepthPath)) for ffn in ffns)
    model.eval().save_pretrained(out)
    tokenizer.save_pretrained(out)


def write_settings(path: Path, args: argparse.Namespace) -> None:
    """Write the options of a run; if it has some already, those that shape it must be the same, files by name.

    Raises SystemExit with one sentence if they are not. A run without the file, of an older version, is accepted.
    """
    settings = {name: value for name, value in vars(args).items() if name != "auxiliary"}
    text = json.dumps(settings, indent=2, default=str) + "\n"
    if path.exists():
        before, now = json.loads(path.read_text()), json.loads(text)
        for name in SHAPING:
            if name in before and (was := _by_name(name, before[name])) != (given := _by_name(name, now[name])):
                option = "--" + name.replace("_", "-")
                raise SystemExit(
                    f"{path.parent} is a run with {option} {was} and cannot go on with {option} {given}: give the same "
                    "option, or another --out"
                )
    path.write_text(text)


def _by_name(option: str, value):
    """An option's value for comparison: of files and folders the names, since they may have moved."""
    if option in ("data", "valid"):
        return [Path(file).name for file in value]
    return Path(value).name if option == "init" and value else value


def observe_residuals(model: VersatileFFNForCausalLM) -> list[torch.Tensor]:
    """A list that every forward pass fills with H of each layer; clear it before the pass."""
    residuals: list[torch.Tensor] = []
    for layer in model.model.layers:
        layer.hook_resid_mid.register_forward_hook(lambda module, inputs, output: residuals.append(output))
    return residuals


def next_token_loss(hidden: torch.Tensor, head: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy in nats: hidden [batch, token, d], head [vocab, d], labels [batch, token]."""
    return F.cross_entropy(F.linear(hidden, head).flatten(0, 1).float(), labels.flatten())


def prepare_tokenizer(args: argparse.Namespace, out: Path) -> PreTrainedTokenizerFast:
    """The one of `--init`, or of this run if it was stopped and goes on, or a new one from the training text."""
    for folder in (Path(args.init) if args.init else out, out):
        if (folder / "tokenizer.json").exists():
            tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
            break
    else:
        tokenizer = train_tokenizer(args.data, args.vocab_size, args.context)
    tokenizer.save_pretrained(out)
    return tokenizer


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Options of the command; wrong ones end the program with a message."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", type=Path, required=True, help="training text files")
    parser.add_argument("--valid", nargs="+", type=Path, required=True, help="held-out text files")
    parser.add_argument("--out", required=True, help="folder of the run")
    parser.add_argument("--init", help="folder of a trained model of the same sizes to continue from")
    parser.add_argument("--ffn", choices=tuple(FFN), default="versatile")
    parser.add_argument("--max-loops", type=int, default=4, help="most loops of a token; k of k_loop")
    parser.add_argument("--hidden-size", type=int, default=256)
    parser.add_argument("--intermediate-size", type=int, default=768)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--context", type=int, default=512, help="tokens per window")
    parser.add_argument("--vocab-size", type=int, default=4096)
    parser.add_argument("--embedding-std", type=float, default=0.5, help="standard deviation of fresh embeddings")
    parser.add_argument("--batch", type=int, default=4, help="windows per step")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--stop-after", type=int, help="steps to do in this call; the same command goes on from there")
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="peak")
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--load-balance", type=float, default=AuxiliaryWeights.load_balance)
    parser.add_argument("--router-z", type=float, default=AuxiliaryWeights.router_z)
    parser.add_argument("--depth-entropy", type=float, default=AuxiliaryWeights.depth_entropy)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=True, help="autocast to bfloat16")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True, help="torch.compile layers")
    parser.add_argument("--log-every", type=int, default=20, help="steps")
    parser.add_argument("--valid-every", type=int, default=200, help="steps; a multiple of --log-every")
    parser.add_argument("--valid-windows", type=int, default=32)
    parser.add_argument("--save-every-s", type=float, default=180, help="seconds between checkpoints")
    parser.add_argument(
        "--keep-checkpoints",
        type=int,
        default=0,
        metavar="N",
        help="weights to keep along the run, first to last: 2 or more",
    )
    args = parser.parse_args(argv)
    if args.keep_checkpoints < 0 or args.keep_checkpoints == 1:
        parser.error(f"--keep-checkpoints must be 0 or at least 2, got {args.keep_checkpoints}")
    args.auxiliary = AuxiliaryWeights(args.load_balance, args.router_z, args.depth_entropy)
    return args


if __name__ == "__main__":
    train(parse())
