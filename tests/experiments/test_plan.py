from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import runner
from classifier.basics.errors import UserError
from classifier.basics.machine import Platform
from classifier.config.spec import EvaluateSpec, MetricSpec
from classifier.config.tracks import RAW
from classifier.plugins.spec import UserMetric
from classifier.records.record import BenchmarkRecord, TrainRecord, benchmark_units
from experiments.matrix.load import load
from experiments.matrix.model import Matrix
from experiments.matrix.overrides import Overrides
from experiments.plan import plan as planning
from experiments.plan.costs import costs
from experiments.plan.estimate import comparable_work
from experiments.plan.jobs import Estimate, Job
from experiments.plan.plan import Plan
from experiments.session.show_plan import Places, Planned
from experiments.store.store import Failure, Results
from reports.figures.select import Missing, select
from reports.figures.tables import mean
from tests.records import results_of

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
HERE = Platform("a CPU", 2, "2.14.1")


def matrices(*names: str, overrides: Overrides = Overrides()) -> list[Matrix]:  # noqa: B008
    return [load(EXPERIMENTS / f"{name}.yaml", overrides) for name in names]


def shown(matrix: Matrix, results: Results, name: str) -> dict[str, list[object]]:
    """The figures of that table by row, or the words in their place."""
    (table,) = (table for table in select(matrix, results).tables if table.name == name)
    means = {row[0].row: map(mean, row) for row in table.cells}
    return {
        name: [m.value if isinstance(m, Missing) else m for m in of] for name, of in means.items()
    }


def planned(*names: str, results: Results | None = None) -> Plan:
    return planning.make(matrices(*names), results or Results(), HERE, Path("data"))


@pytest.mark.parametrize(
    ("names", "trainings", "separate"),
    [
        (("fp16", "rdrop", "ema"), 10, 20),
        (("ema",), 4, 8),
        (("rdrop",), 8, 8),
        (("fp16",), 4, 4),
        (("digits",), 18, 27),
        (("distillation",), 20, 21),
    ],
)
def test_each_training_is_planned_once(
    names: tuple[str, ...], trainings: int, separate: int
) -> None:
    made = planned(*names)
    assert made.totals()["train"] == trainings
    assert made.separate_trainings == separate
    assert len({job.id for job in made.jobs}) == len(made.jobs)
    for job in made.jobs:
        assert all(need in {other.id for other in made.jobs} for need in job.needs)


def test_the_order_of_matrices_changes_no_job() -> None:
    assert {job.id for job in planned("fp16", "ema").jobs} == {
        job.id for job in planned("ema", "fp16").jobs
    }


def test_cub_is_counted_without_an_image() -> None:
    made = planned("ema")
    assert list(made.titles.values()) == ["cub200 (sequential)"]
    (parts,) = made.data.values()
    assert parts == {"train": 7684, "val": 1781, "test": 2323}


def test_rdrop_costs_two_passes_only_where_it_must() -> None:
    by_name = {job.name: job for job in planned("rdrop").jobs}

    def ratio(model: str) -> float:
        plain, rdrop = (
            by_name[f"{model}-s0"].estimate.gflop,
            by_name[f"{model}-rdrop-s0"].estimate.gflop,
        )
        assert plain and rdrop
        return rdrop / plain

    assert ratio("mobilenetv2") == pytest.approx(1, abs=1e-3)
    assert ratio("efficientnet_v2_s") == pytest.approx(1.93, abs=0.02)


def test_a_plan_knows_what_is_done_and_what_has_failed() -> None:
    matrix = load(EXPERIMENTS / "ema.yaml")
    whole = results_of(matrix)
    made = planning.make([matrix], whole, HERE, Path("nowhere"))
    assert {job.state for job in made.jobs} == {"done"}
    assert {job.reason for job in made.jobs} == {"data not checked"}
    lacking = Results({k: r for k, r in whole.records.items() if "ema" not in k[1]})
    made = planning.make([matrix], lacking, HERE, Path("nowhere"))
    trainings = [job for job in made.jobs if job.spec.kind == "train"]
    assert {job.state for job in trainings} == {"todo"}
    assert trainings[0].reason == "track ema-0.9999-2000 is missing: trained again"
    failing = Results(failures={trainings[0].id: Failure("no memory", "log.txt")})
    made = planning.make([matrix], failing, HERE, Path("nowhere"))
    states = {job.id: (job.state, job.reason) for job in made.jobs}
    assert states[trainings[0].id] == ("failed", "no memory")
    dependents = [job for job in made.jobs if trainings[0].id in job.needs]
    why = "waits for mobilenetv2-s0, which failed"
    assert {(job.state, job.reason) for job in dependents} == {("blocked", why)}


