# SPDX-License-Identifier: MIT
"""The records of a message block (`*.blk`) of nats-server 2.15, and single bits of their fields.

A record: length (4 bytes, the highest bit set if it has headers), sequence (8), time (8), length of
the subject (2), subject, length of the headers (4), headers, payload, checksum (8).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

HEAD = struct.Struct("<IQqH")
LENGTH_BITS = 0x3FFFFFFF
CHECKSUM = 8


@dataclass(frozen=True)
class Flip:
    """A bit of a file; `field`: what it belongs to."""

    file: str
    field: str
    offset: int
    bit: int

    def make(self, place: Path) -> None:
        file = place / self.file
        data = bytearray(file.read_bytes())
        data[self.offset] ^= 1 << self.bit
        file.write_bytes(data)


def flips_of_block(file: str, block: bytes, random: Random) -> Iterator[Flip]:
    """One in each field of the first record, of one in the middle, and of the last."""
    records = list(_records(block))
    for name, (start, length) in {
        "first": records[0],
        "middle": records[len(records) // 2],
        "last": records[-1],
    }.items():
        for field, (begin, size) in _fields(block, start, length).items():
            offset = begin + random.randrange(size)
            yield Flip(file, f"{field}, {name} record", offset, random.randrange(8))


def flips_of_file(file: str, size: int, count: int, random: Random) -> Iterator[Flip]:
    for _ in range(count):
        yield Flip(file, Path(file).name, random.randrange(size), random.randrange(8))


def _records(block: bytes) -> Iterator[tuple[int, int]]:
    start = 0
    while start < len(block):
        length = HEAD.unpack_from(block, start)[0] & LENGTH_BITS
        yield start, length
        start += length


def _fields(block: bytes, start: int, length: int) -> dict[str, tuple[int, int]]:
    """The beginning and the size of each field."""
    subject = HEAD.unpack_from(block, start)[3]
    headers = start + HEAD.size + subject
    size = int(struct.unpack_from("<I", block, headers)[0])
    payload = headers + 4 + size
    end = start + length - CHECKSUM
    return {
        "length": (start, 4),
        "sequence": (start + 4, 8),
        "time": (start + 12, 8),
        "length of the subject": (start + 20, 2),
        "subject": (start + HEAD.size, subject),
        "length of the headers": (headers, 4),
        "headers": (headers + 4, size),
        "payload": (payload, end - payload),
        "checksum": (end, CHECKSUM),
    }
