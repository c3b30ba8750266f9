"""Rotations, cameras, affine maps, alignment, the MANO hand, the rasterizer. Knows no learning."""
