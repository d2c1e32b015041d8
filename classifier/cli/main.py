"""The commands that need no matrix: split a folder, train, look closely at a run, predict.

python -m classifier split --data_path photos --out data/photos
python -m classifier train --model_name ghostnet --save_path runs/ghostnet --data digits \\
    --image_size 32 --epoch 5 --Augment AutoAugment --warmup
python -m classifier metrics --save_path runs/mobilenetv2-s0-3f9c01ab77e2 --task test --visual
python -m classifier predict --save_path runs/mobilenetv2-s0-3f9c01ab77e2 --source photo.jpg
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from classifier.basics.console import Counted
from classifier.basics.files import LONGEST_NAME, make_folder, short_name
from classifier.cli.entry import ALL_DONE, SOME_FAILED, Parser, at_least, exit_code_of, one_of
from classifier.cli.train_flags import add_flags, add_paths
from classifier.config.spec import Precision


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 all done, 1 some files failed, 2 bad input, 130 interrupted."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    return exit_code_of(lambda: command(options))


def split(options: argparse.Namespace) -> int:
    """A folder of class folders -> train, val, test and label.txt."""
    from classifier.data.arrange import Arrangement, arrange

    data_path: Path = options.data_path
    name = short_name(data_path.name, LONGEST_NAME - len("-split"))
    out = options.out or data_path.with_name(f"{name}-split")
    wanted = Arrangement(
        data_path,
        out,
        val_size=options.val_size,
        test_size=options.test_size,
        rule=options.rule,
        how=options.how,
        seed=options.seed,
        label_path=options.label_path,
    )
    counts = arrange(wanted, Counted("splitting"))
    print(f"{out}: " + " / ".join(f"{counts[part]:,} {part}" for part in counts))
    return ALL_DONE


def train(options: argparse.Namespace) -> int:
    """Train one model. The run is the same as a matrix's, and a matrix can report it."""
    from classifier.cli.commands import place, train_run
    from classifier.cli.train_flags import data_root

    return train_run(options, place(options.device, data_root(options), options.workers))


def metrics(options: argparse.Namespace) -> int:
    """Evaluate a run's checkpoint, or time its model, and write all that PyCM knows of it."""
    from classifier.cli.commands import (
        check_labels,
        checkpoint_of,
        data_root_of,
        evaluate_run,
        other_data,
        place,
        time_run,
        use_kept_code,
    )
    from classifier.models.checkpoint import read_meta

    file = checkpoint_of(options.save_path, options.track)
    check_labels(options.label_path, read_meta(file).classes)
    use_kept_code(file, options.trust)
    other = other_data(options, file)
    root = options.test_path.absolute().parent if other else data_root_of(options, file)
    at = place(options.device, root)
    if options.task == "fps":
        return time_run(file, _precision(options), options.batch_size, at)
    folder = evaluate_run(
        file,
        options.task,
        _precision(options),
        options.test_tta,
        at,
        visual=options.visual,
        tsne=options.tsne,
        data=other,
    )
    print(f"{folder / 'summary.md'}\n\n{(folder / 'summary.md').read_text('utf-8')}", end="")
    return ALL_DONE


def predict(options: argparse.Namespace) -> int:
    """The most probable classes of images; 1 if a file could not be read."""
    from classifier.cli.commands import check_labels, checkpoint_of, place, use_kept_code
    from classifier.inference import predictions
    from classifier.inference.cam import Cam
    from classifier.inference.predict import Options
    from classifier.inference.predict import predict as predict_images
    from classifier.models.checkpoint import read_meta

    file = options.weight or checkpoint_of(options.save_path, options.track)
    check_labels(options.label_path, read_meta(file).classes)
    use_kept_code(file, options.trust)
    out: Path = options.out or (options.save_path or Path()) / "predict"
    asked = Options(
        top_k=options.top_k,
        precision=_precision(options),
        tta=options.test_tta,
        batch_size=options.batch_size,
        device=place(options.device, Path()).device,
        cam=Cam(out / "cam", options.cam_type) if options.cam_visual else None,
    )
    predicted = predict_images(file, options.source, asked, Counted("predicting"))
    for line in predictions.lines(predicted):
        print(line)
    make_folder(out)
    predictions.save_csv(out / "predictions.csv", predicted)
    predictions.save_json(out / "predictions.json", predicted)
    print(f"{out / 'predictions.csv'}, {out / 'predictions.json'}")
    return SOME_FAILED if predicted.failures else ALL_DONE


