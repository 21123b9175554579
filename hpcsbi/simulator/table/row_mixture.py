"""How theta mixes the rows of a table: components of its history, at the metallicities beside its.

A row is what one component of a family of histories has at one metallicity (coefficients of a
basis, fluxes in bands, lines, mass); galaxies are linear in the rows.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from hpcsbi.kernels.table import mix
from hpcsbi.simulator.galaxy.histories import History
from hpcsbi.simulator.galaxy.interpolation import interval
from hpcsbi.simulator.galaxy.terms import Layout

__all__ = ["Mixture"]


class Mixture(torch.nn.Module):
    """Rows of tables that have a family's components for each metallicity.

    Arguments:
        history: the family.
        log_age: log10 of the table's ages in years, ascending, shape (ages,).
        logzsol: its metallicities, ascending, shape (logzsol,).
    """

    def __init__(self, history: History, log_age: np.ndarray, logzsol: np.ndarray) -> None:
        super().__init__()
        self.history, self.log_age = history, log_age
        metallicity = torch.as_tensor(logzsol).float()
        self.register_buffer("metallicity", metallicity, persistent=False)

    def is_compiled(self, values: Tensor) -> bool:
        """True where the compiled loop may do it: float32 on a CPU, and no gradient is wanted."""
        of = self.metallicity
        cpu = of.dtype == torch.float32 and of.device.type == "cpu"
        return cpu and not values.requires_grad

    def forward(self, table: Tensor, column: Mapping[str, Tensor]) -> Tensor:
        """Rows of a table, mixed; differentiable, shape (n, columns of the table).

        Arguments:
            table: a row for each metallicity and, faster, component, shape (logzsol * components,
                columns).
            column: values of each of theta's columns, shape (n,).
        """
        if self.is_compiled(column["logzsol"]):
            factor = torch.ones(1, len(column["logzsol"]))
            return self.weighted(table, column, factor, Layout.whole(table.shape[1]))
        bags, weights = self.rows(len(table), column)
        return torch.nn.functional.embedding_bag(
            bags, table, mode="sum", per_sample_weights=weights
        )

    def weighted(
        self, table: Tensor, column: Mapping[str, Tensor], factors: Tensor, layout: Layout
    ) -> Tensor:
        """`Layout.weighted` of what `forward` gives, in one compiled pass, without gradients."""
        index, share = self.history.mixture(self.log_age, column)
        inputs = index, share, column["logzsol"], factors
        weighted = np.empty((len(share), layout.ranks.sum()), np.float32)
        mix(
            *(values.detach().contiguous().numpy() for values in inputs),
            table.numpy(), self.metallicity.numpy(), layout.starts, layout.ranks, weighted,
        )  # fmt: skip
        return torch.from_numpy(weighted)

    def rows(self, length: int, column: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Row numbers, those of a metallicity following each other, and weights, shapes (n, 2 m).

        Arguments:
            length: rows of the table.
            column: see `forward`.
        """
        cell, right = interval(self.metallicity, column["logzsol"].contiguous())
        right = right[:, None]
        index, share = self.history.mixture(self.log_age, column)
        components = length // len(self.metallicity)
        bags = (cell * components)[:, None] + index
        return torch.cat([bags, bags + components], 1), torch.cat(
            [share * (1 - right), share * right], 1
        )
