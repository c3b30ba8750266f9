"""PyMAF: a MANO hand from a feature pyramid, corrected step by step."""
