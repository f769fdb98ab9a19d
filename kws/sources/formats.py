"""Formats: what some bytes are, so that what can't be heard is called by its name."""

from __future__ import annotations

from collections.abc import Callable

LOOKED_AT = 4_096
"""Bytes that tell frames without a header from samples that happen to begin like one."""

_BEGINNINGS = {
    b"fLaC": "FLAC",
    b"OggS": "Ogg",
    b"FORM": "AIFF",
    b".snd": "AU",
    b"caff": "CAF",
    b"riff\x2e\x91\xcf\x11": "W64",
    b"RIFX": "RIFX",
    b"RIFF": "RIFF without WAVE (AVI?)",
    b"ID3": "MP3",
    b"\x1a\x45\xdf\xa3": "WebM or Matroska",
    b"#!AMR": "AMR",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": "WMA (ASF)",
    b"FLV\x01": "FLV",
    b"wvpk": "WavPack",
    b"TTA1": "True Audio",
    b"MAC ": "Monkey's Audio",
    b".RMF": "RealMedia",
    b"nut/multimed": "NUT",
    b"Creative Voi": "VOC",
    b"NIST_1A": "SPHERE",
    b".SoX": "SoX",
    b"XoS.": "SoX",
    **{bytes([0x64, 0xA3, machine, 0]): "IRCAM" for machine in range(1, 5)},
    **{bytes([0, machine, 0xA3, 0x64]): "IRCAM" for machine in range(1, 5)},
    b"\x7f\xfe\x80\x01": "DTS",
    b"\x72\xf8\x1f\x4e": "S/PDIF",
    b"MThd": "MIDI",
    b"\x1f\x8b\x08": "gzip",
    b"PK\x03\x04": "zip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"%PDF": "PDF",
}
"""What files begin with, which samples hardly do."""

FROM_PIPES = {"FLAC", "AU", "AIFF", "W64", "VOC", "IRCAM"}
"""Formats that libsndfile can read from their beginning on, without looking for their end."""
FROM_FILES = FROM_PIPES | {"Ogg", "MP3", "CAF", "RIFX", "SPHERE"}
"""Formats that it can read from a file."""
NO_AUDIO = {"text", "PDF", "MIDI", "gzip", "zip", "bzip2", "xz", "Zstandard"}

BOXES = {b"ftyp", b"moov", b"mdat", b"moof", b"styp", b"wide"}
"""Kinds of the first part of an MP4, its second four bytes."""


def format_name(data: bytes) -> str | None:
    """Return the name of the format that these first bytes of a recording are in.

    None: nothing known, so they may be raw samples. Give 12 bytes or more. Of formats without a
    header a second frame is looked for, in 4,096 bytes: see `may_be_frames`.
    """
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return None  # what is wrong with it is another matter
    for beginning, name in _BEGINNINGS.items():
        if data.startswith(beginning):
            return name
    if data[4:8] in BOXES:
        return "MP4 (m4a)"
    for name, size in _FRAMES.items():
        if (step := size(data)) and size(data[step:]):
            return name
    # Six samples in a row whose bytes are all letters would be a very loud crackle.
    if len(data) >= 12 and all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in data[:12]):
        return "text"
    return None


def may_be_frames(data: bytes) -> bool:
    """Whether these 12 bytes may begin a format without a header, so that more should be seen."""
    return any(size(data) for size in _FRAMES.values())


def _mpeg(data: bytes) -> int:
    """Return the length of the MPEG audio frame (MP3) that begins here, 0 where none does."""
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return 0
    version, layer = data[1] >> 3 & 3, 4 - (data[1] >> 1 & 3)
    rate_at, speed = data[2] >> 2 & 3, data[2] >> 4
    if version == 1 or layer == 4 or rate_at == 3 or speed in {0, 15}:
        return 0
    rate = (44_100, 48_000, 32_000)[rate_at] >> {3: 0, 2: 1, 0: 2}[version]
    table = _KBITS[layer if version == 3 else 4 if layer == 1 else 5]
    bits, padding = 1_000 * table[speed - 1], data[2] >> 1 & 1
    if layer == 1:
        return (12 * bits // rate + padding) * 4
    samples = 576 if layer == 3 and version != 3 else 1_152
    return samples // 8 * bits // rate + padding


_KBITS = {
    1: (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    4: (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    5: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""kbit/s by their number in a frame's header: layers 1 to 3, then the lower rates' (ISO 11172-3
and 13818-3)."""


def _adts(data: bytes) -> int:
    """Return the length of the AAC frame that begins here, 0 where none does."""
    if len(data) < 7 or data[0] != 0xFF or data[1] & 0xF6 != 0xF0:
        return 0
    length = (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5
    return length if length > 7 else 0


def _loas(data: bytes) -> int:
    if len(data) < 3 or data[0] != 0x56 or data[1] & 0xE0 != 0xE0:
        return 0
    return ((data[1] & 0x1F) << 8 | data[2]) + 3


def _ac3(data: bytes) -> int:
    """Return the length of the AC-3 or E-AC-3 frame that begins here, 0 where none does."""
    if len(data) < 6 or data[:2] != b"\x0b\x77":
        return 0
    if data[5] >> 3 > 10:
        return 2 * (((data[2] & 7) << 8 | data[3]) + 1)
    rate, speed = data[4] >> 6, data[4] & 63
    if rate == 3 or speed > 37:
        return 0
    kbits = _AC3_KBITS[speed >> 1]
    words = {0: kbits * 2, 1: kbits * 96_000 // 44_100 + (speed & 1), 2: kbits * 3}[rate]
    return 2 * words


_AC3_KBITS = (
    *(32, 40, 48, 56, 64, 80, 96, 112, 128, 160),
    *(192, 224, 256, 320, 384, 448, 512, 576, 640),
)  # fmt: skip


def _transport(data: bytes) -> int:
    return 188 if data[:1] == b"\x47" and data[188:189] in {b"", b"\x47"} else 0


_FRAMES: dict[str, Callable[[bytes], int]] = {
    "MP3": _mpeg,
    "AAC": _adts,
    "AAC (LATM)": _loas,
    "AC3": _ac3,
    "MPEG-TS": _transport,
}