def test_what_waits_for_a_failed_job_is_blocked_however_far_behind_it() -> None:
    matrix = load(EXPERIMENTS / "distillation.yaml")
    jobs = {job.id: job for job in planning.make([matrix], Results(), HERE, Path("no")).jobs}
    teacher = next(job.needs[0] for job in jobs.values() if job.spec.kind == "train" and job.needs)
    failing = Results(failures={teacher: Failure("no memory", "log.txt")})
    made = planning.make([matrix], failing, HERE, Path("nowhere"))
    why = f"waits for {jobs[teacher].name}, which failed"
    behind, seen = {teacher}, 0
    for job in made.jobs:
        if behind & set(job.needs):
            behind.add(job.id)
            seen += teacher not in job.needs
            assert (job.state, job.reason) == ("blocked", why)
        else:
            assert job.state == ("failed" if job.id == teacher else "todo")
    assert seen, "evaluations of a student wait for its training, not for the teacher's"
    names = [job.name for job in select(matrix, failing).open_jobs if job.state == "blocked"]
    assert names == [job.name for job in made.jobs if job.state == "blocked"]
    lines = str(Planned(**vars(made), matrices=(matrix,))).splitlines()
    assert sum(" blocked " in line and line.endswith(why) for line in lines) == len(names)
    assert any(" to do " in line for line in lines) and not any(" todo " in x for x in lines)


def test_changed_data_are_done_again_and_the_reason_is_said() -> None:
    matrix = load(EXPERIMENTS / "digits.yaml")
    made = planning.make([matrix], results_of(matrix, fingerprint="0" * 16), HERE, Path("data"))
    trained = [job for job in made.jobs if job.spec.kind != "benchmark"]
    assert {job.state for job in trained} == {"todo"}
    assert all(job.reason.startswith("the data changed (0000") for job in trained)
    (reason,) = planning.left_out(made, results_of(matrix, fingerprint="0" * 16))
    assert reason.startswith("the data changed (0000")


def test_another_machine_measures_speeds_anew() -> None:
    matrix = load(EXPERIMENTS / "fp16.yaml")
    whole = results_of(matrix)
    elsewhere = Platform("another CPU", 2, "2.14.1")
    made = planning.make([matrix], whole, elsewhere, Path("nowhere"))
    todo = [job for job in made.jobs if job.state == "todo"]
    assert {job.spec.kind for job in todo} == {"benchmark"} and len(todo) == 8
    assert {job.reason for job in todo} == {"measured on a CPU only"}


def test_speeds_from_before_instruction_sets_were_named_stay() -> None:
    """Not measured again, and shown; one of this very device goes before them."""
    matrix = load(EXPERIMENTS / "fp16.yaml")
    old = results_of(matrix, lambda row, column, seed: 0.25)

    def speeds(here: Platform) -> set[object]:
        (table,) = select(matrix, old, benchmark_units(here)).tables
        return {mean(cell) for row in table.cells for cell in row if cell.column.is_speed}

    here = Platform("a CPU (AVX2)", 2, "2.14.1")
    made = planning.make([matrix], old, here, Path("nowhere"))
    assert {job.state for job in made.jobs} == {"done"}
    other = planning.make([load(EXPERIMENTS / "ema.yaml")], old, here, Path("nowhere"))
    assert {job.estimate.basis for job in other.todo} == {"records"}, (
        "and they tell how long it takes"
    )
    assert speeds(here) == {0.25}
    for record in list(old.records.values()):
        if isinstance(record, BenchmarkRecord):
            for device, fps in (("a CPU (AVX512)", 1.0), ("a CPU (AVX2)", 2.0)):
                environment = record.environment.model_copy(update={"device": device})
                old.add(record.model_copy(update={"environment": environment, "fps": fps}))
    assert speeds(here) == {2.0}
    elsewhere = Platform("a CPU (AVX)", 2, "2.14.1")
    assert speeds(elsewhere) == {0.25}


