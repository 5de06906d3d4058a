"""Turn a dense model of the Llama family into a VersatileFFN that imitates it.

    python -m sample_models.distil --dense DENSE --data corpus/*.txt --valid held_out/*.txt --out runs/distilled

DENSE is a Hugging Face folder or a GGUF file. Routers and depth heads are first fitted in closed form. Then the FFN is
trained layer by layer on the dense model's residual stream, and then the whole model end to end on its predictions.
Training changes all norms, routers and depth heads, and the FFN's matrices by low-rank updates (`--rank`).
Text files are UTF-8 (`.xz` too), with documents separated by a line `<|endoftext|>`. Give the same command again to
continue a stopped run from its last saved state. `log.csv` holds the curves. At the end the folder of the run is a
model folder, and its `update.safetensors` holds everything that was trained.
"""

from transformers.utils import logging as transformers_logging

from sample_models.distil.options import DistilOptions
from sample_models.distil.run import Distillation
from sample_models.distil.teacher import dense_folder
from sample_models.run_options import parse_options, save_settings


def main(argv: list[str] | None = None) -> None:
    """Distil as the command line says; a run that cannot begin or go on ends the program with one sentence."""
    options = parse_options(DistilOptions, "python -m sample_models.distil", __doc__, argv)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        save_settings(options, options.out / "settings.json")
        run = Distillation(options, dense_folder(options.dense, options.out / "dense"))
        if options.init and run.first_step == 0:
            run.begin_with(options.init)
        run.train()
    except ValueError as error:
        raise SystemExit(str(error)) from error
    if run.first_step == options.layer_steps + options.steps:
        run.save_model()
        print(f"{options.out} is ready")


if __name__ == "__main__":
    main()
