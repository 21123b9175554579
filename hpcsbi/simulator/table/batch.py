"""Spectra on the model's pixels, with what else belongs to each of them."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Batch"]


@dataclass(frozen=True)
class Batch:
    """Some spectra; the first dimension of everything is that of the objects.

    Arguments:
        flux, ivar: L_sun / Angstrom and its inverse variance, 0 where masked, float32,
            shape (objects, pixels).
        seeds: one integer each, on which its draws depend, whatever batch it is in.
        zred: redshifts, for priors that bound tage by the age of the Universe; None for no bound.
        instrument: what the instrument adds to dispersions, km/s, see `survey.line_spread`,
            float32, shape (objects, KNOTS); None: nothing.

    Example:
        >>> flux = np.ones((3, 138), dtype=np.float32)
        >>> batch = Batch(flux, flux, np.arange(3))
        >>> len(batch[1:]), batch[[0, 2]].seeds
        (2, array([0, 2]))
    """

    flux: np.ndarray
    ivar: np.ndarray
    seeds: np.ndarray
    zred: np.ndarray | None = None
    instrument: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.flux)

    def __getitem__(self, rows: slice | np.ndarray) -> "Batch":
        """Those objects, as a batch: a slice, indices, or a mask."""
        return Batch(*(None if each is None else each[rows] for each in vars(self).values()))

    @property
    def spectra(self) -> tuple[np.ndarray, ...]:
        """Flux and ivar; and what the instrument adds, where it adds something."""
        spectra = self.flux, self.ivar
        return spectra if self.instrument is None else (*spectra, self.instrument)

    @property
    def zred_column(self) -> np.ndarray | None:
        """Redshifts that broadcast against draws of each object, shape (objects, 1), or None."""
        return None if self.zred is None else self.zred[:, None]

    @property
    def only_zred(self) -> float | None:
        """The redshift of a batch of one spectrum, None for no bound."""
        return None if self.zred is None else float(self.zred.item())
