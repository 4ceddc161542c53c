"""Pixels, and image files put together byte by byte for what Pillow does not write."""

from __future__ import annotations

import math
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def picture(width: int, height: int, seed: int, channels: int = 3) -> Array:
    """Gradients, discs, bars and noise in uint8, (height, width, channels)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    planes = []
    for _ in range(channels):
        a, b, c, phase = rng.uniform(-1, 1, 4)
        plane = 128 + 90 * a * x / max(width, 1) + 90 * b * y / max(height, 1)
        plane += 30 * np.sin(c * 40 * (x + y) / (width + height) + phase * 3)
        planes.append(plane)
    image = np.stack(planes, axis=-1)
    for _ in range(6):
        cx, cy = rng.uniform(0, width), rng.uniform(0, height)
        radius = rng.uniform(0.03, 0.25) * max(width, height)
        image[(x - cx) ** 2 + (y - cy) ** 2 < radius**2] = rng.uniform(0, 255, channels)
    bars = (x // max(1, width // 37)).astype(int) % 2 == 0
    image[bars & (y > height * 0.8)] *= 0.3
    image += rng.normal(0, 6, image.shape)
    return image.clip(0, 255).astype(np.uint8)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_by_hand(
    width: int,
    height: int,
    depth: int,
    colour: int,
    rows: list[bytes],
    before: bytes = b"",
    interlace: int = 0,
) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + before
        + chunk(b"IDAT", data)
        + chunk(b"IEND", b"")
    )


def png16(width: int, height: int, colour: int, channels: int, seed: int, **more: Any) -> bytes:
    low = np.random.default_rng(seed).integers(0, 256, (height, width, channels))
    values = picture(width, height, seed, channels).astype(">u2") * 256 + low
    return png_by_hand(
        width, height, 16, colour, [row.astype(">u2").tobytes() for row in values], **more
    )


def interlaced(pixels: Array, colour: int) -> bytes:
    height, width, _ = pixels.shape
    rows = []
    for x0, y0, dx, dy in [
        (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4),
        (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2),
    ]:  # fmt: skip
        part = pixels[y0::dy, x0::dx]
        if part.size:
            rows += [row.tobytes() for row in part]
    return png_by_hand(width, height, 8, colour, rows, interlace=1)


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"WEBP"
    for kind, data in chunks:
        body += kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def sof(marker: int, width: int, height: int, factors: list[tuple[int, int]]) -> bytes:
    parts = b"".join(bytes([id, h << 4 | v, 0]) for id, (h, v) in enumerate(factors, 1))
    return segment(marker, struct.pack(">BHHB", 8, height, width, len(factors)) + parts)


def sos(components: list[int], band: tuple[int, int] = (0, 63), bits: int = 0) -> bytes:
    parts = b"".join(bytes([index + 1, 0]) for index in components)
    return segment(0xDA, bytes([len(components)]) + parts + bytes([*band, bits]))


DC_SYMBOLS = list(range(12))
AC_SYMBOLS = [0, 0xF0, *(run << 4 | size for run in range(16) for size in range(1, 11))]
# Every DC code has 4 bits, every AC code 8.
TABLES = (
    segment(0xDB, b"\0" + bytes([9] * 64))
    + segment(0xC4, b"\0" + bytes([0, 0, 0, 12] + [0] * 12) + bytes(DC_SYMBOLS))
    + segment(0xC4, b"\x10" + bytes([0] * 7 + [len(AC_SYMBOLS)] + [0] * 8) + bytes(AC_SYMBOLS))
)


def jpeg_by_hand(
    size: tuple[int, int],
    factors: list[tuple[int, int]],
    scans: list[list[int]],
    interval: int = 0,
) -> bytes:
    """Random coefficients, for sampling factors and scans that Pillow does not write."""
    rng = np.random.default_rng([*size, len(scans), *(n for pair in factors for n in pair)])
    max_h, max_v = (max(pair[axis] for pair in factors) for axis in (0, 1))
    mcus = [math.ceil(size[0] / (8 * max_h)), math.ceil(size[1] / (8 * max_v))]

    def number(value: int) -> tuple[int, str]:
        length = abs(value).bit_length()
        raw = value if value > 0 else value + (1 << length) - 1
        return length, format(raw, f"0{length}b") if length else ""

    def block(difference: int) -> str:
        length, raw = number(difference)
        out, zeros = format(length, "04b") + raw, 0
        for value in rng.integers(-12, 13, 14) * (rng.random(14) < 0.3):
            length, raw = number(int(value))
            if length:
                out += format(AC_SYMBOLS.index(zeros << 4 | length), "08b") + raw
            zeros = 0 if length else zeros + 1
        return out + "00000000"

    data = b"\xff\xd8" + TABLES + sof(0xC0, *size, factors)
    if interval:
        data += segment(0xDD, struct.pack(">H", interval))
    for scan in scans:
        h, v = factors[scan[0]]
        units = [factors[index] for index in scan]
        across, down = mcus
        if len(scan) == 1:
            # Not interleaved: row by row, and no blocks that hold no sample.
            across = math.ceil(math.ceil(size[0] * h / max_h) / 8)
            down = math.ceil(math.ceil(size[1] * v / max_v) / 8)
            units = [(1, 1)]
        data += sos(scan)
        bits, last = "", [0] * len(scan)
        for mcu in range(across * down + 1):
            if mcu == across * down or (interval and mcu and mcu % interval == 0):
                packed = int(bits + "1" * (-len(bits) % 8), 2).to_bytes((len(bits) + 7) // 8, "big")
                data += packed.replace(b"\xff", b"\xff\0")
                if mcu < across * down:
                    data += bytes([0xFF, 0xD0 + (mcu // interval - 1) % 8])
                bits, last = "", [0] * len(scan)
            if mcu < across * down:
                for part, (h, v) in enumerate(units):
                    for _ in range(h * v):
                        dc = int(rng.integers(-60, 61))
                        bits += block(dc - last[part])
                        last[part] = dc
    return data + b"\xff\xd9"


def blank_progressive(
    size: tuple[int, int],
    factors: list[tuple[int, int]],
    bands: list[tuple[int, int]],
    before: bytes = b"",
) -> bytes:
    """All zeros, each band in as many scans as can be: most work for a byte."""

    def one_symbol(kind: int, symbol: int) -> bytes:
        return segment(0xC4, bytes([kind, 1] + [0] * 15 + [symbol]))

    data = b"\xff\xd8" + before + segment(0xDB, b"\0" + bytes([1] * 64))
    data += sof(0xC2, *size, factors) + one_symbol(0, 0) + one_symbol(0x10, 0xE0)
    max_h, max_v = (max(pair[axis] for pair in factors) for axis in (0, 1))
    for index, (h, v) in enumerate(factors):
        across = math.ceil(math.ceil(size[0] * h / max_h) / 8)
        blocks = across * math.ceil(math.ceil(size[1] * v / max_v) / 8)
        data += sos([index], (0, 0)) + bytes(blocks // 8 + 1)
        # A code and 14 bits for every 16,384 blocks.
        runs = bytes((math.ceil(blocks / 16384) * 15 + 7) // 8 + 1)
        for band in bands:
            data += sos([index], band, 13) + runs
            for low in range(12, -1, -1):
                data += sos([index], band, (low + 1) << 4 | low) + runs
    return data + b"\xff\xd9"


def u24(value: int) -> bytes:
    return struct.pack("<I", value)[:3]


def many_groups(groups: int) -> bytes:
    """A lossless WebP of one pixel whose header names so many groups of codes.

    Each takes 140 bytes here, and some 70 KB of tables in a decoder that makes
    tables of groups that no pixel uses.
    """
    bits: list[str] = []

    def put(value: int, count: int) -> None:
        bits.append(format(value, f"0{count}b")[::-1])

    def one_symbol(symbol: int) -> None:
        put(0b101, 3)
        put(symbol, 8)

    put(0x2F, 8)
    put(0, 28)  # 1 x 1
    put(0, 5)  # no alpha, version, no transform
    put(1, 1)  # a colour cache of 11 bits
    put(11, 4)
    put(1, 1)  # an entropy image, for blocks of 4 x 4, without a colour cache
    put(0, 4)
    last = groups - 1
    one_symbol(last & 255)  # green and red are the number of the group
    one_symbol(last >> 8)
    for _ in range(3):
        one_symbol(0)
    group = ["0", format(11, "04b")[::-1]]
    lengths = {16: 1, 11: 2, 18: 2}
    for symbol in (17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11):
        group.append(format(lengths.get(symbol, 0), "03b")[::-1])
    group += ["0", "10", "10"]
    group += ["0", "11"] * 341
    for repeat in (138, 131, 11):
        group += ["11", format(repeat - 11, "07b")[::-1]]
    group += ["1", "0", "0", "0"] * 4
    text = "".join(bits) + "".join(group) * groups + "0" * 64
    text += "0" * (-len(text) % 8)
    body = int(text[::-1], 2).to_bytes(len(text) // 8, "little")
    return riff((b"VP8L", body))
