# SPDX-License-Identifier: MIT
"""The clock of a process, which libfaketime can set while the process runs."""

from dataclasses import dataclass
from pathlib import Path

PLACES = ("/usr/lib", "/usr/lib64", "/usr/local/lib")


@dataclass(frozen=True)
class Clock:
    """The monotonic clock stays true, as it does when the clock of a machine is set."""

    file: Path
    library: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(self.library),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, offset: str) -> None:
        """Such as `+1h`, `-1h` or `+0`."""
        new = self.file.with_suffix(".new")
        new.write_text(f"{offset}\n")
        new.replace(self.file)


def a_clock(file: Path) -> Clock | None:
    """None without libfaketime."""
    found = (each for place in PLACES for each in Path(place).rglob("libfaketimeMT.so.1"))
    library = next(found, None)
    if library is None:
        return None
    clock = Clock(file, library)
    clock.set("+0")
    return clock
