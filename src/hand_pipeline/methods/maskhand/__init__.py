"""MaskHand: hands as tokens, filled in by a masked transformer."""
