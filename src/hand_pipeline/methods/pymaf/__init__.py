"""PyMAF: a MANO hand from a feature pyramid, refined iteratively."""
