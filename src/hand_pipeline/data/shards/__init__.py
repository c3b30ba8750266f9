"""Crops in tar shards with an index."""
