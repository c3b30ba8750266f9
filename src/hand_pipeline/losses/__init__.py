"""Loss terms: tensors in, one scalar out."""
