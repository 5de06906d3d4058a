"""About the models: facts, health check, faithfulness, training, and the family of reproduced models."""
