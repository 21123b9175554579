"""Seeds: the same numbers for the same piece of work, on any worker, on any day.

torch's generator on a CPU is seeded by the low 32 bits of a number alone, so that two of 93 000
objects would share their draws: seed it here.
"""

import hashlib

import numpy as np
import torch

from hpcsbi.errors import BadInput
from hpcsbi.pipeline import STAGES

__all__ = ["base_draws", "generator", "object_seed", "torch_generator"]

WORDS = 24  # bytes of torch's state before the words of the twister, each in 8 bytes


def generator(seed: int, stage: str, *pieces: int) -> np.random.Generator:
    """The generator of one piece of a stage's work, e.g. a shard.

    Raises:
        ValueError: a negative seed.

    Example:
        >>> a, b = (generator(0, "simulate", 7).random() for _ in range(2))
        >>> a == b, a == generator(0, "augment", 7).random()
        (True, False)
    """
    if seed < 0:
        raise BadInput(f"seed is {seed}: it must be 0 or more.")
    return np.random.default_rng(np.random.SeedSequence([seed, STAGES[stage].seed, *pieces]))


def object_seed(seed: int, name: str) -> int:
    """A 63-bit seed that depends on the run's seed and the object's id, not on its batch."""
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def base_draws(seed: int) -> np.random.Generator:
    """The generator of an object's draws; all bits of the seed count."""
    return np.random.default_rng(np.random.SeedSequence(int(seed), spawn_key=(0,)))


def torch_generator(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator for torch on any device; all bits of the seed count.

    Arguments:
        seed: 0 or more, of any size on a CPU, below 2^64 on a GPU.
        device: where the numbers are drawn.
    """
    generator = torch.Generator(device)
    if generator.device.type != "cpu":
        return generator.manual_seed(int(seed))  # takes 64 bits there
    # A Mersenne twister as numpy seeds it, in the place where torch keeps the state of its own.
    words = np.random.MT19937(np.random.SeedSequence(int(seed))).state["state"]["key"]
    state = generator.manual_seed(0).get_state().numpy().copy()
    state[WORDS : WORDS + 8 * len(words)] = words.astype(np.uint64).view(np.uint8)
    generator.set_state(torch.from_numpy(state))
    return generator
