"""Attention whose keys and values are projected once and used by many queries."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017) in two halves.

    `project_values` needs only the context, `forward` the queries and the projected values: if the
    image stays and the queries change, as in iterative sampling, the first half runs once.

    Args:
        width: of the queries and of the result.
        num_heads: heads.
        context_width: of the context; None: `width`.
        head_width: of one head; None: `width / num_heads`.
        dropout: on the attention weights.

    Raises:
        ValueError: `width` is not a multiple of `num_heads` and no `head_width` is given.
    """

    def __init__(
        self,
        width: int,
        num_heads: int,
        context_width: int | None = None,
        head_width: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if head_width is None and width % num_heads:
            raise ValueError(f"width {width} is not a multiple of {num_heads} heads")
        inner = num_heads * (head_width or width // num_heads)
        self.num_heads = num_heads
        self.dropout = dropout
        self.query_proj = nn.Linear(width, inner)
        self.key_proj = nn.Linear(context_width or width, inner)
        self.value_proj = nn.Linear(context_width or width, inner)
        self.output_proj = nn.Linear(inner, width)

    def project_values(
        self, context: Float[Tensor, "batch entries context_width"]
    ) -> tuple[Tensor, ...]:
        """Keys and values of `context`, each (batch, heads, entries, head width)."""
        return self._heads(self.key_proj(context)), self._heads(self.value_proj(context))

    def forward(
        self, queries: Float[Tensor, "batch tokens width"], values: tuple[Tensor, ...]
    ) -> Float[Tensor, "batch tokens width"]:
        """Attention output for each query.

        Args:
            queries: as many batch entries as `values`, or K times as many: then K successive
                entries (hypotheses) share a context, which is not copied.
            values: from `project_values`.
        """
        keys, contents = values
        folded = self.query_proj(queries).reshape(len(keys), -1, keys.shape[1] * keys.shape[3])
        found = F.scaled_dot_product_attention(
            self._heads(folded), keys, contents, dropout_p=self.dropout if self.training else 0.0
        )
        return self.output_proj(found.transpose(1, 2).flatten(2).reshape(*queries.shape[:2], -1))

    def _heads(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


class FeedForward(nn.Sequential):
    """Two linear layers with GELU between them, applied to every token alike."""

    def __init__(self, width: int, hidden_width: int, dropout: float = 0.0) -> None:
        super().__init__(
            nn.Linear(width, hidden_width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_width, width),
        )
