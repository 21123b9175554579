"""CPU time of 1000 draws a spectrum: the one-pass inverse over the library's, in one run.

python benchmarks/sampler_speed.py
"""

import time

import torch

from hpcsbi.inference.network.flow import Flow, build_network

DRAWS, OBJECTS, ROUNDS = 1000, 16, 5


def cpu_milliseconds(function) -> float:
    """Least CPU time of a call over the rounds, per object, after one call that is not counted."""
    function()
    seconds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        function()
        seconds.append(time.process_time() - start)
    return 1e3 * min(seconds) / OBJECTS


def main() -> None:
    """Print both and the ratio for five and seven parameters."""
    torch.set_num_threads(1)
    for n_theta, n_context in ((5, 28), (7, 66)):
        network = build_network(Flow(), n_theta, n_context, seed=0)
        z, context = torch.randn(DRAWS, OBJECTS, n_theta), torch.randn(OBJECTS, n_context)
        inverse = network.inverse()
        with torch.no_grad():
            ours = cpu_milliseconds(lambda z=z, c=context, f=inverse: f(c)(z))
            library = cpu_milliseconds(
                lambda z=z, c=context, n=network: n.maf(c).transform.inv.call_and_ladj(z)
            )
        print(
            f"{n_theta} parameters: {ours:.2f} ms an object, library {library:.2f} ms, "
            f"ratio {library / ours:.1f}"
        )


if __name__ == "__main__":
    main()
