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
            "pairs": pairs,
        },
        "shortcut": {
            "synthetic": spread(0.71 if flagged else 0.53, 0.02, 3500),
            "real": spread(0.62, 0.03, 2480),
            "per_class": {
                name: {"synthetic": spread(0.5 + 0.02 * i), "real": spread(0.6 - 0.02 * i)}
                for i, name in enumerate(CLASSES)
            },
            "flagged": flagged,
        },
        "leakage": {"shared_groups": 0, "exact_duplicates": 0, "near_duplicates": 2 if flagged else 0},
        "watermark": {"checked": False, "reason": "no detector is installed"},
        **more,
    }
    return write_result(folder, "audit", figures, protocol="Is it honest?", context=CONTEXT)


def _arm(arm, ratio, n_real, base, classes, tones):
    def scores(shift=0.0, n=900):
        return {
            "balanced_accuracy": spread(base + shift, 0.02, n),
            "macro_auroc": spread(base + 0.2 + shift / 2, 0.012, n),
            "ece": spread(0.08 - shift / 4, 0.01, n),
        }

    return {
        "n_real": n_real, "arm": arm if ratio is None or arm == "synthetic" else f"{arm}@{ratio:g}", "ratio": ratio,
        "n_seeds": 5, "scores": scores(),
        "per_class": {name: {"auroc": spread(base + 0.2 + 0.01 * i, 0.03, 180), "auprc": spread(base, 0.05, 180)}
                      for i, name in enumerate(classes)},
        "per_tone": {fst: scores(0.01 * i, 200) if fst != "5-6" else
                     {name: figure(None, n=12) for name in ("balanced_accuracy", "macro_auroc", "ece")}
                     for i, fst in enumerate(tones)},
    }  # fmt: skip


def write_gain(
    folder, replay=True, helps=0.03, sizes=(500, 2000), ratios=(0.5, 1, 1.75, 4), classes=CLASSES, predictions=True
):
    tones = ("1-2", "3-4", "5-6")
    arms, differences, runs = [], [], []
    rng = np.random.default_rng(0)
    labels = np.arange(300) % len(classes)
    for n_real in sizes:
        base = 0.52 + 0.05 * np.log2(n_real / 500)
        plan = [("real", None, 0.0), ("real+heavy-aug", None, 0.008), ("synthetic", 4, -0.14)]
        for ratio in ratios:
            plan += [("real+synthetic", ratio, helps * min(1, ratio) + 0.005)]
            plan += [("real+replay", ratio, 0.005)] if replay else []
        for arm, ratio, shift in plan:
            arms.append(_arm(arm, ratio, n_real, base + shift, classes, tones))
            for against in ("real", "real+replay") if replay else ("real",):
                if arm == against or (against == "real+replay" and arm in ("real", "real+replay", "real+heavy-aug")):
                    continue
                less = shift - (0.005 if against == "real+replay" else 0)
                name = arms[-1]["arm"]
                for score, part in (("balanced_accuracy", 1), ("macro_auroc", 0.5)):
                    row = {"n_real": n_real, "arm": name, "against": against, "ratio": ratio, "score": score}
                    differences.append({**row, "difference": spread(less * part, 0.016)})
                    for fst in tones if ratio == 1 else ():
                        told = figure(None, n=12) if fst == "5-6" else spread(less * part, 0.03, 200)
                        differences.append({**row, "difference": told, "fst": fst})
            for seed in range(2):
                name = f"n{n_real}_{arms[-1]['arm']}_seed{seed}"
                runs.append({"n_real": n_real, "arm": arms[-1]["arm"], "ratio": ratio, "seed": seed, "name": name,
                             "seconds": 61.5, "file": f"runs/{name}.npz"})  # fmt: skip
                if predictions:
                    sharp = 2.0 + 8 * shift + 0.3 * np.log2(n_real / 500)
                    logits = rng.normal(size=(len(labels), len(classes))) + sharp * np.eye(len(classes))[labels]
                    preds = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
                    (folder / "runs").mkdir(parents=True, exist_ok=True)
                    np.savez(folder / "runs" / f"{name}.npz", preds=preds.astype(np.float32))
    if predictions:
        np.savez(folder / "runs" / "test.npz", labels=labels, classes=np.array(classes))
    figures = {
        "arms": arms,
        "differences": differences,
        "curves": {
            "dose": [{"n_real": n, "score": "balanced_accuracy", "saturation": 1} for n in sizes] if replay else []
        },
        "runs": runs,
    }
    context = {**CONTEXT, "options": {"task": "classification", "score": "balanced_accuracy", "seeds": 5}}
    return write_result(folder, "gain", figures, protocol="Equal doses.", context=context)
