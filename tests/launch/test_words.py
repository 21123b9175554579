from pathlib import Path

import pytest
from configurations import MODEL, composed, refused
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from hpcsbi.errors import BadInput
from hpcsbi.launch.checkout import CONF
from hpcsbi.launch.words import OPEN, hydra_arguments, quoted


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("train.step=100", "train.step is not known; did you mean train.steps?"),
        ("+train.step=100", "train.step is not known; did you mean train.steps?"),
        ("++train.step=100", "did you mean train.steps?"),
        ("steps=100", "did you mean train.steps?"),
        ("ingest.file=[x]", "did you mean ingest.files?"),
        ("flow.hiden=3", "did you mean flow.hidden?"),
        ("prior.columns.tage.hihg=3", "did you mean prior.columns.tage.high?"),
        ("+prior.columns.tage.hihg=3", "did you mean prior.columns.tage.high?"),
        ("+site.acount=x", "did you mean site.account?"),
        ("+cluster.worker=3", "did you mean cluster.workers?"),
        ("experimnt=demo", "did you mean experiment?"),
        ("+experimnt=demo", "did you mean experiment?"),
        ("experiment=dmo", "did you mean experiment=demo?"),
        ("survey=boss", "choose from aaomega, desi, eso, jwst, manga, manga_cube"),
        ("cluster=pbs", "choose from allocation, array, local, serial, slurm"),
        ("site=frontera", "here, lab, midway3, perlmutter"),
        ("prior=[survey]", "choose one of burst, continuity, digs, "),
        ("train=5", "train is 5: it holds keys"),
        ("train.flow=best", "train.flow is 'best'"),
        ("run=runs/${nam}", "did you mean name?"),
        ("cluster=local,serial", "has a comma"),
        ("train.steps=", "train.steps is ''"),
        ("noise.snr=[1,2", "cannot be read"),
        ("noise._target_=os.system", "nothing of hpcsbi"),
        ("site.tasks=many", "site.tasks is 'many'"),
        ("seed=-1", "seed is -1"),
    ],
)
def test_a_typing_error_names_the_likely_word(override, says):
    """In one line, without the words of Hydra, OmegaConf and ANTLR."""
    text = refused(MODEL, override)

    assert says in text and "\n" not in text
    assert not any(word in text for word in ("hydra", "Exception", "struct", "append", "EOF"))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["X"], "options are KEY=VALUE"),
        (["--run", "X"], "did you mean run=X?"),
        (["--steps=100"], "did you mean train.steps=100?"),
        (["--experiment", "demo"], "did you mean experiment=demo?"),
        (["-n", "5"], "options are KEY=VALUE"),
        (["seed:3"], "did you mean seed="),
        (["=3"], "options are KEY=VALUE"),
        (["tràin.steps =3"], "options are KEY=VALUE"),
    ],
)
def test_what_is_no_option_is_told(words, says):
    """As other programs take options, people try here."""
    with pytest.raises(BadInput) as caught:
        hydra_arguments(words)

    assert says in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("name=2024_05_01", "name", "2024_05_01"),
        ("name=1e3", "name", "1e3"),
        ("name=12", "name", "12"),
        ("name=true", "name", "true"),
        ("name=null", "name", "null"),
        ("name=a b", "name", "a b"),
        ("run=/data/my run (1)/x", "run", "/data/my run (1)/x"),
        ("run=/a'b", "run", "/a'b"),
        ('run=/a"b', "run", '/a"b'),
        ("run=/a,b", "run", "/a,b"),
        ("run=/a#b%20&c;d", "run", "/a#b%20&c;d"),
        ("run=ünï/é", "run", "ünï/é"),
        ("run=~/x", "run", str(Path.home() / "x")),
        ("fit.objects=[1e5,007]", "fit.objects", ["1e5", "007"]),
        ("fit.objects=3", "fit.objects", 3),
        ("ingest.files=[~/x/*.fits,/a (b)/c]", "ingest.files",
         [str(Path.home() / "x/*.fits"), "/a (b)/c"]),
        ("ingest.files=/a/x[12].fits", "ingest.files", "/a/x[12].fits"),
        ('ingest.files=["/a,b",c]', "ingest.files", ["/a,b", "c"]),
        ("ingest.files=[]", "ingest.files", []),
        ("simulate.n=1_000", "simulate.n", 1000),
        ("site.options.cpus-per-task=4", "site.options", {"cpus-per-task": 4}),
        ("site.train={gres: 'gpu:1', mem: 8G}", "site.train", {"gres": "gpu:1", "mem": "8G"}),
        ("plan.rates={simulate: 2e4}", "plan.rates", {"simulate": 2e4}),
        ("+plan.rates.train=20", "plan.rates", {"train": 20}),
    ],
)  # fmt: skip
def test_a_value_stays_what_was_typed(override, key, value):
    """Characters that Hydra's grammar has for itself need no second pair of quotes."""
    once = quoted(override)
    with initialize_config_dir(CONF, version_base="1.3"):
        found = compose("config", [once])
    for part in key.split("."):
        found = found[part]

    assert found == value
    assert quoted(once) == once


def test_what_is_empty_is_open_for_keys_of_the_user():
    """Such a mapping takes keys without a plus sign; all of them are known to the command line."""
    cfg = composed()
    nodes, found = [("", cfg)], set()
    while nodes:
        prefix, node = nodes.pop()
        for key, value in node.items_ex(resolve=False):
            if OmegaConf.is_dict(value):
                nodes.append((f"{prefix}{key}.", value))
                if not value:
                    found.add(f"{prefix}{key}")

    assert found == set(OPEN)


def test_settings_of_a_sweep_stay_apart():
    """Commas are for sweeps, when there is one; names stay names in it."""
    assert hydra_arguments(["-m", "flow.hidden=25,50"]) == ["-m", "flow.hidden=25,50"]
    assert hydra_arguments(["--multirun", "name=1e3,b"])[1] == 'name="1e3","b"'
