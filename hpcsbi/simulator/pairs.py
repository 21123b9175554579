"""Pairs of theta and noisy spectrum: which are stored and held out, and fresh ones."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from hpcsbi.errors import BadInput
from hpcsbi.seeds import generator, torch_generator
from hpcsbi.simulator.observation.instruments import line_spreads
from hpcsbi.simulator.observation.noise import Noise
from hpcsbi.simulator.table.ssp_table import Ssp
from hpcsbi.simulator.theta.prior import Prior

__all__ = ["SPLITS", "PairPlan", "fresh_pairs", "split_of"]

SPLITS = {"train": 0, "validation": 1, "test": 2}


@dataclass(frozen=True)
class PairPlan:
    """Which base spectrum each stored pair is made of, and which split it belongs to.

    Training pairs come first, copy after copy, so that neighbours are different spectra; then one
    pair for each base spectrum that is held out. The split is by base spectrum: copies of one
    spectrum on both sides would reward memorising it.

    Arguments:
        usable: rows of the simulations that have a spectrum, shape (n_base,).
        copies: noisy copies of each training spectrum.
        validation, test: base spectra held out.
        seed: seed of the split.

    Raises:
        ValueError: more spectra held out than there are, or no pair at all.
    """

    usable: np.ndarray
    copies: int
    validation: int
    test: int
    seed: int

    def __post_init__(self) -> None:
        if self.validation + self.test > len(self.usable):
            raise BadInput(
                f"augment holds out validation={self.validation} + test={self.test} of "
                f"{len(self.usable)} usable spectra: simulate more, or hold out fewer."
            )
        if not len(self):
            raise BadInput(
                f"augment has nothing to do: copies={self.copies}, validation=0, test=0 of "
                f"{len(self.usable)} usable spectra."
            )

    def __len__(self) -> int:
        return self.n_train + self.validation + self.test

    @property
    def n_train(self) -> int:
        """Number of training pairs; they are rows 0 to n_train - 1."""
        return self.copies * (len(self.usable) - self.validation - self.test)

    @cached_property
    def _parts(self) -> tuple[np.ndarray, np.ndarray]:
        """Base rows of training spectra, and of the held-out pairs in the order of the store."""
        order = generator(self.seed, "augment").permutation(self.usable)
        validation, test, train = np.split(order, [self.validation, self.validation + self.test])
        return np.sort(train), np.concatenate([np.sort(validation), np.sort(test)])

    @property
    def training(self) -> np.ndarray:
        """Base rows that training may see, ascending."""
        return self._parts[0]

    def base(self, rows: slice) -> np.ndarray:
        """Base row of the pairs in `rows`, int64."""
        train, (_, held_out) = self.training, self._parts
        index = np.arange(rows.start, rows.stop)
        is_train = index < self.n_train
        base = np.empty(len(index), dtype=np.int64)
        base[is_train] = train[index[is_train] % max(len(train), 1)]
        base[~is_train] = held_out[index[~is_train] - self.n_train]
        return base

    def split(self, rows: slice) -> np.ndarray:
        """Split of the pairs in `rows`, int8, values of SPLITS."""
        index = np.arange(rows.start, rows.stop)
        ends = [self.n_train, self.n_train + self.validation]
        return np.searchsorted(ends, index, side="right").astype(np.int8)


def split_of(settings: dict, rows: int, name: str) -> slice:
    """Rows of a split in the training store that `settings` made, with `rows` rows."""
    test, validation = settings["test"], settings["validation"]
    ends = np.cumsum([0, rows - test - validation, validation, test])
    return slice(int(ends[SPLITS[name]]), int(ends[SPLITS[name] + 1]))


def fresh_pairs(
    n: int,
    prior: Prior,
    ssp: Ssp,
    noise: Noise,
    wave: torch.Tensor,
    pad: np.ndarray,
    rng: np.random.Generator,
) -> tuple[torch.Tensor, ...]:
    """Draw parameters, spectra and noise that no store holds.

    Arguments:
        n: number of pairs.
        prior: the prior.
        ssp: the table engine.
        noise: the noise model.
        wave: pixel centres, shape (pixels,); it follows the table to its device.
        pad: widening of the prior at either end, in coordinates, shape (n_theta,).
        rng: generator of parameters; it also seeds that of the noise.

    Returns:
        Coordinates of theta (n, n_theta), noise-free flux, noisy flux and ivar (n, pixels); and
        what the instrument adds to dispersions (n, KNOTS), where the noise has instruments.
    """
    wave = wave.to(ssp.k.device)
    coordinates = prior.widened(rng.random((n, len(prior.names))), pad)
    own, device = prior.theta(coordinates), wave.device
    theta = torch.as_tensor(own, dtype=torch.float32, device=device)
    column = dict(zip(prior.names, theta.T, strict=True))
    floor, error = column.get("noise_floor"), column.get("model_error")
    seeded, zred = torch_generator(int(rng.integers(2**62)), device), prior.given.redshift(own)
    zred = None if zred is None else torch.as_tensor(zred, dtype=torch.float32, device=device)
    instrument = line_spreads(noise, n, wave, seeded, zred)
    signal = ssp.flux(theta, prior.names, instrument)
    flux, ivar, _ = noise(signal, wave, floor, seeded, zred, error)
    pairs = torch.as_tensor(coordinates, dtype=torch.float32).to(device), signal, flux, ivar
    return pairs if instrument is None else (*pairs, instrument)
