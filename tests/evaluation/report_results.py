"""Made-up results of the three evaluation commands, as they write them."""

import numpy as np
from PIL import Image

from synthderm.evaluation.result import figure, write_result

CLASSES = ("nv", "mel", "bcc", "akiec", "bkl")
SETS = {
    "synthetic": {"name": "synthetic", "path": "simulated", "digest": "0f3a9c1d2b4e5f60", "n": 3500, "size": 64},
    "real": {"name": "real", "path": "train_128", "digest": "77aa11bb22cc33dd", "n": 2480, "size": 64},
}
CONTEXT = {
    "sets": SETS,
    "extractor": {"name": "derm", "num_features": 128, "weights_sha256": "ab" * 32, "licence": "Apache-2.0"},
    "options": {"size": 64, "seed": 0},
    "command": "synthderm evaluate quality simulated train_128 -o quality",
}


def spread(value, width=0.02, n=900):
    return figure(value, value - width, value + width, n)


def write_picture(folder, name, colour=(180, 120, 90), size=(240, 120)):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return name


def write_quality(folder, classes=CLASSES, **more):
    def line(scope, i, **cell):
        few = i == len(classes)
        n = 12 if few else 500
        return {
            "scope": scope, "n": n, "n_real": 480, **cell,
            "fid": figure(None, n=n) if few else spread(41.3 + 7 * i, 3.5, n), "fid_floor": spread(6.2 + i, 1, n),
            "fid_infinity": spread(38.0 + 7 * i, 4, n), "kid": spread(0.0213 + 0.004 * i, 0.003, n),
            "kid_floor": spread(0.0004, 0.0006, n), "precision": spread(0.71 - 0.05 * i, 0.03, n),
            "recall": spread(0.42 + 0.02 * i, 0.04, n), "density": spread(0.83 + 0.1 * i, 0.05, n),
            "coverage": spread(0.55, 0.03, n), "precision_floor": spread(0.84, 0.02, n),
            "recall_floor": spread(0.83, 0.02, n), "density_floor": spread(0.99, 0.02, n),
            "coverage_floor": spread(0.93, 0.02, n),
        }  # fmt: skip

    distances = [line("all", 0), *(line("class", i + 1, diagnosis=name) for i, name in enumerate(classes))]
    shares = {name: spread(0.35 + 0.1 * i, 0.06, 500) for i, name in enumerate(classes)}
    real = {name: spread(0.6 + 0.06 * i, 0.05, 120) for i, name in enumerate(classes)}
    counts = np.eye(len(classes), dtype=int) * 300 + np.arange(len(classes))
    types = [str(fst) for fst in range(1, 7)]
    tones = np.eye(6, 7, dtype=int) * 90 + np.eye(6, 7, k=1, dtype=int) * 7
    figures = {
        "distances": distances,
        "class_fidelity": {
            "classifier": {"name": "derm", "weights_sha256": "cd" * 32},
            "synthetic": shares,
            "real": real,
            "macro": {"synthetic": spread(0.55, 0.03, 2500), "real": spread(0.72, 0.03, 600)},
            "confusion": {"rows": list(classes), "columns": list(classes), "counts": counts.tolist()},
        },
        "tone": {
            "share_inside": spread(0.928, 0.01, 582),
            "confusion": {"rows": types, "columns": [*types, "none"], "counts": tones.tolist()},
        },
        "masks": {"boundary_contrast": {"synthetic": spread(11.2, 0.4, 500), "real": spread(9.8, 0.5, 480)}},
        **more,
    }
    pictures = {"contact_sheet": write_picture(folder, "sheet.png", size=(1900, 900))}
    return write_result(folder, "quality", figures, protocol="How far.", context=CONTEXT, pictures=pictures)


def write_audit(folder, flagged=False, **more):
    pairs = [
        {"synthetic": f"SYN_{i:04}.png", "train": f"ISIC_{i:04}.jpg", "score": 0.93 - 0.01 * i,
         "picture": write_picture(folder, f"pairs/{i}.png", (200 - 9 * i, 120, 90))}
        for i in range(8)
    ]  # fmt: skip
    edges = np.linspace(0.2, 1, 41)
    middle = (edges[1:] + edges[:-1]) / 2
    figures = {
        "verdict": "warn" if flagged else "pass",
        "reasons": ["the background alone tells the classes apart"] if flagged else [],
        "copies": {
            "share": figure(
                0.031 if flagged else 0.008, 0.022 if flagged else 0.004, 0.043 if flagged else 0.014, 3500
            ),
            "threshold": 0.86,
            "false_alarm_rate": 0.01,
            "hold_out_n": 620,
            "score_histogram": {
                "edges": edges.tolist(),
                "synthetic": np.round(900 * np.exp(-((middle - 0.6) ** 2) / 0.01)).astype(int).tolist(),
                "hold_out": np.round(200 * np.exp(-((middle - 0.7) ** 2) / 0.008)).astype(int).tolist(),
            },
            "exact": 1 if flagged else 0,
            "perceptual_hash": {"share": spread(0.012, 0.004, 3500), "threshold_bits": 8},
            "files": [pair["synthetic"] for pair in pairs[:3]],
            "pairs": pairs,
            "hold_out_pairs": [{**pairs[-1], "hold_out": "ISIC_9999.jpg", "score": 0.61}],
        },
        "shortcut": {
            "synthetic": spread(0.71 if flagged else 0.53, 0.02, 3500),
            "real": spread(0.62, 0.03, 2480),
            "per_class": {
                name: {"synthetic": spread(0.5 + 0.02 * i), "real": spread(0.6 - 0.02 * i)}
                for i, name in enumerate(CLASSES)
            },
            "flagged": flagged,
            "rule": "flagged above 0.9",
        },
        "leakage": {
            "shared_groups": ["a/lesion_7"] if flagged else [],
            "exact_train_and_test": [],
            "near_train_and_test": [{"file": "a.png", "like": "b.png", "score": 0.91}],
            "near_shares": {"train_and_test": spread(0.005, 0.004, 400), "among_hold_out_images": {"rate": 0.01}},
        },
        "watermark": {
            "checked": False,
            "reason": "an older version looked for none",
            "metadata_says_synthetic": figure(1.0, 0.999, 1.0, 3500),
        },
        **more,
    }
    return write_result(folder, "audit", figures, protocol="Is it honest?", context=CONTEXT)


