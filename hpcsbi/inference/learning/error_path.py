"""Errors of rising rank that maximise the evidence of a survey: expectation maximisation by draws.

Each step takes the moments of the spectra under the error as it is, and makes the error that they
ask for; the draws of every object follow to the posterior under that one, and tell by how much its
evidence has changed. Objects that are held out follow too and teach nothing: their evidence judges.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from hpcsbi.inference.learning.error_moments import Moments, error_moments, object_weights
from hpcsbi.inference.learning.error_update import further_template, next_error, prior_factor
from hpcsbi.inference.learning.following import follow
from hpcsbi.simulator.observation.learned_error import LearnedError
from hpcsbi.simulator.observation.noise import SurveyNoise
from hpcsbi.simulator.probability.likelihood import Likelihood, of_simulator
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.simulator.table.ssp_table import Ssp
from hpcsbi.simulator.theta.prior import Prior

__all__ = ["Care", "Rank", "Survey", "error_path"]


@dataclass(frozen=True)
class Survey:
    """What teaches: spectra, and draws of their posteriors under the noise of the flow.

    Arguments:
        spectra: the objects, with seeds and redshifts.
        coordinates: equally weighted draws, in `Prior.coordinates`, (objects, draws, n_theta).
        ssp: the table.
        prior: of theta.
        noise: under which the draws were made.
        grid: settings of the grid.
    """

    spectra: Batch
    coordinates: np.ndarray
    ssp: Ssp
    prior: Prior
    noise: SurveyNoise
    grid: dict


@dataclass(frozen=True)
class Care:
    """How carefully an error is looked for.

    Arguments:
        rank: the largest that is tried.
        steps: of expectation maximisation at each rank.
        moves: of each draw after each step.
        strength: of the prior of mean and templates, see `error_update`.
    """

    rank: int
    steps: int
    moves: int
    strength: float


@dataclass(frozen=True)
class Rank:
    """The error of one rank.

    Arguments:
        error: mean and templates.
        gain: ln evidence of each object over that under the noise of the draws, NaN where its draws
            could not follow, shape (objects,).
        history: of the objects that teach, after each step, shape (steps,).
    """

    error: LearnedError
    gain: np.ndarray
    history: np.ndarray


def error_path(survey: Survey, teaches: np.ndarray, care: Care) -> Iterator[Rank]:
    """Errors from the rank of the noise of the draws, or 0, to the largest.

    Arguments:
        survey: objects and draws.
        teaches: False for objects that are held out, shape (objects,).
        care: how carefully.
    """
    error = _first(survey)
    root = prior_factor(survey.ssp.wave)
    draws, weights = _Draws(survey), teaches.astype(float)
    for rank in range(len(error.templates), care.rank + 1):
        if rank > len(error.templates):
            template = further_template(draws.moments(error, weights))
            error = _followed(draws, error, error.mean, [*error.templates, template], care)
        history = []
        for _ in range(care.steps):
            weights = teaches * draws.weights(error)
            new = next_error(
                np.array(error.mean), draws.moments(error, weights), root, care.strength
            )
            error = _followed(draws, error, *new, care)
            history.append(np.nansum(draws.gain[teaches]))
        yield Rank(error, draws.gain.copy(), np.array(history))


def _first(survey: Survey) -> LearnedError:
    known = survey.noise.learned
    if known is not None:
        return known
    none = np.zeros(survey.spectra.flux.shape[1])
    return LearnedError(none, [], survey.grid, survey.noise.model_error)


def _followed(
    draws: "_Draws", old: LearnedError, mean: np.ndarray, templates: np.ndarray, care: Care
) -> LearnedError:
    """The new error, when the draws are where it takes them."""
    new = replace(old, mean=mean, templates=templates)
    draws.follow(old, new, care.moves)
    return new


class _Draws:
    """The draws of a survey on their way, and the ln evidence that they have gained."""

    def __init__(self, survey: Survey) -> None:
        self.survey, self.coordinates, self.step = survey, survey.coordinates, 0
        self.gain = np.zeros(len(survey.spectra))

    def moments(self, error: LearnedError, weights: np.ndarray) -> Moments:
        """Of objects whose draws have arrived, and that count."""
        some = np.isfinite(self.gain) & (weights > 0)
        rows = self.survey.spectra[some], self._theta(self.coordinates[some]), weights[some]
        return error_moments(self._likelihood(error), *rows)

    def weights(self, error: LearnedError) -> np.ndarray:
        """See `object_weights`."""
        theta = self._theta(self.coordinates)
        return object_weights(self._likelihood(error), self.survey.spectra, theta)

    def follow(self, old: LearnedError, new: LearnedError, moves: int) -> None:
        """Take the draws from one error to the next."""
        spectra = self.survey.spectra
        before, after = (self._function(self._likelihood(error)) for error in (old, new))
        rest = self.survey.prior, spectra.zred, spectra.seeds, self.step, moves
        there = follow(self.coordinates, before, after, *rest)
        self.coordinates, self.step = there.coordinates, self.step + 1
        self.gain = np.where(there.arrived, self.gain + there.log_ratio, np.nan)

    def _likelihood(self, error: LearnedError) -> Likelihood:
        noise = replace(self.survey.noise, learned=error)
        return of_simulator(self.survey.ssp, self.survey.prior.names, noise)

    def _theta(self, coordinates: np.ndarray) -> np.ndarray:
        return self.survey.prior.theta(coordinates, np.float32)

    def _function(self, likelihood: Likelihood) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        arrays = [torch.tensor(array) for array in self.survey.spectra.spectra]

        @torch.no_grad()
        def log_likelihood(rows: np.ndarray, coordinates: np.ndarray) -> np.ndarray:
            flux, ivar, *instrument = (array[rows] for array in arrays)
            theta = torch.from_numpy(self._theta(coordinates))
            return likelihood(flux, ivar, theta, *instrument).numpy()

        return log_likelihood
