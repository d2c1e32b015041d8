"""A matrix as text, with comments that say why, and what only a person can know."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from classifier.basics.names import counted, printable
from classifier.config.document import scalar
from classifier.data.spec import DataSpec
from experiments.begin.choosing import MARGIN, SEEDS, Choice, margin_in_reach
from experiments.begin.looking import Looked

WIDTH = 100
UNEVEN = 2.0
"""Times the smallest class, from which the largest hides it in an accuracy."""
SCHEMA = Path(__file__).parents[1] / "matrix.schema.json"


def matrix(
    looked: Looked, choice: Choice, file: Path, command: str, cost: Sequence[str] = ()
) -> str:
    """The whole text. `file`: where it will lie; `command`: what runs it; `cost`: what a plan of it
    says, with when and where."""
    lines = [
        f"# yaml-language-server: $schema={schema_from(file)}",
        *comment(f"{printable(looked.title)}: {about(looked)}."),
        *(line for odd in looked.odd for line in comment(f"Odd: {odd}.", "  ")),
        f"# Run it: {printable(command)}",  # in one line, to be pasted
        *(line for each in cost for line in comment(each)),
        f"title: {written(f'What is an average of the weights worth on {looked.title}?')}",
        *_data(looked, choice, file),
        *_train(choice),
        "matrix:",
        f"  model: [{choice.model}] # one more name is one more row: docs/networks.md",
        *_trick(choice),
        f"seeds: {list(SEEDS)} # where these can't tell, the report says what would",
        *_table(looked),
        *(line for each in unknown(looked) for line in comment(each, "  ")),
    ]
    return "\n".join(lines) + "\n"


def about(looked: Looked) -> str:
    """What was found, in one sentence."""
    classes = looked.classes
    least, most = min(classes, key=classes.__getitem__), max(classes, key=classes.__getitem__)
    parts = " / ".join(f"{count:,} {part}" for part, count in looked.parts.items() if count)
    widths, heights = zip(*looked.sizes, strict=True)
    middle = sorted(looked.sizes, key=lambda size: size[0] * size[1])[len(looked.sizes) // 2]
    span = f"{middle[0]} x {middle[1]} pixels"
    if len(set(looked.sizes)) > 1:
        span += f" in the middle ({min(widths)} to {max(widths)} wide, {min(heights)} to "
        span += f"{max(heights)} high"
        span += "" if looked.is_whole else f"; {len(looked.sizes):,} were opened"
        span += ")"
    each = f"{classes[least]:,} of '{printable(least)}'"
    if classes[most] == classes[least]:
        each = f"{classes[least]:,} of each"
    else:
        each += f" to {classes[most]:,} of '{printable(most)}'"
    return (
        f"{looked.kind}, {len(classes):,} classes, {counted(looked.images, 'image')} ({parts}); "
        f"{each}; {span}"
    )


def schema_from(file: Path) -> str:
    """The schema's path, from the file where that lies in the same folder of code; without spaces,
    which an editor takes for its end."""
    folder = Path(os.path.abspath(file)).parent  # noqa: PTH100 - as the editor sees it
    home = SCHEMA.parents[1]
    near = folder.is_relative_to(home) and (home / "runner.py").is_file()
    path = os.path.relpath(SCHEMA, folder) if near else str(SCHEMA)
    return path if re.fullmatch(r"[\x21-\x7e]+", path) else SCHEMA.as_uri()


def comment(text: str, indent: str = "") -> list[str]:
    """As comment lines, what follows the first further in."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent="# ",
        subsequent_indent=f"# {indent}",
        break_long_words=False,
        break_on_hyphens=False,
    )


def written(value: Any) -> str:
    """A value that YAML, as a matrix reads it, gives back: text in quotes where it has to be."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{written(k)}: {written(v)}" for k, v in value.items()) + "}"
    if not isinstance(value, str):
        return str(value)
    if re.fullmatch(r"[A-Za-z/][A-Za-z0-9_./-]*|\.", value) and scalar(value) == value:
        return value
    dumped: str = yaml.dump(value, default_style='"', allow_unicode=True, width=10**9)
    return dumped.rstrip("\n")


# The parts ---------------------------------------------------------------------------------------


def _data(looked: Looked, choice: Choice, file: Path) -> Iterator[str]:
    data = _settings(looked.data)
    if choice.limit is not None:
        data["limit"] = choice.limit
    if looked.root is not None and (root := root_from(looked.root, file)) is not None:
        yield f"data_root: {written(root)} # --data-root goes before it"
    if choice.limit is not None:
        yield from comment(
            "All images would take hours on this CPU: leave 'limit' (images of each class) out, or "
            "let a GPU do it, for the final answer."
        )
    if looked.data.on_bad_image == "skip":
        yield from comment("What can't be read is left out, and named in the report.")
    if not looked.is_whole:
        yield from comment(
            "Not each image was opened here, nor were equal ones looked for: a run does both, and "
            "the report names those in several parts."
        )
    yield f"data: {written(data)}"


def root_from(root: Path, file: Path) -> str | None:
    """From the matrix's folder, so that both can be moved; None where it lies outside: a matrix
    can't name it then, --data-root has to."""
    folder = Path(os.path.abspath(file)).parent  # noqa: PTH100 - links stay
    return root.relative_to(folder).as_posix() if root.is_relative_to(folder) else None


