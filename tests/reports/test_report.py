from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from classifier.basics.errors import UserError
from classifier.records.record import BenchmarkRecord
from experiments.matrix.load import load
from experiments.matrix.model import Matrix
from experiments.matrix.overrides import Overrides
from experiments.plan.jobs import unique
from experiments.store.store import Results
from reports.blocks import Bullets, Grid, Plot, Section
from reports.figures.select import select
from reports.page import markdown
from reports.page.plots.every import plots
from reports.page.sections import sections
from reports.report import check_owner, write
from reports.statistics.answers import answers
from tests.records import results_of

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def published(name: str) -> tuple[Matrix, Results]:
    """A tenth of a point above what was published."""
    matrix = load(EXPERIMENTS / f"{name}.yaml")
    known = matrix.tables[0].published
    return matrix, results_of(matrix, lambda row, column, seed: known[row, column.header] + 0.001)


def page_of(matrix: Matrix, results: Results) -> list[Section]:
    selection = select(matrix, results)
    found = answers(selection)
    return sections(selection, found, plots(selection, found))


def test_the_environment_table_is_the_changelogs() -> None:
    _, environment, *_ = page_of(*published("ema"))
    lines = markdown.page([environment]).splitlines()[2:]
    assert lines[:3] == [
        "| System | CPU | GPU | RAM |",
        "| :----: | :----: | :----: | :----: |",
        "| Ubuntu | i9-12900KF | RTX-3090 | 32G |",
    ]


def test_a_row_for_each_machine() -> None:
    matrix, results = published("fp16")
    key, record = list(results.records.items())[-1]
    other = record.environment.machine.model_copy(update={"cpu": "EPYC", "gpu": None})
    moved = record.environment.model_copy(update={"machine": other})
    results.records[key] = record.model_copy(update={"environment": moved})
    assert "| Ubuntu | EPYC | none | 32G |" in markdown.page(page_of(matrix, results))


def test_the_page_says_what_must_be_known(tmp_path: Path) -> None:
    matrix, results = published("fp16")
    write(select(matrix, results), tmp_path)
    page = (tmp_path / "fp16" / "report.md").read_text()
    assert page.startswith("# FP16 inference\n\n- fp16: ")
    assert "\n\n## Environment\n\n| System |" in page
    assert (tmp_path / "fp16" / "fp16.md").read_text() in page
    assert (
        "| mobilenetv2 | val accuracy(train stage) | 0.74384 | 0.74284 | +0.00100 | yes |"
    ) in page
    assert "| mobilenetv2 | FP32 FPS(batch_size=64) | 52.43 | 52.43 | +0.00 |  |" in page
    assert "FP16 was emulated: this CPU (a CPU) has no FP16 arithmetic of its own" in page
    assert "amp was asked for, but trainings on a CPU ran in FP32" in page
    assert "guessing" not in page
    assert "The split has the published split's sizes, not its membership" in page
    assert "| mobilenetv2 | fp32 | 64 | 52.43 | 3355.6 |" in page
    assert "images: 7,684 train / 1,781 val / 2,323 test, 200 classes" in page
    assert "4 trainings 40 s, 8 evaluations 1 min 20, 8 benchmarks 1 min 20" in page


