"""Shared fixtures. A test that needs real data says so and is skipped where there is none."""

import os
import zipfile
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")

REPOSITORY = Path(__file__).resolve().parent.parent
REAL_DATA = Path(os.environ.get("SYNTHDERM_REAL_DATA", REPOSITORY.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def ci_fixture() -> Path:
    """Folder of 108 real images with metadata.csv (CC BY 4.0 and CC0)."""
    folder = REAL_DATA / "ci_fixture"
    if not folder.is_dir():
        pytest.skip(f"needs the folder of real test images {folder}; set SYNTHDERM_REAL_DATA")
    return folder


@pytest.fixture(scope="session")
def real_pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real training pack, unpacked: 10,348 images with metadata.csv."""
    pack = REAL_DATA / "train_128.zip"
    if not pack.is_file():
        pytest.skip(f"needs the real training pack {pack}; set SYNTHDERM_REAL_DATA")
    folder = tmp_path_factory.mktemp("real")
    with zipfile.ZipFile(pack) as archive:
        archive.extractall(folder)
    return folder / "train_128"
