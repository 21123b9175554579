import os

import pytest
import torch

from hpcsbi.errors import BadInput
from hpcsbi.inference.network.devices import device_of


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch):
    """What a GPU's order of sums sets, for this test alone."""
    before = torch.are_deterministic_algorithms_enabled()
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "kept")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    yield
    torch.use_deterministic_algorithms(before)


@pytest.mark.parametrize(
    ("name", "there", "kind"),
    [("cpu", True, "cpu"), ("auto", False, "cpu"), ("auto", True, "cuda"), ("cuda", True, "cuda")],
)
def test_a_gpu_is_taken_where_there_is_one_and_it_is_wanted(monkeypatch, name, there, kind):
    """On a GPU, and there alone, sums are asked for in a fixed order."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: there)

    assert device_of(name, "train").type == kind
    assert torch.are_deterministic_algorithms_enabled() == (kind == "cuda")
    assert ("CUBLAS_WORKSPACE_CONFIG" in os.environ) == (kind == "cuda")


def test_a_gpu_that_is_not_there_is_told_with_the_mend(monkeypatch):
    """In one line: what was asked, what torch says, what to do."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for stage in ("train", "infer"):
        words = rf"^{stage}\.device.*no GPU.*site\.{stage}\.gres=gpu:1.*{stage}\.device=auto\.$"
        with pytest.raises(BadInput, match=words):
            device_of("cuda", stage)