SCORES = ("balanced_accuracy", "macro_auroc", "ece")
TONES = ("1", "3", "6")
PLAIN = ("real", "real+heavy-aug")


def _scores(base, n=900):
    values = (base, base + 0.2, 0.3 - base / 3)
    few = n < 30
    return {name: figure(None, n=n) if few else spread(v, 0.02, n) for name, v in zip(SCORES, values, strict=True)}


def _tone_n(fst):
    return 12 if fst == "6" else 200


def _arm(arm, ratio, n_real, base, classes):
    n_train = n_real * 4 // 5
    one_class = {"auroc": spread(base + 0.2, 0.03, 180), "sensitivity_at_90_specificity": spread(base - 0.1, 0.06, 180)}
    return {
        "n_real": n_real,
        "arm": arm if arm in PLAIN or arm == "synthetic" else f"{arm}@{ratio:g}",
        "kind": arm,
        "ratio": ratio,
        "n_seeds": 5,
        "n_train": n_train,
        "n_added": round((ratio or 0) * n_train),
        "scores": {**_scores(base), "worst_tone_accuracy": spread(base - 0.08, 0.04, 700)},
        "per_class": dict.fromkeys(classes, one_class),
        "per_tone": {fst: _scores(base + 0.01 * i, _tone_n(fst)) for i, fst in enumerate(TONES)},
        "per_tone_class": {fst: {classes[0]: {"auroc": spread(base + 0.17, 0.1, 60)}} for fst in TONES[:2]},
    }


def _differences(arm, shift, controls):
    """An arm less ``real`` (shift 0) and less its controls (shift 0.005)."""
    for against, own in (("real", 0.0), *((control, 0.005) for control in controls)):
        for score, part in (("balanced_accuracy", 1), ("macro_auroc", 0.5)):
            row = {name: arm[name] for name in ("n_real", "arm", "kind", "ratio")}
            row |= {"against": against, "score": score}
            value, judged = (shift - own) * part, against != "real"
            verdict = "not judged: no equal-dose control"
            if controls:
                verdict = "gain" if value > 0.016 else "no difference shown"
            yield {**row, "fst": None, "difference": spread(value, 0.016), "verdict": verdict}
            for fst in TONES if judged and part == 1 else ():
                told = figure(None, n=12) if fst == "6" else spread(value, 0.025, 200)
                yield {**row, "fst": int(fst), "difference": told, "verdict": verdict}


def _predict(folder, name, labels, classes, sharp, rng):
    logits = rng.normal(size=(len(labels), len(classes))) + sharp * np.eye(len(classes))[labels]
    preds = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.savez(folder / "runs" / f"{name}.npz", preds=preds.astype(np.float32))


def write_gain(
    folder, replay=True, helps=0.03, sizes=(500, 2000), ratios=(0.5, 1, 1.75, 4), classes=CLASSES, predictions=True
):
    """A training experiment in which synthetic doses are better than replay by ``helps``, from one to one on."""
    rng, labels = np.random.default_rng(0), np.arange(300) % len(classes)
    (folder / "runs").mkdir(parents=True, exist_ok=True)
    arms, differences, runs = [], [], []
    doses = [("real+synthetic", ratio, helps * min(1, ratio) + 0.005) for ratio in ratios]
    doses += [("real+replay", ratio, 0.005) for ratio in ratios if replay]
    for n_real in sizes:
        base = 0.52 + 0.05 * np.log2(n_real / 500)
        others = (("real", None, 0.0), ("real+heavy-aug", None, 0.008), ("synthetic", max(ratios), -0.14))
        for kind, ratio, shift in (*others, *doses):
            arm = _arm(kind, ratio, n_real, base + shift, classes)
            arms.append(arm)
            controls = [f"real+replay@{ratio:g}"] if replay and kind in ("real+synthetic", "synthetic") else []
            differences += _differences(arm, shift, controls) if kind != "real" else []
            for seed in range(2):
                name = f"n{n_real}_{arm['arm']}_seed{seed}"
                row = {"n_real": n_real, "arm": arm["arm"], "ratio": ratio, "seed": seed, "name": name, "seconds": 61.5}
                runs.append({**row, "file": f"runs/{name}.npz"})
                if predictions:
                    _predict(folder, name, labels, classes, 2 + 8 * shift + 0.3 * np.log2(n_real / 500), rng)
    if predictions:
        np.savez(folder / "runs" / "test.npz", labels=labels, classes=np.array(classes))
    points = [{"ratio": ratio} for ratio in ratios]
    figures = {
        "arms": arms,
        "differences": differences,
        "judged": [],
        "comparisons": len(differences),
        "curves": {
            "dose": [{"n_real": n, "score": SCORES[0], "points": points, "best": 4, "saturation": 1} for n in sizes],
            "size": [],
        },
        "test": {"classes": dict.fromkeys(classes, 180), "fst": {"1": 200, "3": 200, "6": 12, "None": 4}},
        "runs": runs,
    }
    options = {"task": "classification", "score": "balanced_accuracy", "seeds": 5, "level": 0.95}
    return write_result(folder, "gain", figures, protocol="Equal doses.", context={**CONTEXT, "options": options})
