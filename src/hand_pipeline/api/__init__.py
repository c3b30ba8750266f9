"""For programs: which models there are, and the hands of a photo in a call."""
