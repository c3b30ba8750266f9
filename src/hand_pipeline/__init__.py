"""Learn 3D hand meshes from images: HandMIM, MaskHand and S2HAND side by side."""

__version__ = "0.1.0"
