import numpy as np

from synthderm.core import image_seed, stream


def test_seed_depends_on_run_index_and_attempt_only():
    # python -c "import hashlib; print(int(hashlib.sha256(b'synthderm image 0 5 0').hexdigest()[:16], 16) >> 1)"
    assert image_seed(0, 5) == 4276863012016519010
    seeds = {image_seed(run, i, k) for run in range(3) for i in range(50) for k in range(3)}
    assert len(seeds) == 450
    assert all(0 <= s < 2**63 for s in seeds)


def test_streams_are_independent_and_repeatable():
    a, again, b = (stream(7, name).standard_normal(20_000) for name in ("hairs", "hairs", "ink"))
    assert np.array_equal(a, again)
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.03
