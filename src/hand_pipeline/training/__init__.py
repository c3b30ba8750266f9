"""The one training loop, its contract, schedules, EMA and checkpoints."""