def tricks(options: argparse.Namespace) -> int:
    """The tricks, losses and methods of distillation that there are, as Markdown."""
    from classifier.cli.tricks import page

    print(page(), end="")
    return ALL_DONE


def _precision(options: argparse.Namespace) -> Precision:
    return "fp16" if options.half else "fp32"


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m classifier",
        description="Split a folder, train, look closely at a run, predict. Matrices: runner.py.",
        epilog=__doc__.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = "split | train | metrics | predict | tricks"
    commands = parser.add_subparsers(required=True, metavar=names)
    for command, add_its_flags in (
        (split, _add_split),
        (train, add_flags),
        (metrics, _add_metrics),
        (predict, _add_predict),
        (tricks, lambda parser: None),
    ):
        about = command.__doc__
        added = commands.add_parser(command.__name__, help=about, description=about)
        added.set_defaults(command=command)
        add_its_flags(added)
    return parser


def _add_split(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--data_path", type=Path, required=True, metavar="DIR", help="a folder of class folders")
    add("--out", type=Path, metavar="DIR", help="default: DATA_PATH-split, beside it")
    add("--val_size", type=float, default=0.2, metavar="SHARE", help="default: 0.2")
    add("--test_size", type=float, default=0.2, metavar="SHARE", help="default: 0.2")
    add(
        "--rule",
        **one_of(("strict", "sequential")),
        default="strict",
        help="strict: exact shares of each class; sequential: test first, then val of the rest",
    )
    add(
        "--how",
        **one_of(("copy", "move", "symlink", "csv")),
        default="copy",
        help="csv: only write the list",
    )
    add("--seed", type=int, default=0, help="of the split; default: 0")
    add("--label_path", type=Path, metavar="FILE", help="class names; default: OUT/label.txt")


def _add_metrics(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--save_path", type=Path, required=True, metavar="RUN", help="a run's folder")
    tasks = ("val", "test", "train", "fps")
    add(
        "--task",
        **one_of(tasks),
        default="test",
        help="a part of the data, or speed; default: test",
    )
    add("--visual", action="store_true", help="the confusion matrix as a picture")
    add("--tsne", action="store_true", help="a t-SNE picture of the trunk's features")
    add(
        "--batch_size", type=at_least(1), default=64, metavar="N", help="of --task fps; default: 64"
    )
    add("--data-root", type=Path, metavar="DIR", help="data sets; default: where it was trained on")
    add_paths(parser, "the data under --data-root")
    _add_inference(parser)


def _add_predict(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--save_path", type=Path, metavar="RUN", help="a run's folder")
    which.add_argument("--weight", type=Path, metavar="FILE", help="a checkpoint of this program")
    add("--source", nargs="+", required=True, metavar="PATH", help="files, folders or globs")
    add("--top_k", type=at_least(1), default=5, metavar="N", help="classes an image; default: 5")
    add("--batch_size", type=at_least(1), default=64, metavar="N", help="default: 64")
    add("--out", type=Path, metavar="DIR", help="default: predict/ in the run's folder, or here")
    add("--label_path", type=Path, metavar="FILE", help="class names, checked if given")
    add("--cam_visual", action="store_true", help="class-activation maps (pip install grad-cam)")
    add("--cam_type", default="GradCAM", metavar="NAME", help="default: GradCAM")
    _add_inference(parser)


def _add_inference(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--track",
        help="raw, or an average's name, as ema-0.9999-2000; default: the only one, or raw",
    )
    add("--trust", action="store_true", help="run code that was a matrix's plugin; do not ask")
    add("--half", action="store_true", help="in FP16")
    add("--test_tta", action="store_true", help="ten crops")
    add("--device", default="auto", help="auto, cpu, or the index of a GPU; default: auto")
