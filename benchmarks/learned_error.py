"""A simulated survey whose model is off by a known error: is it learned, and are posteriors right?

    python benchmarks/learned_error.py [--objects 3000] [--held 1000] [--draws 32] [--rank 5]

Spectra of the survey prior (floors up to 2 %) and the shipped table with a mean of 1 % (rms), two
smooth templates and one of lines. Draws start at the truths, which are draws of the posterior under
the true error, and are taken from there to the likelihood without it. Printed by rank: ln evidence
of a held-out object over that of no error, and how far it is behind that of the true error; in the
end how far mean and covariance are from the true ones, and coverage of the held-out truths by
central intervals of 68 and 95 %, without the error, with the learned and with the true one.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import yaml

from hpcsbi.grid import Grid
from hpcsbi.inference.learning.error_path import Care, Survey, error_path
from hpcsbi.inference.learning.following import DISTINCT, follow
from hpcsbi.run.flows import load_engine
from hpcsbi.simulator.observation.learned_error import LearnedError
from hpcsbi.simulator.observation.noise import SurveyNoise
from hpcsbi.simulator.probability.likelihood import of_simulator
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.stages.tabulate import SHIPPED

CONF = Path(__file__).parents[1] / "conf"
ROUNDS = 20  # of moves, until draws have forgotten where they began


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--objects", type=int, default=3000)
    parser.add_argument("--held", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=32)
    parser.add_argument("--rank", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--moves", type=int, default=10)
    parser.add_argument("--strength", type=float, default=1.0)
    parser.add_argument("--save", default="")
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = yaml.safe_load((CONF / "prior" / "survey.yaml").read_text())
    floor = {**settings["columns"]["noise_floor"], "high": 0.02}
    prior = Prior(settings["columns"] | {"noise_floor": floor}, settings["bound_age"])
    engine, true = load_engine(SHIPPED, prior), true_error()
    noise = SurveyNoise(snr=(20, 300), calibration=0.04)
    spectra, theta = simulated(prior, engine, replace(noise, learned=true), options)
    teaches = np.arange(len(theta)) < options.objects
    held = np.flatnonzero(~teaches)

    def at(error, rows=slice(None)):
        return functions(engine, prior, replace(noise, learned=error), spectra[rows])

    none = LearnedError(np.zeros(Grid.pixels), [], Grid().settings())
    start = np.repeat(prior.coordinates(theta)[:, None], options.draws, 1)
    start = start + 1e-3 * np.random.default_rng(0).normal(size=start.shape) * (
        prior.high - prior.low
    )
    start = np.clip(start, prior.low, prior.upper(spectra.zred)[:, None])

    def moved(draws, first, last, step, rows=slice(None), rounds=ROUNDS):
        rest = prior, spectra.zred[rows], spectra.seeds[rows]
        ways = [(first, last), *[(last, last)] * rounds]
        ratio = 0.0
        for i, (a, b) in enumerate(ways):
            there = follow(draws, at(a, rows), at(b, rows), *rest, step + i, options.moves)
            draws, ratio = there.coordinates, ratio + there.log_ratio
        return draws, ratio

    began = time.process_time()
    under_true, _ = moved(start, true, true, 10_000)
    under_none, down = moved(under_true, true, none, 20_000)
    seconds = time.process_time() - began
    print(f"{len(theta)} spectra, {options.draws} draws each, {seconds:.0f} CPU s to make them")
    print(f"true error: {-down[held].mean():.2f} over none (an upper limit, from there)")
    tell_coverage("the true error", prior, theta[held], under_true[held])
    tell_coverage("no error", prior, theta[held], under_none[held])
    survey = Survey(spectra, under_none, engine, prior, noise, Grid().settings())
    care, best = Care(options.rank, options.steps, options.moves, options.strength), None
    for rank in error_path(survey, teaches, care):
        gain = rank.gain[held]
        known = np.isfinite(gain)
        print(
            f"rank {len(rank.error.templates)}: {gain[known].mean():.2f} +- "
            f"{gain[known].std() / known.sum() ** 0.5:.2f} a held-out object over none "
            f"({(~known).sum()} lost), {time.process_time() - began:.0f} CPU s; steps "
            f"{np.round(np.diff(rank.history) / options.objects, 2).tolist()}",
            flush=True,
        )
        if best is None or gain[known].mean() > best[0] + 0.05:
            best = gain[known].mean(), rank.error
        there, ratio = moved(under_true[held], true, rank.error, 30_000, held, 0)
        print(f"    behind the true error by {-ratio.mean():.2f} nat an object")
    error = best[1]
    if options.save:
        np.savez(options.save, mean=error.mean, templates=error.curves)
    tell_error(error, true, engine, prior, theta)
    there, _ = moved(under_none[held], none, error, 40_000, held)
    tell_coverage(f"the learned error of rank {len(error.templates)}", prior, theta[held], there)


def true_error():
    """A wave, a slope, a bump and lines."""
    wave = Grid().wave
    lines = sum(
        height * np.exp(-0.5 * ((wave - centre) / 30) ** 2)
        for centre, height in ((6563, 0.03), (5007, 0.02), (4861, 0.01))
    )
    smooth = 0.02 * np.cos(wave / 300), 0.012 * np.sin(wave / 230 + 1)
    return LearnedError(0.015 * np.sin(wave / 300), [*smooth, lines], Grid().settings())


def simulated(prior, engine, noise, options):
    """Spectra and truths."""
    rng, n = np.random.default_rng(1), options.objects + options.held
    zred = rng.uniform(0.01, 0.3, n)
    theta = prior.sample(n, rng, zred)
    rows = torch.tensor(theta, dtype=torch.float32)
    wave, told = torch.tensor(Grid().wave).float(), torch.tensor(zred).float()
    floor = rows[:, prior.names.index("noise_floor")]
    generator = torch.Generator().manual_seed(0)
    flux, ivar, _ = noise(engine.flux(rows, prior.names), wave, floor, generator, told)
    return Batch(flux.numpy(), ivar.numpy(), np.arange(n), zred), theta


def functions(engine, prior, noise, spectra):
    """ln likelihood as `follow` takes it."""
    likelihood = of_simulator(engine, prior.names, noise)
    flux, ivar = torch.tensor(spectra.flux), torch.tensor(spectra.ivar)

    @torch.no_grad()
    def log_likelihood(rows, coordinates):
        theta = torch.from_numpy(prior.theta(coordinates, np.float32))
        return likelihood(flux[rows], ivar[rows], theta).numpy()

    return log_likelihood


def tell_coverage(what, prior, theta, draws):
    """Shares of truths in central intervals, and the median of (draws - truth) over the widths."""
    whole = np.array([len(np.unique(each, axis=0)) >= DISTINCT for each in draws])
    theta, draws = theta[whole], draws[whole]
    truth = prior.coordinates(theta)[:, None]
    below = (draws < truth).mean(1)
    pulls = (draws.mean(1) - truth[:, 0]) / draws.std(1)
    ranks = np.arange(draws.shape[1] + 1) / draws.shape[1]
    exact = [((ranks > (1 - x) / 2) & (ranks < (1 + x) / 2)).mean() for x in (0.68, 0.95)]
    print(
        f"under {what}: coverage (exact: {exact[0]:.3f} {exact[1]:.3f}), median bias in widths; "
        f"{(~whole).sum()} objects lost"
    )
    for i, name in enumerate(prior.names):
        middle, wide = (
            ((below[:, i] > (1 - x) / 2) & (below[:, i] < (1 + x) / 2)).mean() for x in (0.68, 0.95)
        )
        print(f"    {name:14s} {middle:.3f} {wide:.3f}  {np.median(pulls[:, i]):+.2f}", flush=True)


def tell_error(error, true, engine, prior, theta):
    """Learned against true: mean and covariance, without what theta and calibration can make."""
    from hpcsbi.simulator.observation.templates import response_curves

    rows = prior.coordinates(theta[:200])
    slopes = [response_curves(torch.from_numpy(Grid().wave)).numpy()]
    for i, name in enumerate(prior.names):
        if name != "noise_floor":
            ends = []
            for sign in (-1, 1):
                moved = rows.copy()
                moved[:, i] += sign * 1e-3 * (prior.high - prior.low)[i]
                moved = moved.clip(prior.low, prior.high)
                ends.append(
                    engine.flux(torch.tensor(prior.theta(moved)).float(), prior.names).log()
                )
            slopes.append(np.median((ends[1] - ends[0]).double().numpy(), 0)[None])
    slopes = np.concatenate(slopes)
    basis = np.linalg.svd(slopes / np.linalg.norm(slopes, axis=1, keepdims=True))[2][: len(slopes)]
    rest = np.eye(Grid.pixels) - basis.T @ basis
    for what, change in (("whole", np.eye(Grid.pixels)), ("beside theta and calibration", rest)):
        ours, theirs = (change @ each.curves.T @ each.curves @ change for each in (error, true))
        means = [change @ np.array(each.mean) for each in (error, true)]
        far = np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)
        off = np.linalg.norm(means[0] - means[1]) / np.linalg.norm(means[1])
        print(f"{what}: covariance off by {far:.2f} of its norm, mean by {off:.2f}")


if __name__ == "__main__":
    main()
