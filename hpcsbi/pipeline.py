"""The stages: what each makes and reads, and how it runs. Whoever asks that reads this table."""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["OF_A_RUN", "STAGES", "Stage", "stages_of_run", "upstream", "waits"]

ALWAYS, SPECTRA, ASKED, APART = "always", "with real spectra", "when asked for", "apart"
ROWS, STEPS, AT_ONCE = "rows", "steps", ""


@dataclass(frozen=True)
class Stage:
    """One stage.

    Arguments:
        name: of its module, job and node of the configuration.
        product: what it makes in the run's folder, as a pattern; "" if it only looks.
        makes: what that is, in words.
        needs: what it takes that no stage makes, "" for nothing.
        reads: argument of the stage -> the stage that makes what it names.
        when: in which runs it runs; APART is in none, it looks at one.
        unit: what its work is counted in: rows, in shards over many processes; steps of one
            process; or nothing, as it is done at once.
        probe: rows of a shard that are few and yet tell its speed.
        beside: suffix of the file that is written beside the whole product.
        seed: its number in the seeds of all draws, which it keeps for ever; None if it draws none.
        verdict: it fails where the product is whole and bad, which the readers go on from.
        shows: it shows what there is of what it reads, and tells what is not.
    """

    name: str
    product: str = ""
    makes: str = ""
    needs: str = ""
    reads: Mapping[str, str] = field(default_factory=dict)
    when: str = ALWAYS
    unit: str = ROWS
    probe: int | None = None
    beside: str = ""
    seed: int | None = None
    verdict: bool = False
    shows: bool = False

    @property
    def fans_out(self) -> bool:
        """Whether many processes share its work."""
        return self.unit == ROWS


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage(
            "tabulate", "ssp.zarr", "stellar populations on the grid, continuum and lines apart",
            "FSPS and its data tree (SPS_HOME), or the shipped table (tabulate.demo=true)",
            probe=1, seed=1,
        ),
        Stage(
            "simulate", "simulations.zarr", "theta and noise-free flux, drawn from the prior",
            "FSPS and its data tree (SPS_HOME) with simulate.source=fsps",
            {"table": "tabulate"}, probe=1024, seed=2,
        ),
        Stage(
            "augment", "training.zarr", "noisy pairs of theta and spectrum, some of them held out",
            "", {"simulations": "simulate", "table": "tabulate"}, probe=4096, seed=3,
        ),
        Stage(
            "train", "flows/*", "a trained flow: weights, history, and the table it takes",
            "a GPU with train.device=cuda", {"training": "augment", "table": "tabulate"},
            unit=STEPS, seed=4,
        ),
        Stage(
            "calibrate", "calibration.zarr", "ranks and coverage of held-out spectra, the verdict",
            "", {"flow": "train", "pairs": "augment"}, probe=32, beside=".json", seed=5,
            verdict=True,
        ),
        Stage(
            "ingest", "spectra.zarr", "spectra of a survey, at rest on the model's pixels",
            "files of a survey (ingest.files, survey=...)", when=SPECTRA, probe=1024,
        ),
        Stage(
            "infer", "catalogue.zarr", "posteriors: quantiles, checks, flags, a row a spectrum",
            "a GPU with infer.device=cuda", {"flow": "train", "spectra": "ingest"}, SPECTRA,
            probe=64, beside=".parquet", seed=6,
        ),
        Stage(
            "fit", "fits.zarr", "converged chains of chosen spectra, compared with the flow",
            "FSPS and its data tree (SPS_HOME) with fit.engine=prospector",
            {"flow": "train", "spectra": "ingest", "catalogue": "infer"}, ASKED, probe=1, seed=7,
        ),
        Stage(
            "learn", "errors.zarr", "what the model is off by: a mean and templates by wavelength",
            "draws that infer.keep_draws kept",
            {"flow": "train", "spectra": "ingest", "catalogue": "infer"}, ASKED, probe=1,
            beside=".json", seed=8,
        ),
        Stage(
            "release", "release", "the catalogue as files that explain themselves",
            "for release.formats with hats: pip install -e '.[release]'", {"catalogue": "infer"},
            ASKED, AT_ONCE, seed=9,
        ),
        Stage(
            "reproduce", "reproduced", "chosen rows of a release made again, and compared",
            "a release with release.referee", {"release": "release"}, APART, AT_ONCE,
        ),
        Stage(
            "report", "report.html", "the page that tells the run's story",
            reads={
                "simulations": "simulate", "training": "augment", "flow": "train",
                "calibration": "calibrate", "spectra": "ingest", "catalogue": "infer",
                "fits": "fit", "errors": "learn",
            },
            unit=AT_ONCE, shows=True,
        ),
        Stage(
            "compare", "sweep.html", "the flows of a sweep side by side", "",
            {"pairs": "augment"}, APART, AT_ONCE,
        ),
        Stage(
            "crossmatch", "crossmatch.html", "a catalogue beside another one, object by object",
            "the other catalogue (crossmatch.other)", {"catalogue": "infer"}, APART, AT_ONCE,
        ),
        Stage("status", when=APART, unit=AT_ONCE),
        Stage("plan", when=APART, unit=AT_ONCE),
    )
}  # fmt: skip
OF_A_RUN = tuple(stage.name for stage in STAGES.values() if stage.when != APART)


def stages_of_run(spectra: bool) -> tuple[str, ...]:
    """Stages that a whole run goes through, in order.

    Arguments:
        spectra: whether there are real spectra.
    """
    when = (ALWAYS, SPECTRA) if spectra else (ALWAYS,)
    return tuple(name for name in OF_A_RUN if STAGES[name].when in when)


def upstream(name: str) -> tuple[str, ...]:
    """A stage and all whose products are in its own, in order."""
    reads = [upstream(maker) for maker in STAGES[name].reads.values()]
    return tuple(stage for stage in STAGES if stage == name or any(stage in of for of in reads))


def waits(name: str) -> dict[str, str]:
    """Stages that a job of this one waits for -> "afterok", that it succeeds, or "afterany"."""
    return {
        maker: "afterany" if STAGES[maker].verdict else "afterok"
        for maker in STAGES[name].reads.values()
    }
