"""What is heavy is not loaded before it is needed."""

import subprocess
import sys

import pytest

import synthderm

HEAVY = ("torch", "numpy", "PIL", "diffusers", "transformers", "kornia")


@pytest.mark.parametrize(
    "code",
    [
        "import synthderm",
        "import synthderm.cli",
        "import sys; sys.argv = ['synthderm', 'generate', '--help']; import synthderm.cli as c\n"
        "try: c.main()\nexcept SystemExit: pass",
    ],
)
def test_nothing_heavy_is_imported(code):
    check = f"\nimport sys; print('loaded:', *(m for m in {HEAVY} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code + check], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded:"


def test_every_public_name_is_there():
    for name in synthderm.__all__:
        assert getattr(synthderm, name) is not None
    assert set(synthderm.__all__) <= set(dir(synthderm))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = synthderm.nothing


def test_the_lazy_names_are_the_real_ones():
    import synthderm.run

    assert synthderm.generate is synthderm.run.generate
