import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny

from hpcsbi.arguments import Count, OneOf, checked, refuse_wrong
from hpcsbi.errors import BadInput
from hpcsbi.inference.network.flow import Flow
from hpcsbi.simulator.observation.noise import SurveyNoise
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.stages.augment import augment
from hpcsbi.stages.calibrate import calibrate
from hpcsbi.stages.compare import compare
from hpcsbi.stages.fit import fit
from hpcsbi.stages.infer import infer
from hpcsbi.stages.plan import plan
from hpcsbi.stages.simulate import simulate
from hpcsbi.stages.tabulate import tabulate
from hpcsbi.stages.train import train
from hpcsbi.survey.readers.formats import Survey


@pytest.mark.parametrize(
    ("stage", "key", "value", "says"),
    [
        (tabulate, "shard", 0, "tabulate.shard is 0: a whole number, 1 or more"),
        (tabulate, "demo", "yes", "true or false"),
        (simulate, "n", "many", "simulate.n is 'many': a whole number, 1 or more"),
        (simulate, "n", -5, "simulate.n is -5"),
        (simulate, "n", 1e6, "a whole number, as 1000000"),
        (simulate, "n", True, "simulate.n is true: a whole number"),
        (simulate, "n", None, "simulate.n is null"),
        (simulate, "source", "tabel", "did you mean table"),
        (augment, "validation", -1, "augment.validation is -1: a whole number, 0 or more"),
        (augment, "copies", 0.5, "augment.copies is 0.5"),
        (train, "step", 100, "train.step is not known; did you mean train.steps"),
        (train, "steps", "abc", "train.steps is 'abc'"),
        (train, "rate", 0, "train.rate is 0: a number, more than 0"),
        (train, "rate", float("nan"), "train.rate is nan"),
        (train, "representation", "projektion", "did you mean projection"),
        (train, "flow", "best", "train.flow is 'best'"),
        (calibrate, "seed", -1, "calibrate.seed is -1"),
        (infer, "certificate", "yes", "infer.certificate is 'yes': true or false"),
        (fit, "start", "flwo", "did you mean flow"),
        (fit, "burn_in", [100, 0], "fit.burn_in is [100, 0]: a list, each a whole number, 1 or"),
        (fit, "burn_in", 100, "a list"),
        (fit, "walkers", 17, "an even number"),
        (compare, "draws", 0, "compare.draws is 0"),
        (plan, "rates", 3, "plan.rates is 3: keys and values"),
    ],
)
def test_a_wrong_argument_is_named_with_what_it_takes(stage, key, value, says):
    """Before anything is read or written, in one line."""
    with pytest.raises(BadInput) as caught:
        stage.check(**{key: value})

    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_the_stage_itself_refuses_the_same(tmp_path):
    """Who calls the function gets the words of the preflight, and nothing is written."""
    with pytest.raises(BadInput, match=r"augment\.shard is 0"):
        augment(str(tmp_path / "a"), "nowhere", SurveyNoise(), "own", 0, 1, 1, 0, 0, None)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("kind", "node", "says"),
    [
        (SurveyNoise, {"snr": [1]}, "node.snr is [1]: a list of 2"),
        (SurveyNoise, {"snr": [1, "x"]}, "each a number"),
        (SurveyNoise, {"cut": 1.5}, "0 to 1"),
        (Flow, {"hiden": 3}, "did you mean node.hidden"),
        (Flow, {"hidden": "wide"}, "node.hidden is 'wide': a whole number, 2 or more"),
        (Prior, {"columns": {"tage": {"low": "x", "high": 3}}}, "node.columns.tage.low is 'x'"),
        (Prior, {"columns": {"tage": {"low": 1, "hig": 3}}}, "did you mean node.columns.tage.high"),
        (Prior, {}, "node.columns is missing"),
        (Survey, {"name": "sdss", "bad_bits": "all"}, "node.bad_bits is 'all': a list"),
    ],
)
def test_so_is_a_wrong_key_of_an_object(kind, node, says):
    """Nested as deep as the configuration is."""
    with pytest.raises(BadInput) as caught:
        refuse_wrong(kind, node, "node", whole=True)

    assert says in str(caught.value)


def test_what_is_right_passes():
    """Numbers of NumPy, paths for names, tuples for lists, no number for a float that is whole."""
    simulate.check(n=np.int64(3), out=Path("x"), theta=None)
    train.check(rate=1, source="fresh", flow=Flow())
    fit.check(objects=["NGC 1", 17], burn_in=(100,), catalogue=None, walkers=16)
    fit.check(objects=20, catalogue=None)
    refuse_wrong(Prior, {"columns": tiny.DIGS | tiny.NUISANCE}, "prior")


def test_rules_see_several_arguments():
    """A rule is asked when all its arguments are known."""

    def fewer(part: int, whole: int) -> None:
        if part > whole:
            raise BadInput("more")

    @checked(fewer)
    def cut(part: Count, whole: Count = 2, kind: OneOf = "a") -> int:
        return part

    assert cut(1) == cut(part=1) == 1
    cut.check(part=3)
    with pytest.raises(BadInput, match="more"):
        cut(3, 2)
    with pytest.raises(TypeError):
        cut()


def test_a_stage_run_as_a_module_says_how_it_is_run():
    """python -m hpcsbi.stages.status did nothing, in silence, with status 0."""
    for module, says in (
        ("hpcsbi.stages.status", "python jobs/status.py"),
        ("hpcsbi", "jobs/pipeline.py"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", module], capture_output=True, text=True, check=False
        )
        assert says in done.stdout + done.stderr
        assert done.returncode == (0 if module == "hpcsbi" else 2)
