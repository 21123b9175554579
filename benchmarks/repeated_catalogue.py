"""A catalogue of any size for tests of what reads one: rows like those of a small one."""

from pathlib import Path

import numpy as np

from hpcsbi.inference.sampling.certificate import QUANTILES
from hpcsbi.run.catalogue import write_catalogue
from hpcsbi.store.layout import Array
from hpcsbi.store.opening import create, open_complete
from hpcsbi.store.store import Store

NOT_REPEATED = ("samples", "position", "identity")


def repeat(source: Path, out: Path, rows: int, draws: int = 0, shard: int = 4096) -> Store:
    """Write catalogue.zarr and catalogue.parquet.

    Arguments:
        source: catalogue.zarr whose numbers are taken.
        out: store to write.
        rows: of it. Each has a key of its own and a place on the sky; every seventh has none.
        draws: kept of each row, between its quantiles.
        shard: rows that are written at a time.
    """
    small = open_complete(source, "infer")
    dims = {name: small.arrays[name].metadata.dimension_names for name in small.arrays}
    kinds = {name: str(small.arrays[name].dtype) for name in small.arrays}
    kinds = {n: "string" if kind.startswith("StringDType") else kind for n, kind in kinds.items()}
    sizes = dict(
        pair for n, a in small.arrays.items() for pair in zip(dims[n], a.shape, strict=True)
    )
    sizes |= {"row": rows, "draw": draws}
    names = [name for name in small.sharded if name != "samples"]
    arrays = {n: Array({dim: sizes[dim] for dim in dims[n]}, kinds[n]) for n in names}
    if draws:
        along = {"row": rows, "draw": draws, "parameter": sizes["parameter"]}
        arrays["samples"] = Array(along, "float32")
    arrays |= {
        n: Array({n: sizes[n]}, kinds[n], {}, small.read(n))
        for n in small.arrays
        if n not in small.sharded
    }
    notice = {"notice": small.attributes.get("notice", "")}
    store = create(out, arrays, {**small.settings, "keep_draws": draws}, shard, notice)
    values = {n: small.read(n) for n in names if n not in NOT_REPEATED}
    for number in store.shards:
        some = store.rows_of(number)
        index = np.arange(some.start, some.stop)
        block = {n: _jittered(each[index % small.rows], number) for n, each in values.items()}
        store.write(number, **block, **_own(small, index, draws))
    write_catalogue(out)
    return store


def _jittered(values: np.ndarray, seed: int) -> np.ndarray:
    """Numbers that no compressor knows from the rows before; quantiles keep their order."""
    if values.dtype != np.float32:
        return values
    factors = 1 + 0.01 * np.random.default_rng(seed).normal(size=len(values))
    return values * factors.astype(np.float32).reshape(-1, *[1] * (values.ndim - 1))


def _own(small: Store, index: np.ndarray, draws: int) -> dict[str, np.ndarray]:
    """What is each row's own: key, place, draws."""
    rng = np.random.default_rng(index[0])
    identity = small.read("identity").astype(object)[index % small.rows]
    identity[:, 3] = [f"{key}-{i}" for key, i in zip(identity[:, 3], index, strict=True)]
    places = np.stack(
        [rng.uniform(0, 360, len(index)), np.degrees(np.arcsin(rng.uniform(-1, 1, len(index))))], 1
    )
    places[index % 7 == 6] = np.nan
    columns = {"identity": identity, "position": places}
    if draws:
        levels, quantiles = [*QUANTILES.values()], small.read("quantiles")
        at = rng.uniform(size=(small.rows, draws))
        drawn = [
            np.stack([np.interp(x, levels, q[:, j]) for j in range(q.shape[1])], 1)
            for x, q in zip(at, quantiles, strict=True)
        ]
        columns["samples"] = np.array(drawn, np.float32)[index % small.rows]
    return columns
