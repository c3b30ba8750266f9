"""The sub-commands of `python -m hand_pipeline`."""