def test_what_ran_compiled_or_drew_otherwise_is_said(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    text = (
        "title: T\ndata: {name: digits}\n"
        "train: {model: ghostnet, image_size: 32, batch_size: 1074}\n"
        "runs: {plain: {}, compiled: {compile: true, repeats: 3, amp: bfloat16}}\n"
        "tables: {t: {rows: runs, columns: [{header: val, split: val}]}}\n"
    )
    for written, said in ((text, True), (text.replace("compile: true, ", ""), False)):
        file.write_text(written)
        matrix = load(file)
        results = results_of(matrix)
        page = markdown.page(page_of(matrix, results))
        line = "1 of 2 trainings ran compiled: torch.compile fuses operations, so last digits may"
        assert (line in page) == said
        assert "amp was asked for" not in page, "bfloat16 runs on a CPU"
        train = next(r.data.train for r in results.records.values() if r.kind == "evaluate")
        of_one = text.replace("1074", str(train - 1))
        file.write_text(of_one.replace("runs: {plain: {}, ", "runs: {"))
        assert "leaves out one" not in markdown.page(page_of(load(file), results_of(load(file))))
        file.write_text(of_one)
        assert "leaves out one" in markdown.page(page_of(load(file), results_of(load(file))))


def test_settings_that_act_at_a_default_are_shown(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(
        "title: T\ndata: {name: digits}\n"
        "train: {model: ghostnet, image_size: 32, batch_size: 16, warmup: {epochs: 2}}\n"
        "runs:\n  plain: {}\n  mirrored: {hflip: 0.5}\n  mixed: {mixing: mixup_or_cutmix}\n"
        "  mixup: {mixing: mixup}\n  lamb: {optimizer: lamb}\n"
        "tables: {t: {rows: runs, columns: [{header: val, split: val}]}}\n"
    )
    matrix = load(file)
    lines = markdown.page(page_of(matrix, results_of(matrix))).splitlines()
    both = '"alpha": 1.0, "probability": 0.5'
    for said in (
        "dropout: 0.2",
        'warmup: {"start_lr": 1e-06, "epochs": 2}',
        "hflip: 0.0, but where an arm says otherwise",
        "mixing: false, but where an arm says otherwise",
        "arm plain: as above",
        "arm mirrored: hflip 0.5",
        'arm mixed: mixing {"name": "mixup_or_cutmix", '
        f'{both}, "cutmix_alpha": 1.0, "switch": 0.5}}',
        f'arm mixup: mixing {{"name": "mixup", {both}}}',
        'arm lamb: optimizer {"name": "lamb", "weight_decay": 0.0, "decay_on": "weights"}',
    ):
        assert f"- {said}" in lines, said
    assert all(job.as_json()["settings"]["dropout"] == 0.2 for job in unique(matrix.requests())[:5])


def test_costs_name_the_arm_of_a_training(tmp_path: Path) -> None:
    """Two trainings of one model and seed."""
    file = tmp_path / "m.yaml"
    file.write_text(
        "title: T\ndata: {name: digits}\ntrain: {model: ghostnet, image_size: 32}\n"
        "matrix: {loss.label_smoothing: [0.0, 0.1]}\n"
        "tables: {t: {rows: loss.label_smoothing, columns: [{header: val, split: val}]}}\n"
    )
    matrix = load(file)
    page = markdown.page(page_of(matrix, results_of(matrix)))
    for value in ("0.0", "0.1"):
        assert f"| ghostnet-s0 (loss.label_smoothing {value}) | raw |" in page


def test_differences_to_the_baseline(tmp_path: Path) -> None:
    matrix, results = published("ema")
    write(select(matrix, results), tmp_path)
    page = (tmp_path / "ema" / "report.md").read_text()
    assert (
        "| model | column | figure | difference | 95 % interval | p | Holm's p | verdict |" in page
    )
    assert "| resnext50 | test accuracy(ema) | **0.82407** | -0.00130 | -0.0" in page
    assert "can't tell; not paired: predictions of seed 0 are missing |" in page
    assert "| resnext50 | test accuracy | **0.82537** |  |  |  |  |  |" in page
    assert "| resnext50 | test accuracy(ema) | 0.82407 | 0.82307 | +0.00100 | yes |" in page


def test_a_gpu_that_computes_fp16_gets_no_excuse(tmp_path: Path) -> None:
    matrix, results = published("fp16")
    for key, record in results.records.items():
        on_gpu = record.environment.model_copy(update={"device_kind": "cuda"})
        results.records[key] = record.model_copy(update={"environment": on_gpu})
    write(select(matrix, results), tmp_path)
    assert "emulated" not in (tmp_path / "fp16" / "report.md").read_text()


@pytest.mark.parametrize(
    ("changed", "shown"),
    [
        ({"threads": 1}, "a CPU, 1 thread"),
        ({"device": "a CPU (AVX2)"}, "a CPU (AVX2), 2 threads"),  # the others' is not known
    ],
)
def test_devices_that_are_mixed_are_named(
    changed: dict[str, object], shown: str, tmp_path: Path
) -> None:
    matrix, results = published("ema")
    key = next(iter(results.records))
    other = results.records[key].environment.model_copy(update=changed)
    results.records[key] = results.records[key].model_copy(update={"environment": other})
    write(select(matrix, results), tmp_path)
    page = (tmp_path / "ema" / "report.md").read_text()
    (note,) = [line for line in page.splitlines() if "This table mixes devices" in line]
    assert "devices, threads or versions" in note and shown in note
    assert "a CPU, 2 threads" in note
    assert ("rounding differs in every step" in note) == ("device" in changed)


@pytest.mark.parametrize(
    ("devices", "is_said"),
    [
        (("a CPU (AVX2)", "a CPU (AVX2, ATen AVX512)"), True),  # torch's own kernels differ
        (("a CPU (AVX2)", "another CPU (AVX2)"), False),
    ],
)
def test_rounding_differs_by_instruction_sets(
    devices: tuple[str, str], is_said: bool, tmp_path: Path
) -> None:
    matrix, results = published("ema")
    for position, (key, record) in enumerate(results.records.items()):
        environment = record.environment.model_copy(update={"device": devices[position % 2]})
        results.records[key] = record.model_copy(update={"environment": environment})
    write(select(matrix, results), tmp_path)
    page = (tmp_path / "ema" / "report.md").read_text()
    assert "This table mixes devices" in page
    assert ("rounding differs in every step" in page) == is_said


def test_speeds_of_several_places_are_named(tmp_path: Path) -> None:
    matrix, results = published("fp16")
    write(select(matrix, results), tmp_path)
    assert "different places" not in (tmp_path / "fp16" / "report.md").read_text()
    key = next(k for k, record in results.records.items() if record.kind == "benchmark")
    other = results.records[key].environment.model_copy(update={"device": "a CPU (AVX2)"})
    results.records[key] = results.records[key].model_copy(update={"environment": other})
    write(select(matrix, results), tmp_path)
    page = (tmp_path / "fp16" / "report.md").read_text()
    assert "Its speeds were measured in different places: a CPU, 2 threads, torch 2.14.1; " in page


def test_results_csv_has_a_row_for_each_record(tmp_path: Path) -> None:
    matrix, results = published("fp16")
    write(select(matrix, results), tmp_path)
    frame = pd.read_csv(tmp_path / "fp16" / "results.csv", dtype={"fps": str})
    assert len(frame) == len(results.records) == 20
    assert frame.groupby("kind").size().to_dict() == {"train": 4, "evaluate": 8, "benchmark": 8}
    benchmarks = [r for r in results.records.values() if isinstance(r, BenchmarkRecord)]
    assert sorted(map(float, frame.fps.dropna())) == sorted(record.fps for record in benchmarks)


def test_results_csv_keeps_every_digit_of_a_seed(tmp_path: Path) -> None:
    matrix = load(EXPERIMENTS / "fp16.yaml", Overrides(seeds=(2**62 + 1,)))
    files = write(select(matrix, results_of(matrix)), tmp_path)
    (file,) = [file for file in files if file.name == "results.csv"]
    assert {line["seed"] for line in csv.DictReader(file.open())} == {str(2**62 + 1), ""}


def test_sections_hold_no_markup() -> None:
    for section in page_of(*published("fp16")):
        for block in section.blocks:
            match block:
                case Grid(header, rows):
                    said = [*header, *(said for row in rows for said in row)]
                case Bullets(items):
                    said = list(items)
                case Plot(_, title):
                    said = [title]
                case str():
                    said = [block]
            for text in (section.heading, *said):
                assert "|" not in text and "\n" not in text and not text.startswith(("- ", "#"))


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        matrix, results = published("fp16")
        if name == "b":  # whatever the order they were read in
            results.records = dict(reversed(results.records.items()))
        write(select(matrix, results), tmp_path / name)
    for file in (tmp_path / "a" / "fp16").iterdir():
        if file.name != "index.html":  # which says when it was made: test_page.py
            assert file.read_bytes() == (tmp_path / "b" / "fp16" / file.name).read_bytes()


def test_nothing_is_written_where_nothing_has_run(tmp_path: Path) -> None:
    matrix = load(EXPERIMENTS / "ema.yaml", Overrides(seeds=(5,)))
    with pytest.raises(UserError, match="has run: nothing to report"):
        write(select(matrix, Results()), tmp_path)
    assert not list(tmp_path.iterdir())


def test_reports_import_no_torch() -> None:
    code = "import sys, reports.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_baseline_may_be_a_row_and_seeds_show_their_deviation(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(
        "title: T\ndata: digits\ntrain: {model: ghostnet}\n"
        "matrix: {loss.label_smoothing: [0.0, 0.1]}\nseeds: [0, 1]\n"
        "tables:\n  t:\n    rows: loss.label_smoothing\n    baseline: {loss.label_smoothing: 0.0}\n"
        "    columns: [{header: val, split: val}]\n"
    )
    matrix = load(file)
    results = results_of(matrix, lambda row, column, seed: 0.5 + float(row) + seed / 10)
    write(select(matrix, results), tmp_path)
    page = (tmp_path / "m" / "report.md").read_text()
    assert "| 0.0 | val | 0.55000 | 0.07071 |  |" in page
    assert "| 0.1 | val | 0.65000 | 0.07071 | +0.10000 |" in page
    assert '- arm loss {"name": "cross_entropy", "label_smoothing": 0.1}' in page
    assert '- data: {"name": "digits", "split": "strict"' in page
    frame = pd.read_csv(tmp_path / "m" / "results.csv")
    assert sorted(frame["axis:loss.label_smoothing"].unique()) == [0.0, 0.1]


def test_guessing_is_named(tmp_path: Path) -> None:
    matrix = load(EXPERIMENTS / "ema.yaml")
    write(select(matrix, results_of(matrix, lambda *_: 0.005)), tmp_path)
    page = (tmp_path / "ema" / "report.md").read_text()
    assert "16 of 16 accuracies are those of guessing" in page


def test_another_matrix_of_the_same_name_is_refused(tmp_path: Path) -> None:
    matrix, results = published("ema")
    write(select(matrix, results), tmp_path)
    check_owner(matrix, tmp_path)
    other = tmp_path / "elsewhere" / "ema.yaml"
    other.parent.mkdir()
    other.write_text(
        (EXPERIMENTS / "ema.yaml").read_text().replace("    published: published/ema.csv\n", "")
    )
    with pytest.raises(UserError, match=r"is the report of experiments/ema\.yaml, another matrix"):
        check_owner(load(other), tmp_path)


def test_a_report_never_lies_among_the_programs_own_files(tmp_path: Path) -> None:
    made = tmp_path / "page.yaml"
    made.write_text((EXPERIMENTS / "digits.yaml").read_text())
    with pytest.raises(UserError, match=r"page is a part of this program; rename .*page\.yaml"):
        check_owner(load(made), EXPERIMENTS.parent / "reports")


@pytest.mark.parametrize("name", ["_new", "x_", "a__b", "a*b", "a<b>", "a~~b", "a|b", "#1"])
def test_a_report_is_its_own_whatever_its_name(name: str, tmp_path: Path) -> None:
    file = tmp_path / "m" / f"{name}.yaml"
    file.parent.mkdir()
    text = (EXPERIMENTS / "ema.yaml").read_text()
    file.write_text(text.replace("    published: published/ema.csv\n", ""))
    matrix = load(file)
    write(select(matrix, published("ema")[1]), tmp_path, is_live=True)
    check_owner(matrix, tmp_path)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", b"# My own\n"])
def test_what_is_no_report_is_not_written_over(content: bytes, tmp_path: Path) -> None:
    matrix, _ = published("ema")
    page = tmp_path / "ema" / "report.md"
    page.parent.mkdir()
    page.write_bytes(content)
    with pytest.raises(UserError, match=r"report\.md is no report of a matrix"):
        check_owner(matrix, tmp_path)
    page.unlink()
    page.mkdir()
    with pytest.raises(UserError, match="can't be read"):
        check_owner(matrix, tmp_path)
