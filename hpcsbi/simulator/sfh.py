"""Star-formation histories: how much mass of each age a galaxy has formed."""

import math

import numpy as np
from scipy.special import expi

__all__ = ["TAGE_MIN", "delayed_tau_weights"]

TAGE_MIN = 1e-6  # Gyr; FSPS reads 0 as "all ages", and makes nothing below a year


def delayed_tau_weights(log_age: np.ndarray, tage: np.ndarray, tau: np.ndarray) -> np.ndarray:
    """Mass that a delayed-tau history puts into each SSP, as FSPS does it.

    The history is t exp(-t / tau) from 0 to tage, normalised to one solar mass formed. SSPs are
    linear in log age between their ages; what is younger than the first belongs to it.

    Arguments:
        log_age: log10 of the SSPs' ages in years, ascending, shape (ages,).
        tage, tau: Gyr, shape (n,).

    Returns:
        Weights that sum to one, float64, shape (n, ages).

    References:
        Conroy, Gunn & White 2009, arXiv:0809.4261, equation 1; the integrals are elementary but
        for the exponential integral Ei.
    """
    tage = np.maximum(np.asarray(tage, dtype=float), TAGE_MIN)[:, None] * 1e9
    tau = np.asarray(tau, dtype=float)[:, None] * 1e9
    # Beyond this the history is t to 1e-4, and the closed form loses all its digits.
    tau = np.minimum(tau, 1e4 * tage)
    nodes = np.concatenate([[0.0], log_age])  # 1 yr stands for no age at all
    log_t = np.minimum(nodes, np.log10(tage))
    t = 10**log_t
    # Everything is scaled by exp(-tage / tau), or tau of 0.1 Gyr overflows at 70 Gyr.
    grow = np.exp((t - tage) / tau)
    ei = np.exp(-tage / tau) * expi(t / tau)
    slope = (t - tage - tau) * grow  # of the primitive in log t
    offset = ((tage + tau) * ei - tau * grow) * math.log10(math.e)
    young, old = slice(None, -1), slice(1, None)
    width = np.diff(nodes)
    rise = np.diff(offset, axis=1)

    def between(reference: np.ndarray) -> np.ndarray:
        upper = slope[:, old] * (log_t[:, old] - reference)
        return upper - slope[:, young] * (log_t[:, young] - reference) + rise

    weights = np.zeros((len(tage), len(nodes)))
    weights[:, young] += between(nodes[old]) / width
    weights[:, old] -= between(nodes[young]) / width
    weights[:, 1] += weights[:, 0]
    weights = weights[:, 1:]
    return weights / weights.sum(1, keepdims=True)
