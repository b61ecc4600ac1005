"""The watermark beside the packages that people use, on the same images, attacks and false-positive rate.

    python eval/watermark_peers.py --real REAL [--sizes 64 128 256 512] [--images 12] [--peer-images 3]

For each size, real images (the pack's, which are 128 px: smaller ones are reduced, larger ones are enlarged and so
smoother than a camera's) and simulated ones (rendered at that size, all skin types, both modalities). Each image is
marked once by each method, attacked by each attack of ``watermark_attacks.py``, and read. Reported are, for each
attack, the share found at a false-positive rate of 1e-6 and the share whose whole payload is exact; for each method
PSNR, SSIM, the largest change, and milliseconds of processor time to embed and to detect.

Found means: ours, verdict "synthetic" (the full search where the attack moves the frame, else the direct reading);
peers, as many agreeing bits as a binomial test at 1e-6 asks for (the most favourable reading: unmarked smooth skin does
not give coin tosses). imwatermark refuses images below 256 px, and blind-watermark has no room for 64 bits below
128 px: there they mark an enlarged copy (``Enlarging``). Payloads: ours 36 bits; 64 bits for dwtDct, dwtDctSvd and
blind-watermark; 32 for rivaGan. Packages work at their own strength, whose PSNR is reported; blind-watermark, 38 dB by
default, is also tried with smaller steps, which give about our 42 dB. Peers that are not installed are named and left
out:

    pip install invisible-watermark blind-watermark onnxruntime opencv-python-headless
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import Protocol

import numpy as np
from common import write_result
from PIL import Image
from real_pack import RealPack, add_real_argument
from scipy.stats import binom
from skimage.metrics import structural_similarity
from watermark_attacks import ATTACKS

import synthderm
from synthderm.provenance.watermark import DEFAULT_FPR, Key, Payload, Watermark

MOVES_THE_FRAME = tuple(name for name in ATTACKS if name.startswith(("crop", "turn", "training")))
MESSAGE = np.random.default_rng(2024).integers(0, 2, 64)


class Method(Protocol):
    """Marks an image, and says whether it finds the mark and reads the payload exactly."""

    def embed(self, image: Image.Image) -> Image.Image:
        """The marked image."""
        ...

    def read(self, image: Image.Image, moved: bool) -> tuple[bool, bool]:
        """Found, exact; ``moved`` says that the attack moved the frame."""
        ...


class Ours:
    """This library with the published key."""

    def __init__(self) -> None:
        self._watermark = Watermark(Key.public())
        self._payload = Payload(generator="flow", run=0xA55A3C)

    def embed(self, image: Image.Image) -> Image.Image:
        """The marked image."""
        return self._watermark.embed(image, self._payload)

    def read(self, image: Image.Image, moved: bool) -> tuple[bool, bool]:
        """Found, exact."""
        found = self._watermark.detect(image, search="full" if moved else "fast")[0]
        return found.verdict == "synthetic", found.payload == self._payload


def found_bits(bits: np.ndarray, message: np.ndarray) -> tuple[bool, bool]:
    """A binomial test on the number of agreeing bits, and whether all agree."""
    agreeing = int((np.asarray(bits).ravel()[: len(message)] == message).sum())
    return bool(binom.sf(agreeing - 1, len(message), 0.5) <= DEFAULT_FPR), agreeing == len(message)


class InvisibleWatermark:
    """The package imwatermark; images go in as BGR arrays."""

    def __init__(self, kind: str) -> None:
        from imwatermark import WatermarkDecoder, WatermarkEncoder

        self._kind, self._message = kind, MESSAGE[:32] if kind == "rivaGan" else MESSAGE
        self._encoder, self._decoder = WatermarkEncoder(), WatermarkDecoder("bits", len(self._message))
        self._encoder.set_watermark("bits", self._message.tolist())
        if kind == "rivaGan":
            WatermarkDecoder.loadModel()

    def embed(self, image: Image.Image) -> Image.Image:
        """The marked image."""
        marked = self._encoder.encode(np.ascontiguousarray(np.asarray(image)[..., ::-1]), self._kind)
        return Image.fromarray(np.ascontiguousarray(marked[..., ::-1]))

    def read(self, image: Image.Image, moved: bool) -> tuple[bool, bool]:
        """Found, exact."""
        bits = self._decoder.decode(np.ascontiguousarray(np.asarray(image)[..., ::-1]), self._kind)
        return found_bits(np.array(bits).astype(int), self._message)


class BlindWatermark:
    """The package blind-watermark, with its default steps or others."""

    def __init__(self, steps: tuple[int, int] = (36, 20)) -> None:
        import blind_watermark

        self._package, self._steps = blind_watermark, steps
        blind_watermark.bw_notes.close()

    def _new(self) -> object:
        worker = self._package.WaterMark(password_wm=7, password_img=9)
        worker.bwm_core.d1, worker.bwm_core.d2 = self._steps
        return worker

    def embed(self, image: Image.Image) -> Image.Image:
        """The marked image."""
        writer = self._new()
        writer.read_img(img=np.ascontiguousarray(np.asarray(image)[..., ::-1]))
        writer.read_wm(MESSAGE.astype(bool), mode="bit")
        marked = np.clip(np.rint(writer.embed()), 0, 255).astype(np.uint8)
        return Image.fromarray(np.ascontiguousarray(marked[..., ::-1]))

    def read(self, image: Image.Image, moved: bool) -> tuple[bool, bool]:
        """Found, exact."""
        pixels = np.ascontiguousarray(np.asarray(image)[..., ::-1])
        bits = self._new().extract(embed_img=pixels, wm_shape=len(MESSAGE), mode="bit")
        return found_bits(np.array(bits) > 0.5, MESSAGE)


class Enlarging:
    """For images below a package's smallest size: mark an enlarged copy and add the change, reduced; read enlarged.

    The resolution scaling of TrustMark (Bui et al. 2023, section 3.4).
    """

    def __init__(self, method: Method, smallest: int) -> None:
        self._method, self._smallest = method, smallest

    def _enlarged(self, image: Image.Image) -> Image.Image:
        if min(image.size) >= self._smallest:
            return image
        scale = self._smallest / min(image.size)
        return image.resize(tuple(round(scale * side) for side in image.size), Image.Resampling.BICUBIC)

    def embed(self, image: Image.Image) -> Image.Image:
        """The marked image."""
        large = self._enlarged(image)
        marked = self._method.embed(large)
        if large is image:
            return marked
        change = np.asarray(marked, np.float32) - np.asarray(large, np.float32)
        planes = [Image.fromarray(c).resize(image.size, Image.Resampling.BOX) for c in change.transpose(2, 0, 1)]
        pixels = np.asarray(image, np.float32) + np.stack([np.asarray(plane) for plane in planes], -1)
        return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))

    def read(self, image: Image.Image, moved: bool) -> tuple[bool, bool]:
        """Found, exact."""
        return self._method.read(self._enlarged(image), moved)


METHODS: dict[str, Callable[[], Method]] = {
    "synthderm": Ours,
    "imwatermark dwtDct": lambda: Enlarging(InvisibleWatermark("dwtDct"), 256),
    "imwatermark dwtDctSvd": lambda: Enlarging(InvisibleWatermark("dwtDctSvd"), 256),
    "imwatermark rivaGan": lambda: Enlarging(InvisibleWatermark("rivaGan"), 256),
    "blind-watermark": lambda: Enlarging(BlindWatermark(), 128),
    "blind-watermark, weaker": lambda: Enlarging(BlindWatermark((22, 12)), 128),
}


def installed(names: list[str]) -> tuple[dict[str, Method], dict[str, str]]:
    """The methods that can be used here, and why the others cannot."""
    ready, missing = {}, {}
    for name in names:
        try:
            ready[name] = METHODS[name]()
        except ImportError as error:
            missing[name] = f"not installed: {error}"
            print(f"{name} is not installed ({error}); it is left out", file=sys.stderr)
    return ready, missing


def real(pack: RealPack, size: int, n: int) -> Iterator[Image.Image]:
    """``n`` images spread over the pack, brought to ``size``."""
    for i in np.linspace(0, len(pack.rows) - 1, n).astype(int):
        image = Image.fromarray(pack.image(pack.rows[i]).transpose(1, 2, 0))
        yield image if image.size == (size, size) else image.resize((size, size), Image.Resampling.LANCZOS)


def simulated(size: int, n: int) -> Iterator[Image.Image]:
    """``n`` images of the simulator: diagnoses, skin types and modalities in turn."""
    generator = synthderm.load_generator("simulator", size=size)
    for i in range(n):
        modality = ("dermoscopy", "clinical")[i % 2]
        condition = synthderm.Condition(("nv", "mel", "bcc", "akiec", "bkl")[i % 5], fst=1 + i % 6, modality=modality)
        yield Image.fromarray(next(iter(generator.sample([i], condition))).image.permute(1, 2, 0).numpy())


@dataclass
class Tally:
    """What one method did on one set of images."""

    found: dict[str, list[bool]] = field(default_factory=dict)
    exact: dict[str, list[bool]] = field(default_factory=dict)
    quality: dict[str, list[float]] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)

    def note(self, name: str, value: float) -> None:
        """One measurement of quality or time."""
        self.quality.setdefault(name, []).append(value)

    def figures(self) -> dict[str, object]:
        """Shares in per cent, medians of times, means of qualities."""

        def percent(shares: dict[str, list[bool]]) -> dict[str, float]:
            return {name: round(100 * float(np.mean(values)), 1) for name, values in shares.items()}

        middle = {name: round(float(median(values)), 4) for name, values in self.quality.items()}
        images = max((len(values) for values in self.found.values()), default=0)
        return {"images": images, **middle, "found": percent(self.found), "exact": percent(self.exact)} | (
            {"failures": self.failures} if self.failures else {}
        )


def try_image(method: Method, image: Image.Image, seed: int, tally: Tally) -> None:
    """Mark one image, attack it, read it. A method that cannot mark the image at all has found nothing on it."""
    start = time.process_time()
    try:
        marked = method.embed(image)
    except Exception as error:
        kind = f"embed: {type(error).__name__}: {error}"[:100]
        tally.failures[kind] = tally.failures.get(kind, 0) + 1
        _all_missed(tally)
        return
    tally.note("embed ms", 1e3 * (time.process_time() - start))
    _note_quality(image, marked, tally)
    for number, (name, attack) in enumerate(ATTACKS.items()):
        attacked = attack(marked, np.random.default_rng([seed, number]))
        moved, start = name in MOVES_THE_FRAME, time.process_time()
        found, exact = _read(method, attacked, moved, tally)
        tally.note("search ms" if moved else "detect ms", 1e3 * (time.process_time() - start))
        tally.found.setdefault(name, []).append(found)
        tally.exact.setdefault(name, []).append(found and exact)


def _read(method: Method, image: Image.Image, moved: bool, tally: Tally) -> tuple[bool, bool]:
    try:
        return method.read(image, moved)
    except Exception as error:
        kind = f"read: {type(error).__name__}: {error}"[:100]
        tally.failures[kind] = tally.failures.get(kind, 0) + 1
        return False, False


def _all_missed(tally: Tally) -> None:
    for name in ATTACKS:
        tally.found.setdefault(name, []).append(False)
        tally.exact.setdefault(name, []).append(False)


def _note_quality(image: Image.Image, marked: Image.Image, tally: Tally) -> None:
    before, after = np.asarray(image, float), np.asarray(marked, float)
    tally.note("PSNR dB", 10 * np.log10(255**2 / max(1e-9, np.mean((before - after) ** 2))))
    tally.note("SSIM", structural_similarity(before, after, channel_axis=2, data_range=255))
    tally.note("largest change", np.abs(before - after).max())


def compare(images: list[Image.Image], methods: dict[str, Method], peer_images: int) -> dict[str, object]:
    """Figures of each method on the same images; peers on the first ``peer_images`` of them."""
    figures = {}
    for name, method in methods.items():
        tally = Tally()
        for i, image in enumerate(images if name == "synthderm" else images[:peer_images]):
            try_image(method, image, i, tally)
        figures[name] = tally.figures()
        print(f"{name}: {tally.figures()['images']} images", file=sys.stderr, flush=True)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_real_argument(parser)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256, 512], help="one result for each")
    parser.add_argument("--images", type=int, default=12, help="of each kind, for this library")
    parser.add_argument("--peer-images", type=int, default=3, help="of each kind, for the peers, which are slow")
    parser.add_argument("--peers", nargs="*", choices=list(METHODS)[1:], default=list(METHODS)[1:], metavar="NAME")
    args = parser.parse_args()
    pack = RealPack(args.real)
    methods, missing = installed(["synthderm", *args.peers])
    for size in args.sizes:
        start = time.process_time()
        kinds = {"real": list(real(pack, size, args.images)), "simulated": list(simulated(size, args.images))}
        figures = {kind: compare(images, methods, args.peer_images) for kind, images in kinds.items()}
        seconds = round(time.process_time() - start)
        write_result(
            f"watermark_peers_{size}", figures, real_pack=pack.digest, not_installed=missing, cpu_seconds=seconds
        )


if __name__ == "__main__":
    main()
