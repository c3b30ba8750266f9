"""What a self-distilled student and its teacher both are: a ViT, a shared head, prototypes."""

from jaxtyping import Float
from torch import Tensor, nn

from hand_pipeline.models.projection_head import ProjectionHead, Prototypes
from hand_pipeline.models.vit import VisionTransformer


class TokenEncoder(nn.Module):
    """A ViT whose class and patch tokens one head maps to latents, with prototypes if wanted."""

    def __init__(
        self, vit: VisionTransformer, head: ProjectionHead, prototypes: Prototypes | None = None
    ) -> None:
        super().__init__()
        self.vit = vit
        self.head = head
        self.prototypes = prototypes

    def logits(self, tokens: Float[Tensor, "tokens width"]) -> Float[Tensor, "tokens logits"]:
        """Of class or patch tokens: cosines to the prototypes, or the latents where none are."""
        latents = self.head(tokens)
        return latents if self.prototypes is None else self.prototypes(latents)
