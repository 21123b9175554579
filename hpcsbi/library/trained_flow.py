"""A trained flow, which makes the posterior of a spectrum in plain arrays."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hpcsbi.errors import BadInput
from hpcsbi.inference.columns.measurement import measure
from hpcsbi.inference.sampling.posterior import Posterior
from hpcsbi.library.model_table import ModelTable
from hpcsbi.library.observations import number, observed_batch, observed_files
from hpcsbi.library.spectrum_posterior import SpectrumPosterior
from hpcsbi.run.flows import load_posterior
from hpcsbi.run.folder import RunFolder
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.survey.record.spectra import USUAL

__all__ = ["TrainedFlow", "load_flow"]


def load_flow(path: str | Path) -> "TrainedFlow":
    """The trained flow of a folder, with its prior, grid, noise model and table.

    Arguments:
        path: folder of the flow, such as runs/demo/flows/optimum_zuko_maf_h128_t5.

    Raises:
        FileNotFoundError: no flow is trained there to its end.
        BadInput: the folder of a run, whose flows are named.

    Example:
        >>> flow = load_flow("runs/demo/flows/demo")
        >>> flow.parameters[:3]
        ('logmass', 'logzsol', 'dust2')
    """
    if flows := [flow for flow in RunFolder(Path(path)).flows if flow.weights.exists()]:
        raise BadInput(
            f"{path} is the folder of a run: name one of its flows, "
            f"{', '.join(str(flow.path) for flow in flows)}."
        )
    return TrainedFlow(load_posterior(path))


class TrainedFlow:
    """A flow: called with a spectrum, it gives its posterior. `load_flow` makes it.

    Arguments:
        posterior: the flow with all that it was trained with.
    """

    def __init__(self, posterior: Posterior) -> None:
        self._posterior = posterior

    def __repr__(self) -> str:
        wave = self.wave
        return (
            f"TrainedFlow of {', '.join(self.parameters)}; {len(wave)} pixels from {wave[0]:g} to "
            f"{wave[-1]:g} Angstrom (rest frame). {self.notice}".rstrip()
        )

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of theta's columns, in order."""
        return self._posterior.names

    @property
    def prior(self) -> Prior:
        """What it was trained under."""
        return self._posterior.prior

    @property
    def wave(self) -> np.ndarray:
        """Pixel centres, Angstrom, vacuum, rest frame, shape (pixels,)."""
        return self._posterior.grid.wave

    @property
    def notice(self) -> str:
        """The sentence that products of a demonstration table carry, or ""."""
        return self._posterior.notice

    @property
    def table(self) -> ModelTable:
        """The table that it was trained with.

        Raises:
            BadInput: it took none along.
        """
        engine = self._posterior.ssp
        if engine is None:
            raise BadInput(
                "this flow took no table along: run jobs/tabulate.py and train again, or load one "
                "with load_table."
            )
        return ModelTable(engine, self._posterior.grid, self.prior, self._posterior.derived)

    def __call__(
        self,
        wave: ArrayLike,
        flux: ArrayLike,
        ivar: ArrayLike,
        zred: float,
        *,
        name: str = "spectrum",
        flux_unit: str = USUAL,
        ebv: float = np.nan,
        distance: float = np.nan,
        line_spread: Sequence[Sequence[float]] = (),
        draws: int = 1000,
        cap: int = 50,
        certificate: bool = True,
        seed: int = 0,
    ) -> SpectrumPosterior:
        """The posterior of one spectrum: what `ingest` and `infer` would make of it.

        The numbers are those of a catalogue with the same flow, name (its id) and seed.

        Arguments:
            wave: pixel centres, observed frame, vacuum, Angstrom, ascending, shape (pixels,).
            flux: in `flux_unit`, shape (pixels,).
            ivar: its inverse variance, 0 where bad, shape (pixels,).
            zred: redshift.
            name: id of the object, on which its random numbers depend.
            flux_unit: a flux density per Angstrom, 10^-17 erg/s/cm2/Angstrom unless told.
            ebv: Galactic E(B-V), mag, that is corrected for; NaN for none, and a flag.
            distance: luminosity distance, Mpc; NaN for that of the redshift.
            line_spread: pairs of observed wavelength, Angstrom, and resolution, for a flow that was
                trained with noise.instrument=true.
            draws: of the flow.
            cap: draws made at most, in units of `draws`.
            certificate: weight the draws by the exact likelihood; takes the table.
            seed: of the run.

        Raises:
            BadInput: arrays that are no spectrum, or one of which nothing can be inferred.

        Example:
            >>> flow = load_flow("runs/demo/flows/demo")
            >>> wave = 1.1 * flow.wave
            >>> flux = 1 + 0.1 * np.sin(wave / 300)
            >>> posterior = flow(wave, flux, np.full(len(wave), 400.0), 0.1, draws=200)
            >>> posterior.draws.columns.tolist() == [*flow.parameters]
            True
            >>> flow(wave, flux, 400.0, 0.1)
            Traceback (most recent call last):
            hpcsbi.errors.BadInput: ivar has shape (): it takes one spectrum, shape (pixels,).
        """
        self._check(draws, cap, certificate)
        vectors = {"wave": wave, "flux": flux, "ivar": ivar}
        numbers = {"zred": zred, "ebv": ebv, "distance": distance}
        numbers = {key: number(key, value) for key, value in numbers.items()}
        batch, flags = observed_batch(
            self._posterior, vectors, numbers, name, flux_unit, line_spread, seed
        )
        measured = measure(self._posterior, batch, draws, cap, certificate)
        return SpectrumPosterior(self._posterior, batch, measured, name, flags)

    def of_files(
        self,
        files: str | Path | Sequence[str | Path],
        survey: str,
        *,
        options: Mapping[str, Any] | None = None,
        draws: int = 1000,
        cap: int = 50,
        certificate: bool = True,
        seed: int = 0,
    ) -> Iterator[SpectrumPosterior]:
        """Posteriors of the spectra in files of a survey, one after the other.

        What `ingest` and `infer` make of them: masks, redshifts, E(B-V), instrument and flags are
        those of the survey. A spectrum of which nothing can be inferred is left out, with a warning
        that says why.

        Arguments:
            files: a path, or several, in the layout of the survey.
            survey: sdss, desi, manga ...: a file of conf/survey.
            options: in place of what that file says, such as {"air": True}.
            draws, cap, certificate, seed: see `__call__`.

        Raises:
            FileNotFoundError: one of the files is not there.
            BadInput: no such survey or option, or files of another layout.

        Example:
            >>> from importlib.resources import files
            >>> flow = load_flow("runs/demo/flows/demo")
            >>> nuclei = files("hpcsbi") / "data" / "sdss_nuclei.fits.gz"
            >>> [posterior.name for posterior in flow.of_files(nuclei, "table", draws=200)]
            ['NGC 3073', 'NGC 3522', 'NGC 4636']
        """
        self._check(draws, cap, certificate)
        rows = observed_files(self._posterior, files, survey, options or {}, seed)
        for name, batch, flags, why in rows:
            if why:
                warnings.warn(f"{name}: {why}.", stacklevel=2)
                continue
            measured = measure(self._posterior, batch, draws, cap, certificate)
            yield SpectrumPosterior(self._posterior, batch, measured, name, flags)

    def _check(self, draws: int, cap: int, certificate: bool) -> None:
        """Refuse what no posterior can be made with."""
        if min(draws, cap) < 1:
            raise BadInput(f"draws={draws}, cap={cap}: each is 1 or more.")
        if certificate and self._posterior.ssp is None:
            raise BadInput(
                "this flow took no table along, which a certificate takes: pass certificate=False."
            )
