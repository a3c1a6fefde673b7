"""The families as they are written in PyTorch: the loss of a minibatch, eager or compiled.

float32, fused Adam with its defaults, no schedule. ``dead`` units of the sparse code, the first
ones, have the auxiliary loss of Gao et al. ("Scaling and evaluating sparse autoencoders", 2024).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy
from torch.nn.functional import linear


def _bce(output: Any, x: Any) -> Any:
    return cross_entropy(output, x, reduction="sum") / len(x)


def _layers(widths: Sequence[int]) -> Any:
    """Linear layers with relu between them."""
    modules: list[Any] = []
    for pair in pairwise(widths):
        modules += [torch.nn.Linear(*pair), torch.nn.ReLU()]
    return torch.nn.Sequential(*modules[:-1])


class Net(torch.nn.Module):
    """``family`` with the widths of the encoder: features, hidden layers, code."""

    def __init__(
        self, family: str, widths: Sequence[int], code_activation: str, k: int, dead: int
    ) -> None:
        super().__init__()
        self.family, self.k, self.bounded = family, k, code_activation == "sigmoid"
        self.revived = min(dead, widths[0] // 2)
        self.register_buffer("alive", torch.arange(widths[-1]) >= dead)
        top = 2 * widths[-1] if family == "variational" else widths[-1]
        self.encoder, self.decoder = _layers([*widths[:-1], top]), _layers(widths[::-1])
        if family == "tied":
            self.biases = torch.nn.ParameterList(torch.zeros(n) for n in widths[-2::-1])
            del self.decoder

    def forward(self, x: Any) -> Any:
        """The mean loss of x (batch, features)."""
        read = x + 0.3 * torch.randn_like(x) if self.family == "denoising" else x
        z, more = self.encoder(read), 0.0
        if self.bounded:
            z = torch.sigmoid(z)
        if self.family == "sparse":
            values, places = torch.topk(z, self.k, dim=1, sorted=False)
            output = self.decoder(torch.zeros_like(z).scatter(1, places, values))
            error, more = x - output, 0.0
            if self.revived:
                low = z.masked_fill(self.alive, -torch.inf)
                values, places = torch.topk(low, self.revived, dim=1, sorted=False)
                found = linear(
                    torch.zeros_like(z).scatter(1, places, values), self.decoder[0].weight
                )
                more = ((found - error.detach()) ** 2).sum() / 32
            return ((error**2).sum() + more) / len(x)
        if self.family == "variational":
            mean, log_variance = z.chunk(2, dim=1)
            z = mean + torch.exp(log_variance / 2) * torch.randn_like(mean)
            spread = log_variance.exp() + mean**2 - 1 - log_variance
            more = spread.sum() / 2 / len(x)
        if self.family == "contractive":
            more = 0.1 * self._norm(x, z) / len(x)
        if self.family == "tied":
            linears = [module for module in self.encoder if isinstance(module, torch.nn.Linear)]
            for i, (layer, bias) in enumerate(zip(linears[::-1], self.biases, strict=True)):
                z = linear(torch.relu(z) if i else z, layer.weight.T, bias)
            return _bce(z, x)
        return _bce(self.decoder(z), x) + more

    def _norm(self, x: Any, z: Any) -> Any:
        """The sum of ||dz/dx||^2 in the closed forms that tinyae takes too."""
        first = self.encoder[0].weight
        if self.bounded:
            slopes = (z * (1 - z)) ** 2
            return (slopes * (first**2).sum(dim=1)).sum()
        slopes = (linear(x, first, self.encoder[0].bias) > 0).to(x.dtype)
        above = self.encoder[2].weight
        return ((slopes @ ((first @ first.T) * (above.T @ above))) * slopes).sum()


def trainer(
    family: str,
    widths: Sequence[int],
    code_activation: str,
    k: int,
    compiled: bool,
    dead: int = 0,
) -> Callable[[Any], None]:
    """One update from a minibatch, a NumPy array (batch, features)."""
    torch.manual_seed(0)
    net = Net(family, widths, code_activation, k, dead)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
    loss_of = torch.compile(net, dynamic=False) if compiled else net

    def update(x: Any) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss_of(torch.from_numpy(x)).backward()
        optimizer.step()

    return update
