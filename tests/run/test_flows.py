"""What lies in a flow's folder is a flow, or is refused by its name."""

import numpy as np
import pytest

from hpcsbi.errors import BadInput
from hpcsbi.run.flows import load_posterior
from hpcsbi.store.files import save_weights


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({}, "have no settings"),
        ({"settings": {}, "notice": ""}, "hold no prior"),
        ({"settings": {"training": {"simulations": {}, "noise": None}}}, "hold no prior"),
    ],
)
def test_weights_of_another_version_are_refused_by_name(tmp_path, header, words):
    """A file of weights that is whole and says too little of its flow names itself."""
    save_weights(tmp_path / "flow.safetensors", {"w": np.zeros(3)}, header)

    with pytest.raises(BadInput, match=rf"flow\.safetensors: .*{words}"):
        load_posterior(tmp_path)


def test_a_flow_that_is_not_there_says_what_makes_it(tmp_path):
    """The message names the file and the job."""
    with pytest.raises(FileNotFoundError, match=r"flow\.safetensors does not exist: run jobs"):
        load_posterior(tmp_path)
