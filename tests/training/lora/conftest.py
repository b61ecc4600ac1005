"""Tiny bases and a drawn data set, made once."""

import lora_sets
import pytest


@pytest.fixture(scope="session")
def bases(tmp_path_factory):
    """Family -> folder of a tiny pipeline; made when asked for."""
    import tiny

    root, made = tmp_path_factory.mktemp("bases"), {}

    def make(family):
        if family not in made:
            made[family] = tiny.save_tiny(family, root / family)
        return made[family]

    return make


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Four drawn moles and four drawn melanomas, in class folders."""
    return lora_sets.class_folders(tmp_path_factory.mktemp("data"))
