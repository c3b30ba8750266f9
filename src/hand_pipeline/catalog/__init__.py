"""Kedro data sets of our own: checkpoints, shards, pictures."""
