"""PeCLR: contrastive pretraining whose latents are equivariant to the view."""
