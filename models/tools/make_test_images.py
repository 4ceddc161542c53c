"""Writes a corpus of images and what Pillow and numpy make of each.

The images are seeded: gradients, shapes and noise, which is what codecs and
filters meet in photographs. For each, `index.json` has the mode and the size
that Pillow sees and, for each group of settings, the sha256 of the resized
RGB pixels and of the pixel values, or the error. Raw bytes lie beside it
where they are small enough to be worth comparing one by one. The files in
`heavy` are there for the memory that they take.

pixel_values are computed as transformers' PIL image processors compute them
(`get_resize_output_image_size`, `center_crop`, `rescale` in float64 to
float32, `normalize` in float32). With --check-transformers the installed
processor is asked too, and must give the same bits.

Usage: make_test_images.py FOLDER [--check-transformers]
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import math
import struct
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from images_by_hand import (
    blank_progressive,
    chunk,
    interlaced,
    jpeg_by_hand,
    many_groups,
    picture,
    png16,
    png_by_hand,
    riff,
    segment,
    sof,
    sos,
    u24,
)
from numpy.typing import NDArray
from PIL import Image, ImageOps

Array = NDArray[Any]

CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
CLIP_STD = [0.26862954, 0.26130258, 0.27577711]
CLIP: dict[str, Any] = {
    "do_resize": True,
    "size": {"shortest_edge": 224},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": CLIP_MEAN,
    "image_std": CLIP_STD,
}
# Every filter, odd sizes, crops that are larger than the image.
VARIANTS: dict[str, dict[str, Any]] = {
    "nearest": CLIP | {"resample": 0},
    "lanczos": CLIP | {"resample": 1},
    "bilinear": CLIP | {"resample": 2},
    "box": CLIP | {"resample": 4},
    "hamming": CLIP | {"resample": 5},
    "odd": CLIP | {"size": {"shortest_edge": 97}, "crop_size": {"height": 61, "width": 90}},
    "padded": CLIP | {"size": {"shortest_edge": 50}, "crop_size": {"height": 101, "width": 88}},
    "exact": CLIP | {"size": {"height": 120, "width": 333}, "do_center_crop": False},
    "unresized": CLIP | {"do_resize": False},
    "raw": CLIP | {"do_rescale": False, "do_normalize": False},
    "half": CLIP | {"image_mean": [0.5] * 3, "image_std": [0.5] * 3},
}
RAW_LIMIT = 1 << 20


def rgb(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(picture(width, height, seed))


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def jpeg(image: Image.Image, **options: Any) -> bytes:
    return saved(image, "JPEG", **({"quality": 87} | options))


def exif(orientation: int) -> bytes:
    data = Image.Exif()
    data[0x112] = orientation
    return data.tobytes()


def corpus() -> Iterator[tuple[str, bytes]]:
    """The files that Pillow opens, or refuses for the reason that we do."""
    sizes = [
        (1, 1), (2, 2), (3, 1), (1, 7), (5, 4), (8, 8), (9, 17), (16, 16), (31, 33), (97, 61),
        (223, 224), (224, 224), (225, 224), (224, 300), (500, 224), (640, 480), (1024, 768),
        (333, 1000), (1999, 1333), (4000, 3000), (2000, 3), (3, 2000), (300, 1), (1, 300),
    ]  # fmt: skip
    for seed, (w, h) in enumerate(sizes):
        if w * h < 2_000_000:
            yield f"rgb-{w}x{h}.png", saved(rgb(w, h, seed), "PNG")
        if (w, h) not in [(3, 2000), (300, 1), (1, 300)]:
            yield f"rgb-{w}x{h}.jpg", jpeg(rgb(w, h, seed))
    photo = rgb(413, 307, 99)
    for name, sampling in [("444", 0), ("422", 1), ("420", 2)]:
        for w, h in [(413, 307), (4, 4), (6, 5), (17, 9)]:
            part = photo.crop((0, 0, w, h))
            yield f"jpeg-{name}-{w}x{h}.jpg", jpeg(part, subsampling=sampling)
            yield f"jpeg-{name}-{w}x{h}-progressive.jpg", jpeg(
                part, subsampling=sampling, progressive=True
            )
    # 4:1:1, 4:4:0 and the like; the sampling factors are edited where the number of blocks
    # of the MCU stays the same.
    plain = jpeg(photo.crop((0, 0, 320, 240)), subsampling="4:2:2")
    at = plain.index(b"\xff\xc0")
    assert plain[at + 11] == 0x21
    yield "jpeg-440-320x240.jpg", plain[: at + 11] + b"\x12" + plain[at + 12 :]
    plain = jpeg(photo.crop((0, 0, 320, 240)), subsampling="4:2:0")
    at = plain.index(b"\xff\xc0")
    yield "jpeg-411-320x240.jpg", plain[: at + 11] + b"\x41" + plain[at + 12 :]
    for quality in [1, 30, 100]:
        yield f"jpeg-quality-{quality}.jpg", jpeg(photo, quality=quality)
    noise = np.random.default_rng(5).integers(0, 256, (200, 300, 3)).astype(np.uint8)
    yield "jpeg-noise-q100.jpg", jpeg(Image.fromarray(noise), quality=100, subsampling=0)
    yield "jpeg-noise-q5-420.jpg", jpeg(Image.fromarray(noise), quality=5)
    yield "jpeg-optimised.jpg", jpeg(photo, optimize=True)
    yield "jpeg-restarts.jpg", jpeg(photo, restart_marker_blocks=5)
    yield "jpeg-restarts-progressive.jpg", jpeg(photo, restart_marker_rows=1, progressive=True)
    yield "jpeg-rgb.jpg", jpeg(photo, keep_rgb=True)
    yield "jpeg-grey.jpg", jpeg(photo.convert("L"))
    yield "jpeg-grey-progressive.jpg", jpeg(photo.convert("L"), progressive=True)
    # The factors of an only component mean nothing.
    for name, sampling in [("422", 1), ("420", 2)]:
        for w, h in [(413, 307), (64, 64), (8, 8), (17, 9)]:
            grey = photo.crop((0, 0, w, h)).convert("L")
            plain = jpeg(grey, subsampling=sampling)
            assert plain[plain.index(b"\xff\xc0") + 11] != 0x11
            yield f"jpeg-grey-{name}-{w}x{h}.jpg", plain
            yield f"jpeg-grey-{name}-{w}x{h}-restarts.jpg", jpeg(
                grey, subsampling=sampling, restart_marker_blocks=3
            )
            yield f"jpeg-grey-{name}-{w}x{h}-progressive.jpg", jpeg(
                grey, subsampling=sampling, progressive=True, restart_marker_rows=1
            )
    for h, v in [(1, 1), (1, 2), (3, 2), (4, 4)]:
        yield f"jpeg-hand-grey-{h}x{v}.jpg", jpeg_by_hand((75, 37), [(h, v)], [[0]], interval=4)
    one = (1, 1)
    for name, factors in {
        "444": [one, one, one],
        "422": [(2, 1), one, one],
        "440": [(1, 2), one, one],
        "420": [(2, 2), one, one],
        "411": [(4, 1), one, one],
        "441": [(1, 4), one, one],
        "410": [(4, 2), one, one],
        "3x1": [(3, 1), one, one],
        "3x2": [(3, 2), one, one],
        "all-3x1": [(3, 1), (3, 1), (3, 1)],
        "mixed": [(2, 2), (2, 1), (1, 2)],
        "small-luma": [one, (2, 2), (2, 1)],
        "cmyk": [(2, 1), one, one, (2, 1)],
    }.items():
        every = list(range(len(factors)))
        for w, h in [(75, 37), (3, 5)]:
            yield f"jpeg-hand-{name}-{w}x{h}.jpg", jpeg_by_hand((w, h), factors, [every])
        for kind, scans in {
            "apart": [[index] for index in every],
            "partly": [[0], every[1:]],
        }.items():
            yield f"jpeg-hand-{name}-{kind}.jpg", jpeg_by_hand(
                (75, 37), factors, scans, interval=5
            )
    # Too many blocks to be interleaved.
    for name, factors in {
        "all-2x2": [(2, 2)] * 3, "3x3": [(3, 3), one, one], "4x4": [(4, 4), (2, 1), (1, 4)],
        "all-4x4": [(4, 4)] * 4,
    }.items():  # fmt: skip
        scans = [[index] for index in range(len(factors))]
        yield f"jpeg-hand-{name}-apart.jpg", jpeg_by_hand((75, 37), factors, scans)
    yield "jpeg-most-scans.jpg", blank_progressive(
        (100, 50), [one], [(k, k) for k in range(1, 14)] + [(14, 63)]
    )
    cmyk = Image.fromarray(picture(200, 150, 7, 4), "CMYK")
    yield "jpeg-cmyk.jpg", jpeg(cmyk)
    yield "jpeg-cmyk-progressive.jpg", jpeg(cmyk, progressive=True)
    raw = bytearray(jpeg(cmyk))
    raw[raw.index(b"Adobe") + 11] = 2
    yield "jpeg-ycck.jpg", bytes(raw)
    for orientation in range(1, 9):
        image = photo.crop((0, 0, 150, 100))
        yield f"exif-{orientation}.jpg", jpeg(image, exif=exif(orientation))
    yield "exif-6.png", saved(photo, "PNG", exif=exif(6))
    yield "exif-5.webp", saved(photo, "WEBP", exif=exif(5), lossless=True)

    rgba = Image.fromarray(picture(260, 190, 8, 4), "RGBA")
    yield "rgba.png", saved(rgba, "PNG")
    yield "l.png", saved(photo.convert("L"), "PNG")
    yield "la.png", saved(rgba.convert("LA"), "PNG")
    yield "1.png", saved(photo.convert("1"), "PNG")
    yield "p.png", saved(photo.quantize(200), "PNG")
    yield "p-4-colours.png", saved(photo.quantize(4), "PNG")
    yield "p-16-colours-odd.png", saved(photo.quantize(16).crop((0, 0, 99, 77)), "PNG")
    yield "p-trns.png", saved(photo.quantize(64), "PNG", transparency=5)
    yield "p-trns-bytes.png", saved(photo.quantize(64), "PNG", transparency=bytes(range(0, 256, 4)))
    yield "l-trns.png", saved(photo.convert("L"), "PNG", transparency=100)
    yield "rgb-trns.png", saved(photo, "PNG", transparency=(1, 2, 3))
    grey = picture(130, 90, 11, 1)[..., 0]
    for depth in [2, 4]:
        values = grey >> (8 - depth)
        bits = (values[..., None] >> np.arange(depth - 1, -1, -1)) & 1
        packed = np.packbits(bits.reshape(90, -1).astype(np.uint8), axis=1)
        yield f"l-{depth}-bit.png", png_by_hand(130, 90, depth, 0, [r.tobytes() for r in packed])
    ramp = bytes(v for i in range(100) for v in (255 - i, i, 2 * i))
    yield "p-short-palette.png", png_by_hand(
        130, 90, 8, 3, [row.tobytes() for row in grey], before=chunk(b"PLTE", ramp)
    )
    yield "i16.png", png16(120, 80, 0, 1, 12)
    dark = (np.arange(120 * 80).reshape(80, 120) % 400).astype(">u2")
    yield "i16-dark.png", png_by_hand(120, 80, 16, 0, [row.tobytes() for row in dark])
    yield "i16-trns.png", png16(120, 80, 0, 1, 12, before=chunk(b"tRNS", b"\x40\x00"))
    yield "rgb-16-bit.png", png16(121, 80, 2, 3, 13)
    yield "la-16-bit.png", png16(120, 81, 4, 2, 14)
    yield "rgba-16-bit.png", png16(120, 80, 6, 4, 15)
    yield "interlaced.png", interlaced(picture(133, 71, 16), 2)
    yield "interlaced-2x3.png", interlaced(picture(2, 3, 16), 2)
    yield "interlaced-rgba.png", interlaced(picture(64, 64, 17, 4), 6)

    yield "webp-lossless.webp", saved(photo, "WEBP", lossless=True)
    yield "webp-lossless-alpha.webp", saved(rgba, "WEBP", lossless=True, exact=True)
    for quality in [5, 50, 80, 100]:
        yield f"webp-lossy-{quality}.webp", saved(photo, "WEBP", quality=quality)
    for w, h in [(1, 1), (2, 3), (16, 16), (33, 17), (640, 480)]:
        yield f"webp-lossy-{w}x{h}.webp", saved(rgb(w, h, 20), "WEBP")
    yield "webp-lossy-alpha.webp", saved(rgba, "WEBP", quality=70)
    frames = [rgb(90, 70, seed) for seed in range(30, 33)]
    yield "webp-animated.webp", saved(frames[0], "WEBP", save_all=True, append_images=frames[1:])
    clear = [Image.fromarray(picture(90, 70, s, 4), "RGBA") for s in range(40, 42)]
    yield "webp-animated-alpha.webp", saved(
        clear[0], "WEBP", save_all=True, append_images=clear[1:], lossless=True
    )
    still = saved(photo.crop((0, 0, 40, 30)), "WEBP", lossless=True)
    image = still[12:]
    frame = u24(5) + u24(3) + u24(39) + u24(29) + u24(100) + b"\0" + image
    canvas = b"\x02\0\0\0" + u24(99) + u24(79)
    background = struct.pack("<IH", 0xFF0000FF, 0)
    yield "webp-animated-offset.webp", riff(
        (b"VP8X", canvas), (b"ANIM", background), (b"ANMF", frame)
    )


def broken() -> Iterator[tuple[str, bytes, str]]:
    """Files that are errors, with the kind of the error."""
    photo = rgb(160, 120, 50)
    whole = {
        "jpg": jpeg(photo),
        "progressive.jpg": jpeg(photo, progressive=True),
        "png": saved(photo, "PNG"),
        "lossy.webp": saved(photo, "WEBP"),
        "lossless.webp": saved(photo, "WEBP", lossless=True),
    }
    for name, data in whole.items():
        for part in [0.15, 0.5, 0.9]:
            yield f"truncated-{part}.{name}", data[: int(len(data) * part)], "invalid_image"
    # (A PNG without IEND is whole: see corpus.)
    yield "no-end-marker.jpg", whole["jpg"][:-2], "invalid_image"
    yield "half-end-marker.jpg", whole["progressive.jpg"][:-1], "invalid_image"
    bomb = png_by_hand(16384, 16384, 8, 2, [b""])
    yield "bomb.png", bomb[:65], "too_large"
    yield "bomb-8000.png", png_by_hand(8000, 8000, 8, 6, [b"\0" * 4096])[:65], "invalid_image"
    yield "bomb-wide.png", png_by_hand(65536, 1, 8, 2, [b""]), "too_large"
    yield "bomb-interlaced.png", png_by_hand(8000, 8000, 8, 6, [b""], interlace=1), "invalid_image"
    at = whole["jpg"].index(b"\xff\xc0")
    lie = struct.pack(">HH", 65535, 65535)
    yield "bomb.jpg", whole["jpg"][: at + 5] + lie + whole["jpg"][at + 9 :], "too_large"
    lie = struct.pack(">HH", 8000, 8000)
    yield "lie.jpg", whole["jpg"][: at + 5] + lie + whole["jpg"][at + 9 :], "invalid_image"
    at = whole["progressive.jpg"].index(b"\xff\xc2")
    data = whole["progressive.jpg"]
    yield "lie-progressive.jpg", data[: at + 5] + lie + data[at + 9 :], "invalid_image"
    image = whole["lossless.webp"][12:]
    kind, body = image[:4], image[8 : 8 + struct.unpack("<I", image[4:8])[0]]
    small = b"\0\0\0\0" + u24(9) + u24(9)
    yield "lie-small-canvas.webp", riff((b"VP8X", small), (kind, body)), "invalid_image"
    huge = b"\0\0\0\0" + u24(16383) + u24(16383)
    yield "lie-large-canvas.webp", riff((b"VP8X", huge), (kind, body)), "invalid_image"
    bits = struct.pack("<I", 16383 | 16383 << 14)
    yield "bomb-vp8l.webp", riff((b"VP8L", b"\x2f" + bits + body[5:40])), "too_large"
    frame = bytes(6) + u24(9) + u24(9) + u24(100) + b"\0" + image
    anim = (b"ANIM", bytes(6))
    canvas = (b"VP8X", b"\x02\0\0\0" + u24(9) + u24(9))
    yield "lie-frame.webp", riff(canvas, anim, (b"ANMF", frame)), "invalid_image"
    # What costs a decoder more than its size and its pixels account for.
    one_code = segment(0xC4, b"\0\1" + bytes(16)) + segment(0xC4, b"\x10\1" + bytes(15) + b"\x0f")
    head = b"\xff\xd8" + segment(0xDB, b"\0" + bytes([1] * 64)) + sof(0xC0, 16384, 8, [(1, 1)])
    fill = head + one_code + sos([0])
    room = (10 << 20) - len(fill) - 5000
    yield "fill-bytes.jpg", fill + b"\xff" * room + b"\xd9" + bytes(4000), "invalid_image"
    yield "fill-bytes-short.jpg", fill + b"\xff" * 1000 + b"\xd9" + bytes(4000), "invalid_image"
    tables = segment(0xC4, bytes(17) * 3850)
    yield "tables.jpg", b"\xff\xd8" + tables * 160 + b"\xff\xd9", "invalid_image"
    scans = blank_progressive((100, 50), [(1, 1)], [(k, k) for k in range(1, 16)])
    yield "scans.jpg", scans, "invalid_image"
    yield "empty", b"", "unsupported_format"
    yield "text.png", b"this is no image", "unsupported_format"
    yield "gif.png", saved(photo, "GIF"), "unsupported_format"
    yield "bmp.jpg", saved(photo, "BMP"), "unsupported_format"
    yield "svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unsupported_format"
    yield "soi-only.jpg", b"\xff\xd8\xff", "invalid_image"
    yield "signature-only.png", b"\x89PNG\r\n\x1a\n", "invalid_image"
    yield "riff-only.webp", b"RIFF\x04\0\0\0WEBP", "invalid_image"


def heavy() -> Iterator[tuple[str, bytes]]:
    """Files that take as much memory as they can, for the pixels that they have."""
    turned = segment(0xE1, exif(6))
    one = (1, 1)
    # As much as the default limits allow.
    yield "most.jpg", blank_progressive((8192, 8192), [one] * 4, [(1, 63)], turned)
    yield "progressive.jpg", blank_progressive((4096, 4096), [one] * 3, [(1, 63)])
    yield "4x4.jpg", blank_progressive((4096, 2048), [(4, 4)] * 4, [(1, 63)])
    y, x = np.mgrid[0:2048, 0:4096].astype(np.uint16)
    pixels = np.stack([x // 16, y // 8, (x + y) // 32, x // 3 + y], axis=-1).astype(np.uint8)
    flat = Image.fromarray(np.ascontiguousarray(pixels[..., :3]))
    yield "baseline.jpg", jpeg(flat)
    yield "turned.jpg", jpeg(flat, exif=exif(6))
    yield "turned.png", saved(flat, "PNG", compress_level=1, exif=exif(8))
    yield "interlaced.png", interlaced(pixels, 6)
    wide = [bytes(16384 * 8)] * 1000
    yield "wide.png", png_by_hand(16384, 1000, 16, 6, wide)
    yield "lossy.webp", saved(flat, "WEBP", method=0)
    yield "lossless.webp", saved(flat, "WEBP", lossless=True, method=0, exif=exif(5))
    rgba = Image.fromarray(pixels, "RGBA")
    yield "alpha.webp", saved(rgba, "WEBP", lossless=True, method=0)
    yield "groups.webp", many_groups(8000)


def resized_size(width: int, height: int, config: dict[str, Any]) -> tuple[int, int]:
    if not config["do_resize"]:
        return width, height
    size = config["size"]
    if "shortest_edge" not in size:
        return size["width"], size["height"]
    short, long = (width, height) if width <= height else (height, width)
    new_short, new_long = size["shortest_edge"], int(size["shortest_edge"] * long / short)
    return (new_short, new_long) if width <= height else (new_long, new_short)


def center_crop(image: Array, crop_height: int, crop_width: int) -> Array:
    """transformers.image_transforms.center_crop, channels last."""
    height, width = image.shape[:2]
    top, left = (height - crop_height) // 2, (width - crop_width) // 2
    bottom, right = top + crop_height, left + crop_width
    if top >= 0 and bottom <= height and left >= 0 and right <= width:
        return image[top:bottom, left:right]
    new_height, new_width = max(crop_height, height), max(crop_width, width)
    out = np.zeros((new_height, new_width, 3), image.dtype)
    top_pad, left_pad = math.ceil((new_height - height) / 2), math.ceil((new_width - width) / 2)
    out[top_pad : top_pad + height, left_pad : left_pad + width] = image
    top, bottom, left, right = top + top_pad, bottom + top_pad, left + left_pad, right + left_pad
    return out[max(0, top) : min(new_height, bottom), max(0, left) : min(new_width, right)]


def processed(image: Image.Image, config: dict[str, Any]) -> tuple[Array, Array]:
    """The resized pixels, and the pixel values (3, height, width)."""
    size = resized_size(*image.size, config)
    resized = np.asarray(image.resize(size, config["resample"]) if config["do_resize"] else image)
    values = resized
    if config["do_center_crop"]:
        values = center_crop(values, config["crop_size"]["height"], config["crop_size"]["width"])
    values = np.moveaxis(values, -1, 0)
    if config["do_rescale"]:
        values = (values.astype(np.float64) * config["rescale_factor"]).astype(np.float32)
    values = values.astype(np.float32)
    if config["do_normalize"]:
        mean = np.array(config["image_mean"], np.float32)
        std = np.array(config["image_std"], np.float32)
        values = ((values.T - mean) / std).T
    return resized, np.ascontiguousarray(values)


class Writer:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "files").mkdir(parents=True, exist_ok=True)
        (folder / "expected").mkdir(exist_ok=True)

    def result(self, name: str, array: Array) -> dict[str, Any]:
        data = array.tobytes()
        entry: dict[str, Any] = {"sha256": hashlib.sha256(data).hexdigest()}
        if len(data) <= RAW_LIMIT:
            (self.folder / "expected" / name).write_bytes(data)
            entry["raw"] = f"expected/{name}"
        return entry

    def case(self, name: str, image: Image.Image, config: str, upright: bool) -> dict[str, Any]:
        resized, values = processed(image, {"clip": CLIP, **VARIANTS}[config])
        stem = f"{name}.{config}{'.upright' if upright else ''}"
        return {
            "config": config,
            "upright": upright,
            "resized_size": [resized.shape[1], resized.shape[0]],
            "resized": self.result(f"{stem}.resized", resized),
            "pixel_values_shape": list(values.shape),
            "pixel_values": self.result(f"{stem}.values", values),
        }


def opened(data: bytes, upright: bool = False) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = Image.open(io.BytesIO(data))
        image = ImageOps.exif_transpose(image) if upright else image
        return image.convert("RGB")


def check(images: list[tuple[str, Image.Image]]) -> None:
    """Our numpy against the installed transformers, on RGB images."""
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    for config in [CLIP, *VARIANTS.values()]:
        processor = CLIPImageProcessorPil(**config)
        for name, image in images:
            theirs = processor(image, return_tensors="np")["pixel_values"][0]
            ours = processed(image, config)[1]
            if not np.array_equal(ours, theirs.astype(np.float32)):
                raise SystemExit(f"{name}: transformers gives other pixel values")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--check-transformers", action="store_true")
    options = parser.parse_args()
    writer = Writer(options.folder)
    images, checked = [], []
    files: list[tuple[str, bytes, str | None]] = [(n, d, None) for n, d in corpus()]
    files += list(broken())
    variant_sources = {
        "rgb-640x480.png", "rgb-31x33.png", "rgb-333x1000.png", "rgb-97x61.png", "rgb-1x1.png",
        "rgb-2000x3.png",
    }  # fmt: skip
    for name, data, kind in files:
        (options.folder / "files" / name).write_bytes(data)
        entry: dict[str, Any] = {"name": name, "bytes": len(data)}
        if kind is not None:
            entry["error"] = kind
            try:
                opened(data)
                entry["pillow"] = "decodes"
            except Exception as error:  # noqa: BLE001: Pillow raises what it likes
                entry["pillow"] = type(error).__name__
        else:
            stored = Image.open(io.BytesIO(data))
            image = opened(data)
            entry |= {"mode": stored.mode, "format": stored.format, "size": list(stored.size)}
            entry["decoded"] = writer.result(f"{name}.rgb", np.asarray(image))
            configs = ["clip", *(VARIANTS if name in variant_sources else [])]
            if name == "rgb-2000x3.png":
                # Not the ones whose resized image has hundreds of megabytes.
                configs = ["clip", "odd", "padded", "exact", "unresized"]
            entry["cases"] = [writer.case(name, image, config, False) for config in configs]
            if name.startswith("exif"):
                entry["cases"].append(writer.case(name, opened(data, True), "clip", True))
            if image.width * image.height < 1_000_000 and max(image.size) < 1000:
                checked.append((name, Image.fromarray(np.asarray(image))))
        images.append(entry)
    index = {
        "pillow": PIL.__version__,
        "numpy": np.__version__,
        "configs": {"clip": CLIP, **VARIANTS},
        "images": images,
        "heavy": [],
    }
    (options.folder / "heavy").mkdir(exist_ok=True)
    for name, data in heavy():
        (options.folder / "heavy" / name).write_bytes(data)
        index["heavy"].append(name)
    (options.folder / "index.json").write_text(json.dumps(index, indent=1))
    if options.check_transformers:
        check(checked)
    print(f"{len(images)} images in {options.folder}")


if __name__ == "__main__":
    main()
