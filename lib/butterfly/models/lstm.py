"""Long short-term memory: `lstm-WIDTH[-norm][-recurrent|-zoneoutPERCENT][-every]`."""

from dataclasses import dataclass

import torch
from torch import Tensor

from butterfly.models.base import Tensors
from butterfly.models.recurrent import OPTIONS, Recurrent
from butterfly.stack import Parameter, channel_norm, norm

PATTERN = r"lstm-(?P<width>\d+)(-(?P<norm>norm))?" + OPTIONS


@dataclass(frozen=True)
class LSTM(Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997; forget gates: Gers et al. 2000).

    The state is the hidden state and, behind it, the cells. The gates are those of `torch.nn.LSTM`, in the order
    input, forget, output, new, with one bias each. `norm` normalises the gates of each example and step over all their
    units, and the cells before they are shown (layer normalisation, Ba et al. 2016).
    """

    norm: str = ""

    gates = 4
    parts = 2

    def others(self, state: Parameter) -> list[Parameter]:
        """Gains and biases of the normalised gates and cells."""
        cells = Parameter("cell", (self.width,), "norm", scale=state.scale, outputs=self.width)
        return [*norm("gates", state), *norm("cells", cells)] if self.norm else []

    def step(self, p: Tensors, read: Tensor, state: Tensor, kept: Tensor | None) -> Tensor:
        h, cells = state.chunk(2, dim=2)
        gates = torch.baddbmm(read, h, p["state.weight"])
        if self.norm:
            gates = channel_norm(gates, p["gates.gain"], p["gates.bias"])
        enter, forget, out = torch.sigmoid(gates[..., : 3 * self.width]).chunk(3, dim=2)
        new = torch.tanh(gates[..., 3 * self.width :])
        cells = forget * cells + enter * (new if kept is None else new * kept)
        shown = channel_norm(cells, p["cells.gain"], p["cells.bias"]) if self.norm else cells
        return torch.cat([out * torch.tanh(shown), cells], 2)
