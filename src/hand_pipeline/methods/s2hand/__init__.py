"""S2HAND: textured hands learnt from images and noisy 2D joints."""