def test_costs_come_from_records_once_there_are_some() -> None:
    matrix = load(EXPERIMENTS / "ema.yaml")
    assert {job.estimate.basis for job in planned("ema").jobs} == {"table"}
    whole = results_of(matrix, seconds=100.0)
    other = load(EXPERIMENTS / "ema.yaml", Overrides(seeds=(1,)))
    made = planning.make([other], whole, HERE, Path("nowhere"))
    for job in made.jobs:
        assert job.estimate.basis == "records"
        assert job.estimate.seconds == pytest.approx(
            100.0 * (75 if job.spec.kind == "train" else 1), rel=0.15
        )


def test_costs_are_in_one_unit() -> None:
    """Seconds where they are known of all; else work that compares, also of those."""
    results = results_of(load(EXPERIMENTS / "ema.yaml"), seconds=100.0)
    jobs = planned("ema", results=results).jobs
    assert costs(jobs) == {job.id: job.estimate.seconds for job in jobs}
    unseen = replace(jobs[0], estimate=Estimate(jobs[0].estimate.gflop, None, "table"))
    mixed = costs([unseen, *jobs[1:]])
    assert mixed == {job.id: comparable_work(job) for job in (unseen, *jobs[1:])}


def test_what_nothing_is_known_of_may_be_long() -> None:
    jobs = [job for job in planned("ema").jobs if job.spec.kind == "train"]
    evaluations = [job for job in planned("ema").jobs if job.spec.kind == "evaluate"]
    unknown = [replace(each[0], estimate=Estimate()) for each in (jobs, evaluations)]
    known = costs([*unknown, *jobs[1:], *evaluations[1:]])
    assert known[unknown[0].id] == max(known[job.id] for job in jobs[1:])
    assert known[unknown[1].id] == max(known[job.id] for job in evaluations[1:])
    assert costs(unknown) == {job.id: 1.0 for job in unknown}
    assert costs([*unknown, jobs[1]])[unknown[1].id] == known[jobs[1].id], "no other of its kind"


def test_a_speed_is_in_seconds_and_a_metric_is_nothing_beside_the_rest() -> None:
    speed = next(job for job in planned("fp16").jobs if job.is_speed)
    evaluation = next(job for job in planned("ema").jobs if isinstance(job.spec, EvaluateSpec))
    assert isinstance(evaluation.spec, EvaluateSpec)
    digest = "0" * 16
    user = UserMetric(name="brier", file="", line=1, takes=2, digest=digest, better="less")
    metric = Job(MetricSpec(evaluation=evaluation.spec, metric=user), estimate=Estimate(0.0))
    known = costs([speed, evaluation, metric])
    assert known[speed.id] == speed.estimate.seconds
    assert known[evaluation.id] == comparable_work(evaluation)
    assert known[metric.id] == 0.0


def test_a_plan_on_devices_says_how_long_it_takes() -> None:
    matrix = load(EXPERIMENTS / "ema.yaml", Overrides(seeds=(1, 2)), Path("nowhere"))
    results = results_of(load(EXPERIMENTS / "ema.yaml"), seconds=100.0)
    made = planning.make([matrix], results, HERE, Path("nowhere"))

    def last(plan: Plan, places: Places | None) -> str:
        return str(Planned(**vars(plan), matrices=(matrix,), places=places)).splitlines()[-1]

    estimated = Estimate(None, 600.0, "records")
    trainings = [replace(job, estimate=estimated) for job in made.jobs if job.spec.kind == "train"]
    plan = replace(made, jobs=tuple(trainings))
    assert len(trainings) == 8
    assert last(plan, Places(("0", "1", "2"), 1)) == "about 30 min 00 on 3 devices (estimated)"
    each = "about 20 min 00 on 2 devices, 2 jobs at a time on each (estimated)"
    assert last(plan, Places(("0", "1"), 2)) == each
    assert last(plan, Places(("3",), 1)) == "about 1 h 20 on 1 device (estimated)"
    assert (
        last(plan, Places(("cpu",), 8))
        == "about 10 min 00 on the CPU, 8 jobs at a time (estimated)"
    )
    assert "(estimated)" not in last(plan, None), "nobody said where"
    unknown = replace(plan, jobs=(*trainings[1:], replace(trainings[0], estimate=Estimate())))
    assert "(estimated)" not in last(unknown, Places(("0",), 1))
    done = replace(plan, jobs=tuple(replace(job, state="done") for job in trainings))
    assert "(estimated)" not in last(done, Places(("0",), 1))


