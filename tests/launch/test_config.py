import inspect
from importlib import import_module
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException
from hydra.utils import instantiate

from hpcsbi.launch import words  # noqa: F401  registers the resolvers
from hpcsbi.pipeline import STAGES

CONF = Path(__file__).parents[2] / "conf"
EXPERIMENTS = [None, *sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))]
GROUPS = sorted(
    f"{path.parent.name}={path.stem}"
    for path in CONF.glob("*/*.yaml")
    if path.parent.name != "experiment"
)


def composed(*overrides: str):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@pytest.mark.parametrize("name", STAGES)
def test_config_is_the_signature(name, experiment):
    """No key that nothing reads, no argument that the configuration forgets."""
    function = getattr(import_module(f"hpcsbi.stages.{name}"), name)
    cfg = composed(*([] if experiment is None else [f"experiment={experiment}"]))

    assert set(cfg[name]) == set(inspect.signature(function).parameters)
    instantiate(cfg[name], _convert_="all")


@pytest.mark.parametrize("override", GROUPS)
def test_every_choice_of_a_group_makes_its_object(override, monkeypatch):
    """Each file of each group composes and builds."""
    group = override.split("=")[0]
    for name, value in {"SLURM_ARRAY_TASK_ID": "1", "HPCSBI_PARTS": "4"}.items():
        monkeypatch.setenv(name, value)

    assert instantiate(composed(override)[group], _convert_="all") is not None


def test_every_node_is_a_stage_or_is_referred_to():
    """A top-level key that no stage, job or reference reads is dead."""
    text = (CONF / "config.yaml").read_text() + (CONF / "experiment/demo.yaml").read_text()
    text += "".join(path.read_text() for path in CONF.glob("*/*.yaml"))
    jobs = "".join(path.read_text() for path in (CONF.parent / "hpcsbi/launch").glob("*.py"))
    unread = [
        key
        for key in composed()
        if key not in STAGES and f"${{{key}" not in text and f"cfg.{key}" not in jobs
    ]

    assert unread == []


def test_unknown_key_is_named():
    """A typing error ends before anything starts, and says which key."""
    with pytest.raises(ConfigCompositionException, match=r"simulate\.rows"):
        composed("simulate.rows=10")
