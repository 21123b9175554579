"""Labels as the authors' code gave them: parameters drawn anew, with a spectrum of others.

Of many parameters drawn from the prior each gets the spectrum of the nearest of few simulations,
and keeps its own values as the label. Labels are wrong by the distance to the neighbour; a flow
that learns from such pairs is wide by it. For reproducing the paper, and for nothing else.

References:
    Khullar et al. 2022, arXiv:2211.07640, the notebook that the paper names.
"""

import numpy as np
from scipy.spatial import cKDTree

from hpcsbi.errors import BadInput
from hpcsbi.simulator.theta.prior import Prior

__all__ = ["LABELS", "NearestLabels"]

LABELS = ("own", "nearest")


class NearestLabels:
    """The simulations that lend their spectra.

    Arguments:
        prior: what labels are drawn from.
        theta: of the simulations, own units, shape (n, n_theta).

    Raises:
        BadInput: no simulation, or a prior that depends on the redshift.
    """

    def __init__(self, prior: Prior, theta: np.ndarray) -> None:
        if prior.bound_age or not prior.inferred.all():
            raise BadInput(
                "augment.labels=nearest draws labels without a redshift, on which this prior "
                "depends: take augment.labels=own, or prior=digs."
            )
        if not len(theta):
            raise BadInput("augment.labels=nearest: no simulation is left for training.")
        self.prior, self.tree = prior, cKDTree(prior.coordinates(theta))

    def draw(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Labels and the simulation that each is nearest to, (n, n_theta) and (n,).

        Nearest in `Prior.coordinates`, whose axes are not scaled.
        """
        coordinates = self.prior.sample_coordinates(n, rng)
        return self.prior.theta(coordinates), self.tree.query(coordinates)[1]
