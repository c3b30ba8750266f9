"""PeCLR: contrastive pretraining whose latents turn with the view."""
