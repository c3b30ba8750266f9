"""Photos, crops, shards, views, synthetic hands and the batches that leave them."""
