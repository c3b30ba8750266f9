"""The official scores of each benchmark from its label and prediction files: one file a family."""
