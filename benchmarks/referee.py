"""What a referee's comparison finds: spectra that were tilted, and flows with other weights.

    python benchmarks/referee.py runs/demo/release [--tilts 0.01 0.05 0.2] [--weights 0.01 0.1]

Of copies of the part for a referee the digests are written again, so that the comparison alone can
find what was changed; and it is told that this is another type of processor than that of the
release, so that last bits do not count.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np

from hpcsbi.release.checksums import write_checksums
from hpcsbi.run.referee_folder import RefereeFolder, referee_folder
from hpcsbi.stages import reproduce
from hpcsbi.store.files import load_weights, save_weights
from hpcsbi.store.opening import open_store


def tilt(folder: RefereeFolder, share: float) -> str:
    """Make the first good spectrum redder by a share from end to end; its key."""
    store = open_store(folder.spectra)
    shard = {name: store.read(name, store.rows_of(0)) for name in store.sharded}
    row = int(np.flatnonzero(shard["flags"] == 0)[0])
    factor = np.linspace(1 - share / 2, 1 + share / 2, shard["flux"].shape[1])
    shard["flux"][row] *= factor.astype(np.float32)
    store.forget(0)
    store.write(0, **shard)
    return f"tilt of {share:g} in {shard['identity'][row, 3]}, S/N {shard['snr'][row]:.0f}"


def perturb(folder: RefereeFolder, share: float) -> str:
    """Change all weights of the flow by a share."""
    tensors, header = load_weights(folder.flow.weights)
    rng = np.random.default_rng(1)
    for name, values in tensors.items():
        if name.startswith("network") and values.dtype == np.float32:
            factor = 1 + share * rng.normal(size=values.shape)
            tensors[name] = (values * factor).astype(np.float32)
    save_weights(folder.flow.weights, tensors, header)
    return f"weights by {share:g}"


def main() -> None:
    """Print what was changed, and the verdict."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("release", type=Path)
    parser.add_argument("--tilts", type=float, nargs="*", default=[0.01, 0.05, 0.2])
    parser.add_argument("--weights", type=float, nargs="*", default=[0.01, 0.1])
    options = parser.parse_args()
    reproduce.machine_difference = lambda _: "another type of processor"
    changes = [(tilt, size) for size in options.tilts]
    for change, size in [*changes, *((perturb, size) for size in options.weights)]:
        with tempfile.TemporaryDirectory() as scratch:
            source = referee_folder(options.release).path
            folder = RefereeFolder(Path(shutil.copytree(source, Path(scratch) / "referee")))
            what = change(folder, size)
            write_checksums(folder.path)
            agrees = reproduce.reproduce(f"{scratch}/again", str(folder.path))
            print(f"{what}: {'not found' if agrees else 'found'}", flush=True)


if __name__ == "__main__":
    main()