def _settings(data: DataSpec) -> dict[str, Any]:
    """As one would write it."""
    return data.model_dump(exclude_defaults=True)


def _train(choice: Choice) -> Iterator[str]:
    yield "train:"
    yield f"  image_size: {choice.image_size}"
    yield f"  batch_size: {choice.batch_size}"
    yield f"  epochs: {choice.epochs} # few, for a first answer; more take longer, and learn more"
    yield "  lr: 2e-3"
    yield f"  schedule: {{t_max: {choice.epochs}}}"
    yield "  warmup: {epochs: 1} # 'true' takes 5 % of them, which of few is none"
    yield "  patience: 0"
    if choice.is_gpu:
        yield "  amp: true"
    yield "  # pretrained: true  # ImageNet's weights, fetched once: mostly much better on photos;"
    yield "  #                     then also lr: 1e-4, normalize: imagenet"
    yield "  # hflip: 0.5        # if a mirror image is as good; of letters and digits it is not"


TRICK = """\
The trick: an average over about the last fifth of the steps. It costs no training of its own.
Another one (docs/tricks.md), as augment: [false, AutoAugment], costs three more."""


def _trick(choice: Choice) -> Iterator[str]:
    yield from (f"  # {line}" for line in TRICK.splitlines())
    yield f"  ema: [false, &average {{decay: {choice.decay}, tau: {choice.tau:g}}}]"


def _table(looked: Looked) -> Iterator[str]:
    yield "tables:"
    yield "  ema:"
    yield "    rows: model"
    yield "    columns:"
    first, *more = _columns(looked)
    for pair in [first, *_of_others(looked)]:
        yield from map("      {}".format, _pair(*pair))
    if more:
        yield "      # Each more column makes all verdicts harder to reach (docs/statistics.md):"
        for pair in more:
            yield from map("      # {}".format, _pair(*pair))
    yield "    baseline: {ema: false}"
    yield f"    margin: {MARGIN:g} # smaller differences do not matter: say it before you look"
    judging = looked.parts.get("test") or looked.parts["val"]
    if (least := margin_in_reach(judging)) > MARGIN:
        yield f"    # so few images ({judging:,}) can at best show that it is below {least:g}"


def _pair(header: str, measured: str) -> Iterator[str]:
    """Without the trick, and with it."""
    for name, ema in ((header, "false"), (f"{header}(ema)", "*average")):
        yield f"- {{header: {name}, {measured}, where: {{ema: {ema}}}}}"


def _columns(looked: Looked) -> Iterator[tuple[str, str]]:
    """Header and what is measured; first the one that counts."""
    counts = looked.classes.values()
    is_uneven = max(counts) > UNEVEN * min(counts)
    for part in ("test", "val"):
        if looked.parts.get(part):
            yield f"{part} accuracy", f"split: {part}"
            if is_uneven:  # each class counts the same
                yield f"{part} mpa", f"split: {part}, metric: mpa"


def _of_others(looked: Looked) -> Iterator[tuple[str, str]]:
    for other in looked.others:
        yield other.title, f"data: {written(_settings(other))}"


def unknown(looked: Looked) -> list[str]:
    """What no look at files tells, with how to find out."""
    test = looked.parts.get("test", 0)
    told = ["Not known from the files:"]
    grouped = looked.data.labels is not None and looked.data.labels.group
    if looked.root is not None and not grouped:
        told.append(
            "- Are several images of one patient, animal, scene or film? In train and in test they "
            "flatter every figure: name the group, docs/data.md, what belongs together."
        )
    told.append(
        f"- Are three seeds and {test:,} test images enough? --plan says beforehand the smallest "
        "difference that could show; the report says, where it can't tell, what would."
    )
    if test < 200 and looked.data.split != "given":
        told.append(
            "- With so few images, 'folds: 5' in data has each of them judge once, for five times "
            "the cost: docs/data.md, folds."
        )
    if looked.root is not None:
        told.append(
            "- Are the labels right? The report's page shows the images that arms disagree on."
        )
    return told
