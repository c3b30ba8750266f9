"""The encoder of both student and teacher: a ViT, a shared head and optional prototypes."""

from jaxtyping import Float
from torch import Tensor, nn

from hand_pipeline.models.projection_head import ProjectionHead, Prototypes
from hand_pipeline.models.vit import VisionTransformer


class TokenEncoder(nn.Module):
    """A ViT with one head that maps class and patch tokens to latents, and optional prototypes."""

    def __init__(
        self, vit: VisionTransformer, head: ProjectionHead, prototypes: Prototypes | None = None
    ) -> None:
        super().__init__()
        self.vit = vit
        self.head = head
        self.prototypes = prototypes

    def logits(self, tokens: Float[Tensor, "tokens width"]) -> Float[Tensor, "tokens logits"]:
        """Logits of class or patch tokens: cosines to the prototypes, or latents without them."""
        latents = self.head(tokens)
        return latents if self.prototypes is None else self.prototypes(latents)
