"""The paper's family of models, trained from one dense model and compared: `python -m sample_models.family`."""
