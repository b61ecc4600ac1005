"""Confidence intervals of one number: the record, Student's t, Wilson's proportion, percentiles."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from synthderm.core import InputError


@dataclass(frozen=True)
class Interval:
    """A value with its confidence interval and what it rests on.

    Attributes:
        value: the point value, of the whole sample.
        low: lower end; nan where no interval could be formed.
        high: upper end.
        level: nominal coverage, 0 to 1.
        n_groups: independent units of the sample (lesions, patients, images); None where it has no meaning.
        n_seeds: training seeds; None where it has no meaning. With 1 the interval knows nothing of the seeds.
        resamples: resamples that the interval was formed from.
        undefined: resamples that were left out because the value does not exist on them (a class is missing).
    """

    value: float
    low: float
    high: float
    level: float = 0.95
    n_groups: int | None = None
    n_seeds: int | None = None
    resamples: int | None = None
    undefined: int = 0

    def to_json(self) -> dict[str, float | int | None]:
        """The fields as plain numbers."""
        return asdict(self)


def check_level(level: float) -> float:
    """``level`` if it lies strictly between 0 and 1; :class:`InputError` otherwise."""
    if not 0 < level < 1:
        raise InputError(f"expected a level between 0 and 1, got {level:g}; 0.95 is usual")
    return level


def _log_gamma_step(x: float) -> float:
    """log Gamma(x + 1/2) - log Gamma(x); by its series where the difference of large numbers would round."""
    if x < 100:
        return math.lgamma(x + 0.5) - math.lgamma(x)
    return 0.5 * math.log(x) - 1 / (8 * x) + 1 / (192 * x**3)


@lru_cache(maxsize=1)
def _quadrature() -> tuple[np.ndarray, np.ndarray]:
    return np.polynomial.legendre.leggauss(96)


def student_t_cdf(t: float, df: float) -> float:
    """Distribution function of Student's t with ``df`` >= 1 degrees of freedom (may be fractional, or infinite).

    With x = sqrt(df) tan(a) the density becomes cos(a)^(df - 1) / B(1/2, df/2), which is smooth, so Gauss-Legendre
    quadrature of 96 points over (0, arctan(t / sqrt(df))) is exact to 1e-11 (Abramowitz & Stegun 1964, 26.7.1).
    """
    if math.isinf(df):
        return NormalDist().cdf(t)
    nodes, weights = _quadrature()
    half = math.atan(abs(t) / math.sqrt(df)) / 2
    log_scale = _log_gamma_step(df / 2) - 0.5 * math.log(math.pi)
    density = np.exp((df - 1) * np.log(np.cos(half * (nodes + 1))) + log_scale)
    return 0.5 + math.copysign(half * float(weights @ density), t)


def student_t_quantile(p: float, df: float) -> float:
    """Quantile of Student's t, by bisection of :func:`student_t_cdf`; relative error below 1e-9.

    Args:
        p: probability, 0 < p < 1.
        df: degrees of freedom, at least 1; may be infinite.
    """
    check_level(p)
    if df < 1:
        raise InputError(f"expected at least 1 degree of freedom, got {df:g}; give more seeds or groups")
    if math.isinf(df) or p == 0.5:
        return NormalDist().inv_cdf(p)
    tail, low, high = max(p, 1 - p), 0.0, 1.0
    while student_t_cdf(high, df) < tail:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if student_t_cdf(middle, df) < tail else (low, middle)
    return math.copysign((low + high) / 2, p - 0.5)


def proportion_interval(successes: int, n: int, level: float = 0.95) -> Interval:
    """Interval of a proportion (Wilson 1927; Brown, Cai & DasGupta 2001, eq. 4).

    It stays within 0 to 1 and is not empty at 0 or n successes. The trials must be independent: for several images
    of one lesion use :func:`~synthderm.functional.bootstrap.group_interval`.

    Args:
        successes: 0 to ``n``.
        n: trials, at least 1.
        level: nominal coverage.

    Raises:
        InputError: counts that cannot be.
    """
    if n < 1 or not 0 <= successes <= n:
        raise InputError(f"expected 0 <= successes <= n and n >= 1, got {successes} of {n}")
    z = NormalDist().inv_cdf(0.5 + check_level(level) / 2)
    share = successes / n
    middle = (successes + z * z / 2) / (n + z * z)
    half = z * math.sqrt(n) / (n + z * z) * math.sqrt(share * (1 - share) + z * z / (4 * n))
    low, high = max(middle - half, 0.0), min(middle + half, 1.0)
    return Interval(share, 0.0 if successes == 0 else low, 1.0 if successes == n else high, level, n_groups=n)


def percentile_interval(values: np.ndarray, value: float | None = None, level: float = 0.95) -> Interval:
    """The middle ``level`` of bootstrap values (Efron 1979), nan left out and counted as undefined.

    Args:
        values: (R,) values on the resamples.
        value: the value on the sample itself; the mean of ``values`` if None.
        level: nominal coverage.

    Raises:
        InputError: fewer than 2 defined values.
    """
    values = np.asarray(values, dtype=np.float64)
    defined = values[np.isfinite(values)]
    if len(defined) < 2:
        raise InputError(f"expected at least 2 defined bootstrap values, got {len(defined)} of {len(values)}")
    tail = (1 - check_level(level)) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    point = float(defined.mean()) if value is None else float(value)
    return Interval(point, float(low), float(high), level, resamples=len(values), undefined=len(values) - len(defined))
