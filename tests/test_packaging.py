"""The wheel holds what the library reads at run time, and works where the checkout is not."""

import json
import subprocess
import sys
import zipfile

import pytest

pytest.importorskip("hatchling", reason="needs hatchling to build a wheel (extra dev)")


@pytest.fixture(scope="module")
def installed(repository, tmp_path_factory):
    """A folder with the content of a wheel that was built just now."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=repository, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def call(installed, cwd, code):
    import os

    env = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.run([sys.executable, "-c", code], env=env, cwd=cwd, capture_output=True, text=True, check=True)


def test_recipes_are_found_in_the_wheel(installed, repository, tmp_path):
    code = "import sys; sys.argv = ['synthderm', 'recipes', 'ls', '--json']; from synthderm.cli import main; main()"
    told = {recipe["name"] for recipe in json.loads(call(installed, tmp_path, code).stdout)["recipes"]}
    assert told == {path.stem for path in (repository / "recipes").glob("*.yaml")}


def test_the_wheel_makes_an_image(installed, tmp_path):
    code = (
        "import synthderm as sd\n"
        "print(sd.__file__)\n"
        "print(sd.generate(diagnosis='nv', fst=3, num_images=1, size=64, output='o', workers=1).made)"
    )
    path, made = call(installed, tmp_path, code).stdout.split()
    assert path.startswith(str(installed))
    assert made == "1"


def test_no_package_data_is_left_behind(installed, repository):
    """Every file of the package that git knows is in the wheel."""
    listed = subprocess.run(
        ["git", "ls-files", "synthderm"], cwd=repository, capture_output=True, text=True, check=True
    )
    missing = [name for name in listed.stdout.splitlines() if not (installed / name).is_file()]
    assert missing == []
    assert listed.stdout
