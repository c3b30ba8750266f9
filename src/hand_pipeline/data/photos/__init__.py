"""Photos of hands: found, read, detected, cropped, set aside."""
