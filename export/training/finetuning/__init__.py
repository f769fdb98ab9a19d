"""Fine-tuning: a checkpoint of transformers learns a person's own labels."""
