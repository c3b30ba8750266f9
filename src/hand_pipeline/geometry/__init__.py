"""Rotations, cameras, affine maps, alignment, the MANO hand and the rasterizer. Knows no learning."""
