"""Samples and folders of random shapes, for tests of everything that writes or describes a folder."""

import numpy as np
import torch

from synthderm.core import DIAGNOSES, Sample, ita_to_fst, stream, tone_band
from synthderm.data import FolderWriter, Journal, finish_folder

MASKS = ("lesion", "hair", "globules")
TOLD = {
    "recipe": {"class": ["mel"], "num_images": 4, "seed": 7},
    "summary": {"requested": 4},
    "licences": ["CC0-1.0"],
    "attribution": ["made up for tests"],
}


def made_up_sample(seed, size=64):
    """An ellipse on noisy skin; the hair mask is a line that every second sample lacks."""
    rng = stream(seed, "made up")
    down, across = np.mgrid[:size, :size] / size
    cy, cx, ry, rx = rng.uniform([0.4, 0.4, 0.1, 0.1], [0.6, 0.6, 0.35, 0.2])
    lesion = ((down - cy) / ry) ** 2 + ((across - cx) / rx) ** 2 < 1
    hair = (np.abs(down - across) < 0.02) & (seed % 2 == 0)
    skin = rng.integers(60, 230, 3)[:, None, None] + rng.normal(0, 3, (3, size, size))
    image = np.where(lesion, 0.4 * skin, skin).clip(0, 255).astype(np.uint8)
    masks = {"lesion": lesion, "hair": hair, "globules": lesion & (across > cx), "healthy_skin": ~lesion & ~hair}
    maps = {"melanin": rng.uniform(0, 0.5, (size, size)), "normal": rng.normal(size=(3, size, size))}
    return Sample(
        image=torch.from_numpy(image),
        masks={name: torch.from_numpy(np.ascontiguousarray(mask)) for name, mask in masks.items()},
        metadata={},
        seed=seed,
        maps={name: torch.from_numpy(values).float() for name, values in maps.items()},
    )


def made_up_row(index, code="mel", fst=5, *, ita_error_deg=1.0, lesion=None, **more):
    """The columns that a run writes beside those of the files."""
    band, diagnosis = tone_band(fst), DIAGNOSES[code]
    ita = (band.draw_low_deg + band.draw_high_deg) / 2
    name = f"SYN_0123abcd_{index:06d}"
    return {
        "index": index,
        "isic_id": name,
        "lesion_id": f"SYNL_{index if lesion is None else lesion}",
        "diagnosis": diagnosis.name,
        "dx": code,
        "dx_type": "simulated",
        "image_type": "dermoscopic",
        "is_synthetic": True,
        "fst_requested": fst,
        "ita_requested_deg": ita,
        "ita_deg": ita + ita_error_deg,
        "fst_proxy": ita_to_fst(ita + ita_error_deg),
        "seed": 2**62 + index,
        "generator": "made up",
        "generator_version": "1",
        "attempts": 1,
        "parameters": {"lesion.asymmetry": index / 10, "artefact.ruler": False, "camera.light": "D65"},
        **more,
    }


def make_images(root, rows, *, masks=MASKS, shard=(1, 1), **options):
    """Write the images of ``rows`` and note them in the journal, as a run does."""
    writer = FolderWriter(root, masks=masks, **options)
    with Journal(root, shard) as journal:
        for row in rows:
            journal.append({**row, **writer.write(made_up_sample(row["index"]), row["isic_id"])})


def make_folder(root, rows, **options):
    """A finished folder."""
    make_images(root, rows, **options)
    return finish_folder(root, **TOLD)


def tree(root):
    """File name -> bytes, without the hidden folder and environment.json (a commit may come in between)."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    names = {path.relative_to(root).as_posix(): path for path in files}
    return {name: path.read_bytes() for name, path in names.items() if not name.startswith((".", "environment"))}