def test_the_options_name_the_devices(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Two speeds, whose bounds are known, one after the other."""
    file = tmp_path / "speeds.yaml"
    file.write_text(
        "title: Speeds\ndata: {name: digits}\nmatrix: {model: [ghostnet]}\nbenchmark: {seconds: 30}\n"
        "tables:\n  speeds:\n    rows: model\n    columns:\n"
        "      - {header: full, metric: fps, batch_size: 8}\n"
        "      - {header: half, metric: fps, batch_size: 8, precision: fp16}\n"
    )

    def said(*options: str) -> str:
        arguments = [str(file), "--plan", "--runs", str(tmp_path / "runs"), *options]
        assert runner.main(arguments) == 0
        return capsys.readouterr().out.splitlines()[-1]

    assert said() == said("--jobs-per-device", "2") == said("--engine", "ray", "--devices", "cpu")
    assert "(estimated)" not in said()
    assert said("--devices", "0,1,2,3") == "about 1 min 00 on 4 devices (estimated)"
    cpu = ("--devices", "cpu", "--jobs-per-device", "3")
    assert said(*cpu) == "about 1 min 00 on the CPU, 3 jobs at a time (estimated)"


def test_json_is_one_object_in_the_promised_form(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = [str(EXPERIMENTS / f"{name}.yaml") for name in ("fp16", "rdrop", "ema")]
    assert runner.main([*arguments, "--plan", "--json", "--runs", str(tmp_path)]) == 0
    made = json.loads(capsys.readouterr().out)
    assert set(made) == {"jobs", "together", "apart", "totals"}
    assert made["totals"] == {"train": 10, "evaluate": 30, "benchmark": 8, "todo": 48}
    for job in made["jobs"]:
        assert set(job) == {"id", "kind", "state", "reason", "needs", "cost", "settings"}
        assert set(job["cost"]) == {"gflop", "seconds", "basis"}
        assert job["state"] == "todo"


def test_planning_imports_no_torch() -> None:
    code = (
        "import sys, runner\n"
        f"runner.main([{str(EXPERIMENTS / 'ema.yaml')!r}, '--plan', '--runs', '/nowhere'])\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_overrides_pin_axes_and_mark_the_report() -> None:
    path = EXPERIMENTS / "ema.yaml"
    pinned = load(path, Overrides(sets=("train.model=ghostnet", "train.epochs=2")))
    assert pinned.tables[0].rows == ("ghostnet",)
    assert pinned.name.startswith("ema+") and len(pinned.name) == 12
    raw = load(path, Overrides(sets=("train.ema=false",)))
    assert [column.header for column in raw.tables[0].columns] == ["val accuracy", "test accuracy"]
    assert raw.notes == ("table ema: 2 column(s) pinned away by the command line",)
    smoke = load(path, Overrides(smoke=True))
    assert (smoke.name, smoke.title) == ("ema-smoke", "EMA (smoke)")
    assert not smoke.tables[0].published
    both = load(path, Overrides(smoke=True, sets=("train.epochs=1",)))
    assert both.name.startswith("ema-smoke+")
    seeds = load(path, Overrides(seeds=(0, 1, 2)))
    assert len(seeds.tables[0].cells[0][0]) == 3


def test_include_appends_and_exclude_removes(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(
        "title: T\ndata: {name: digits}\n"
        "matrix:\n  model: [mobilenetv2, ghostnet]\n  rdrop: [false, true]\n"
        "  exclude: [{model: ghostnet, rdrop: true}]\n"
        "  include: [{model: resnet50, rdrop: {weight: 0.5}}]\n"
        "tables:\n  t:\n    rows:\n"
        "      - {name: plain, where: {model: ghostnet}}\n"
        "      - {name: heavy, where: {model: resnet50, rdrop: {weight: 0.5}}}\n"
        "    columns: [{header: val, split: val}]\n"
    )
    matrix = load(file)
    models = [r.training.model for r in matrix.requests() if r.training is not None]
    assert models == ["ghostnet", "resnet50"]
    assert "2 of 4 arms are in no table" in matrix.notes[0]


def test_named_runs_and_dotted_settings(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(
        "title: T\ndata: {name: digits}\ntrain: {model: ghostnet, epochs: 2}\n"
        "runs:\n  plain: {}\n  a<br>b: {optimizer.weight_decay: 0.0, epochs: 3}\n"
        "tables:\n  t: {rows: runs, columns: [{header: val, split: val}]}\n"
    )
    matrix = load(file)
    assert matrix.tables[0].rows == ("plain", "a<br>b")
    assert matrix.tables[0].row_header == "run"
    (tmp_path / "p.csv").write_text("model,val\nplain,0.5\n")
    file.write_text(file.read_text().replace("rows: runs", "published: p.csv, rows: runs"))
    assert load(file).tables[0].row_header == "model", "as the changelog's tables have it"
    specs = [request.training for request in matrix.requests()]
    assert [s.epochs for s in specs if s] == [2, 3]
    assert [s.optimizer.weight_decay for s in specs if s] == [5e-4, 0.0]


TAUGHT = """\
title: T
data: {name: digits}
runs:
  student: {model: mobilenetv2, distill: {method: mgd, teacher: big}}
  again: {model: mobilenetv2, ema: true, distill: {method: at, teacher: big}}
  big: {model: ghostnet}
tables:
  t:
    rows: [{name: a, where: {run: student}}, {name: b, where: {run: again}}]
    columns: [{header: val, split: val}]
"""


def test_a_teacher_is_planned_once_and_first(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(TAUGHT)
    made = planning.make([load(file)], Results(), HERE, tmp_path)
    trainings = [job for job in made.jobs if job.spec.kind == "train"]
    assert [job.name for job in trainings] == [
        "ghostnet-s0",
        "mobilenetv2-mgd-s0 (student)",
        "mobilenetv2-at-s0 (again)",
    ]
    assert trainings[0].needs == () and trainings[0].tracks == (RAW,)
    assert {job.needs for job in trainings[1:]} == {(trainings[0].id,)}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("teacher: big}}\n  again", "teacher: bgi}}\n  again", ":4: unknown teacher 'bgi'; a teacher is a run of this matrix or {file: PATH}; did you mean 'big'?"),
        ("teacher: big}}\n  again", "teacher: {fil: x.safetensors}}}\n  again", ":4: unknown teacher '{\"fil\": \"x.safetensors\"}'; a teacher is a run"),
        ("teacher: big}}\n  again", "teacher: {file: none.safetensors}}}\n  again", "data/none.safetensors is not there"),
        ("teacher: big}}\n  again", "teacher: {file: t.pth}}}\n  again", ":4: data/t.pth is of no kind that is known here: .safetensors"),
        ("teacher: big}}\n  again", "teacher: {file: ../t.safetensors}}}\n  again", ":4: a file that lies under the data root data (links followed) is expected, not \"../t.safetensors\""),
        ("big: {model: ghostnet}", "big: {model: ghostnet, distill: {method: at, teacher: big}}", "run 'big' would teach itself"),
        ("big: {model: ghostnet}", "big: {model: ghostnet, distill: {method: at, teacher: small}}\n  small: {model: ghostnet}", "the teacher 'big' is distilled itself"),
        ("method: mgd", "method: mdg", ":4: unknown method 'mdg'; did you mean 'mgd'?"),
        (", teacher: big}}\n  again", "}}\n  again", "'teacher' is missing"),
        ("{model: mobilenetv2, distill: {method: mgd", "{model: mobilenetv2, rdrop: true, distill: {method: mgd", "'rdrop' and 'distill' can't be combined"),
    ],
)  # fmt: skip
def test_bad_teachers_are_named(old: str, new: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    assert old in TAUGHT
    file.write_text(TAUGHT.replace(old, new, 1))
    with pytest.raises(UserError) as error:
        load(file)
    assert message in str(error.value)


def test_an_evaluation_of_another_checkpoint_is_done_again() -> None:
    matrix = load(EXPERIMENTS / "ema.yaml")
    results = results_of(matrix)
    for key, record in results.records.items():
        if isinstance(record, TrainRecord) and record.spec.model == "ghostnet":
            results.records[key] = record.model_copy(update={"checkpoint": "d" * 16})
    made = planning.make([matrix], results, HERE, Path("nowhere"))
    todo = [job for job in made.jobs if job.state == "todo"]
    assert {job.reason for job in todo} == {"its training was done again"}
    assert {job.spec.kind for job in todo} == {"evaluate"} and len(todo) == 4
    kept = planning.current(made, results)
    assert len(kept.records) == len(results.records) - 4
    assert shown(matrix, kept, "ema")["ghostnet"] == ["to do"] * 4


def test_a_report_shows_no_figure_of_other_data() -> None:
    """Old records and a failure of the new attempt: the cells read `failed`."""
    matrix = load(EXPERIMENTS / "digits.yaml")
    results = results_of(matrix, fingerprint="0" * 16)
    first = next(matrix.requests())
    assert first.training is not None
    results.failures[first.training.signature] = Failure("no memory", "log.txt")
    made = planning.make([matrix], results, HERE, Path("data"))
    current = planning.current(made, results)
    first_row, second_row, *_ = shown(matrix, current, "ema").values()
    assert first_row == ["failed"] * 4
    assert second_row == ["to do"] * 4


def test_smoke_keeps_the_form_of_a_table_whose_axis_it_pins(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(
        "title: T\ndata: digits\n"
        "matrix:\n  model: [ghostnet, mobilenetv2]\n  pretrained: [false, true]\n"
        "tables:\n  t:\n    rows:\n      - {name: g, where: {model: ghostnet}}\n"
        "      - {name: m, where: {model: mobilenetv2}}\n"
        "    columns:\n      - {header: a, split: val, where: {pretrained: false}}\n"
        "      - {header: b, split: val, where: {pretrained: true}}\n"
        "    baseline: {pretrained: false}\n"
    )
    (table,) = load(file, Overrides(smoke=True)).tables
    assert [column.header for column in table.columns] == ["a", "b"]
    (table,) = load(file, Overrides(sets=("train.model=ghostnet",))).tables
    assert table.rows == ("g",)


def test_an_outright_precision_is_the_default_one(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(
        "title: T\ndata: digits\ntrain: {model: ghostnet}\nmatrix: {ema: [false, true]}\n"
        "tables:\n  t:\n    rows: [{name: x, where: {}}]\n    columns:\n"
        "      - {header: a, split: val, precision: fp32, where: {ema: false}}\n"
        "      - {header: b, split: val, where: {ema: true}}\n    baseline: {ema: false}\n"
    )
    assert load(file).tables[0].baseline == {(0, 1): (0, 0)}


TRAIN_COLUMN = """\
title: T
data: digits
train: {optimizer: sgd}
matrix: {model: [ghostnet]}
tables:
  t: {rows: model, columns: [{header: a, split: train}, {header: b, split: val}]}
"""


def test_a_column_may_show_the_training_part(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(TRAIN_COLUMN)
    matrix = load(tmp_path / "m.yaml")
    made = planning.make([matrix], Results(), HERE, tmp_path)
    assert [job.name for job in made.jobs[1:]] == [
        "ghostnet-s0 raw-train-fp32",
        "ghostnet-s0 raw-val-fp32",
    ]
    on_train, on_val = (job.estimate.gflop for job in made.jobs[1:])
    assert on_train and on_val and on_train / on_val == pytest.approx(1078 / 362, abs=0.02)
    results = results_of(matrix, lambda row, column, seed: len(column.split or "") / 10)
    assert list(shown(matrix, results, "t").values()) == [[0.5, 0.3]]


def test_an_option_of_a_named_setting_keeps_the_name(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(TRAIN_COLUMN)
    matrix = load(tmp_path / "m.yaml", Overrides(sets=("train.optimizer.weight_decay=0.1",)))
    optimizer = matrix.arms[0].trainings[0].optimizer
    assert (optimizer.name, optimizer.weight_decay) == ("sgd", 0.1)


def test_a_mapping_that_merges_may_be_used_again(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(
        "title: T\ndata: digits\ntrain: {model: ghostnet}\nruns:\n"
        "  a: &a {lr: 1e-3, epochs: 2}\n  b: &b {<<: *a, epochs: 3}\n  c: *b\n"
        "tables:\n  t: {rows: runs, columns: [{header: h, split: val}]}\n"
    )
    specs = [arm.trainings[0] for arm in load(file).arms]
    assert [(spec.lr, spec.epochs) for spec in specs] == [(1e-3, 2), (1e-3, 3), (1e-3, 3)]
