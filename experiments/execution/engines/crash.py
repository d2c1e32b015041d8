"""What a job died of, by its log: where the crash was and what may help."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from classifier.basics.machine import instructions_of

_SIGNALS = {
    "Segmentation fault": "SIGSEGV",
    "Aborted": "SIGABRT",
    "Bus error": "SIGBUS",
    "Illegal instruction": "SIGILL",
    "Floating point exception": "SIGFPE",
}
"""faulthandler's words for the signals of a crash."""
_OLDER = {"AVX512_FP16": "AVX2", "AVX512": "AVX2", "AVX2": "AVX", "AVX": "SSE41"}
"""The instruction set to try where one crashes."""
_FATAL = re.compile(rf"^Fatal Python error: .{{0,99}}?({'|'.join(_SIGNALS)})", re.MULTILINE)
_LAYER = re.compile(
    r'/(?:site|dist)-packages/((?:torch/nn/modules|torch/optim|torchvision|timm)/[\w/]+)\.py"'
)
_NO_LAYERS = ("torch/nn/modules/module", "torch/nn/modules/container")
_BACKWARD = "_engine_run_backward"
_MOST = 2**18
"""Bytes of a log that are looked at, at its beginning and at its end."""


@dataclass(frozen=True)
class Try:
    """What one try of a job writes into the log that all its tries share."""

    log: Path
    start: int
    """Bytes that are there before."""

    @classmethod
    def beginning(cls, log: Path) -> Try:
        try:
            return cls(log, log.stat().st_size)
        except OSError:  # none is there; if it can't be reached, the job will say so
            return cls(log, 0)

    def said(self) -> str:
        """How it began, and how it ended."""
        try:
            with self.log.open("rb") as file:
                file.seek(self.start)
                begun = file.read(_MOST)
                file.seek(max(file.tell(), self.log.stat().st_size - _MOST))
                return (begun + file.read(_MOST)).decode(errors="replace")
        except OSError:
            return ""


def heading(device: str, threads: int) -> str:
    """The line that each try begins with."""
    return f"on {device}, {threads} thread(s)"


def cause(said: str, by: str = "") -> str:
    """How a job's process ended, in words, by what it said; empty if that does not tell.

    `by`: the signal, where the system knows it.
    """
    crashes = list(_FATAL.finditer(said))
    name = by or (_SIGNALS[crashes[-1][1]] if crashes else "")
    if not name:
        return ""
    ended = f"its process was ended by {name}"
    if name == "SIGKILL":
        return f"{ended}, perhaps for want of memory"
    if name not in _SIGNALS.values():
        return ended
    layer = _where(said[crashes[-1].end() :]) if crashes else ""
    return f"{ended}{layer}{_on(said, name)}"


def _where(stacks: str) -> str:
    """The kind of layer whose forward pass crashed, or the optimiser. A backward pass shows no
    layer: torch walks it without Python."""
    _, _, current = stacks.partition("Current thread ")  # missing where it was none of Python's
    for line in (current.partition("\n\n")[0] or stacks).splitlines():
        layer = _LAYER.search(line)
        if _BACKWARD in line:
            return " in a backward pass"
        if layer and not layer[1].startswith(_NO_LAYERS):
            return f" in {layer[1].replace('/', '.')}"
    return ""


def _on(said: str, name: str) -> str:
    """The device, by the try's first lines, and what to try there."""
    header = re.search(r"^on (.+), \d+ thread\(s\)$", said, re.MULTILINE)
    if header is None:
        return ""
    older = _OLDER.get(instructions_of(header[1]))
    if older is None or name == "SIGBUS":  # that is for want of space, in /dev/shm or on a disk
        return f" on {header[1]}"
    return (
        f" on {header[1]}; ONEDNN_MAX_CPU_ISA={older} may avoid it (older instructions: slower, "
        "and accuracies as of another seed)"
    )
