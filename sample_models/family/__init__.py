"""The paper's family of models, trained from one dense model and held to it: `python -m sample_models.family`."""
