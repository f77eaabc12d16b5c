"""A run that was killed is the run that was not: killed at chosen points, gone on with, and compared bit for bit."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from faults.bench import Bench, Trial
from faults.graded import BEST
from faults.machine import Machine
from faults.outcome import outcome
from faults.points import VARIABLE

pytestmark = pytest.mark.numeric
SLOW = pytest.mark.slow

TESTS = Path(__file__).parents[1]
MARK = "FAULTS_TEST"

KILLS = [
    pytest.param("select-loss", ["batch:9"], id="in a pass"),
    pytest.param("select-loss", ["half:*-0.tmp:3"], id="in partial results", marks=SLOW),
    pytest.param("select-less", ["batch:40"], id="in a pass of gradients", marks=SLOW),
    pytest.param("select-less", ["half:arrays.safetensors:4"], id="in our arrays", marks=SLOW),
    pytest.param("mix-random", ["trained"], id="between the last step and the model", marks=SLOW),
    pytest.param("mix-random", ["step:1"], id="before any checkpoint", marks=SLOW),
    pytest.param("weigh-loss", ["gradient:7"], id="in a step, past an epoch", marks=SLOW),
    pytest.param("weigh-loss", ["trained"], id="after the last step, weighed", marks=SLOW),
    pytest.param("all", ["state:4"], id="between our state and the model's files"),
    pytest.param("all", ["unsealed:6"], id="before the seal", marks=SLOW),
    pytest.param("all", ["rotating:1"], id="in the deletion of a checkpoint", marks=SLOW),
    pytest.param("all", ["line:9"], id="in a line of the journal", marks=SLOW),
    pytest.param("all", ["half:optimizer.pt:3"], id="in the optimizer's file", marks=SLOW),
    pytest.param("all", ["half:adapter_model.safetensors:2", "decided:3", "half:seal.json.tmp:1"], id="three times"),
]


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    with Machine(folder) as machine:
        yield Bench(folder, machine)


@pytest.fixture(scope="module")
def killed(bench, request):
    """How each run that was killed differs from the one that was not: of those that are asked for, two at a time."""
    test = test_a_run_that_was_killed_is_the_run_that_was_not.__name__
    asked = [item.callspec.params for item in request.session.items if getattr(item, "originalname", None) == test]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(bench.reference, dict.fromkeys(params["strategies"] for params in asked)))
        futures = {
            (params["strategies"], *params["points"]): pool.submit(
                bench.trial(params["strategies"]).suffer, params["points"]
            )
            for params in asked
        }
    return futures


@pytest.mark.parametrize(("strategies", "points"), KILLS)
def test_a_run_that_was_killed_is_the_run_that_was_not(killed, strategies, points):
    assert killed[strategies, *points].result() == []


@pytest.mark.parametrize(
    ("strategies", "points"),
    [
        pytest.param("rho-1", ["gradient:7"], id="between two micro-batches of a window"),
        pytest.param("exp3", ["decided:2"], id="after a decision", marks=SLOW),
        pytest.param("rho-loss", ["batch:12"], id="in the pass of a reference model", marks=SLOW),
        pytest.param("rho-loss", ["stored:2"], id="in the store's first block", marks=SLOW),
        pytest.param(
            "rho-1", ["stored:1", "stored:3"], id="in the head of the store, and in a later block", marks=SLOW
        ),
        pytest.param("k-center", ["batch:12"], id="in the second signal of a decision", marks=SLOW),
        pytest.param(
            "curriculum", ["batch:4", "decided:3"], id="in the only pass, and after a later decision", marks=SLOW
        ),
    ],
)
def test_a_strategy_that_others_wrote_is_killed_like_ours(bench, strategies, points):
    trial = bench.trial(strategies, per_device_train_batch_size=2, gradient_accumulation_steps=2)
    assert trial.suffer(points) == []


def test_two_runs_at_once_share_a_store(bench):
    store = str(bench.folder / "shared")
    trials = [bench.trial("rho-loss", dataflex={"store": store}) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        assert [ended.code for ended in pool.map(Trial.run, trials)] == [0, 0]
    assert [trial.differences() for trial in trials] == [[], []]
    again = bench.trial("rho-loss", dataflex={"store": store})
    assert again.run(point="stored:1").code == 0, "it writes nothing"
    assert again.differences() == []


def test_a_disk_that_is_full_while_answers_are_stored_costs_a_line(bench):
    trial = bench.trial("rho-loss")
    ended = trial.run(point="full@stored:2")
    assert ended.code == 0
    said = f"the store {trial.output / 'dataflex' / 'store'} cannot be written (No space left on device)"
    assert sum(said in line for line in ended.ours) == 1
    assert trial.differences() == []


@SLOW
def test_the_comparison_sees_another_run(bench):
    trial = bench.trial("mix-random")
    trial.write(learning_rate=0.0101)
    assert trial.run().code == 0
    assert [told.split()[0] for told in trial.differences()] == ["logs", "weights"]


def test_sigterm_leaves_a_checkpoint_of_the_step_and_says_so(bench):
    trial = bench.trial("all")
    ended = trial.run(point="term@gradient:5")
    assert ended.code == 143
    checkpoint = trial.output / "checkpoint-5"
    assert ended.ours[-2] == f"Error: stopped by SIGTERM after step 5: {checkpoint} is complete"
    assert "Traceback" not in ended.text
    ended = trial.resume()
    assert f"DataFlex: going on from {checkpoint}, after step 5" in ended.ours
    assert trial.differences() == []


def test_ctrl_c_ends_at_once_and_the_last_checkpoint_serves(bench):
    trial = bench.trial("all")
    ended = trial.run(point="int@gradient:5")
    assert ended.code == 130
    assert ended.ours[-2] == "Error: stopped by SIGINT, without a checkpoint of this step"
    assert "Traceback" not in ended.text
    ended = trial.resume()
    assert f"DataFlex: going on from {trial.output / 'checkpoint-4'}, after step 4" in ended.ours
    assert trial.differences() == []


@pytest.mark.parametrize(
    ("batch", "step"),
    [pytest.param(2, 2, id="at a checkpoint", marks=SLOW), pytest.param(20, 5, id="past one")],
)
def test_sigterm_in_a_decision_leaves_a_checkpoint_of_what_was_before_it(bench, batch, step):
    trial = bench.trial("select-loss")
    ended = trial.run(point=f"term@batch:{batch}")
    assert ended.code == 143
    assert ended.ours[-2].startswith(f"Error: stopped by SIGTERM after step {step}: ")
    ended = trial.resume()
    assert f"DataFlex: going on from {trial.output / f'checkpoint-{step}'}, after step {step}" in ended.ours
    assert any("of a pass that was cut short are used" in line for line in ended.ours)
    assert trial.differences() == []


@SLOW
def test_sigterm_before_the_first_step_costs_nothing_but_the_batch(bench):
    trial = bench.trial("select-loss", dataflex={"warmup_steps": 0})
    ended = trial.run(point="term@batch:2")
    assert ended.code == 143
    assert ended.ours[-2].endswith("losses of the pool were cut short, nothing was trained yet")
    ended = trial.resume()
    assert any("of a pass that was cut short are used" in line for line in ended.ours)
    assert trial.differences() == []


@SLOW
def test_a_checkpoint_of_an_earlier_run_that_is_named_has_its_own_journal(bench):
    trial = bench.trial("mix-random")
    assert trial.run(point="step:5").code == -9
    trial.write(learning_rate=0.02)
    assert trial.run(point="step:1").code == -9
    trial.write(resume_from_checkpoint=str(trial.output / "checkpoint-4"))
    assert trial.run().code == 0
    assert trial.differences() == []


def test_a_later_torn_checkpoint_does_not_take_the_place_of_a_whole_one(bench):
    trial = bench.trial("mix-random", save_total_limit=1)
    assert trial.run(point="unsealed:6").code == -9
    ended = trial.resume(point="term@gradient:5")
    assert ended.code == 143
    assert sum(f"{trial.output / 'checkpoint-6'} is not complete: removed" in line for line in ended.ours) == 1
    assert f"DataFlex: going on from {trial.output / 'checkpoint-5'}, after step 5" in trial.resume().ours
    assert trial.differences() == []


@pytest.mark.parametrize("file", ["state.json", pytest.param("optimizer.pt", marks=SLOW)])
def test_a_full_disk_is_one_line_and_costs_one_checkpoint(bench, file):
    trial = bench.trial("mix-random")
    _is_out_of_room(trial, trial.run(point=f"full@half:{file}:3"))


def test_a_disk_that_is_full(bench):
    trial = bench.trial("mix-random")
    room = trial.config.parent / "small"
    room.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "faults", room], check=False, capture_output=True
    ).returncode:
        pytest.skip("nothing can be mounted here: the injected faults stand for it")
    try:
        trial.write(output=room / "out")
        assert trial.run(point="step:5").code == -9
        (room / "filler").write_bytes(b"0" * (shutil.disk_usage(room).free - 100_000))
        ended = trial.resume()
        (room / "filler").unlink()
        _is_out_of_room(trial, ended)
    finally:
        subprocess.run(["umount", room], check=True)


def _is_out_of_room(trial: Trial, ended) -> None:
    assert ended.code == 1, ended.text[-3000:]
    assert ended.ours[-2].startswith(f"Error: {trial.output / 'checkpoint-6'} could not be written: ")
    assert "Traceback" not in ended.text
    assert not (trial.output / "checkpoint-6").exists()
    ended = trial.resume()
    assert f"DataFlex: going on from {trial.output / 'checkpoint-4'}, after step 4" in ended.ours
    assert trial.differences() == []


@pytest.mark.parametrize("strategies", ["mix-random", "weigh-loss"])
def test_an_output_folder_that_cannot_be_written_is_one_line(bench, strategies):
    trial = bench.trial(strategies)
    trial.write(output=trial.config / "out")
    ended = trial.run()
    assert ended.code in (1, 2)
    assert "Traceback" not in ended.text
    assert str(trial.config) in next(line for line in ended.ours if line.startswith("Error: "))


@pytest.fixture(scope="module")
def stopped(bench):
    """A run of all three strategies that was killed after step 7."""
    trial = bench.trial("all")
    assert trial.run(point="step:7").code == -9
    return trial


@pytest.fixture
def torn(bench, stopped):
    """A copy of it, to be damaged."""
    trial = bench.trial("all")
    shutil.copytree(stopped.output, trial.output)
    return trial


def _cut(path):
    os.truncate(path, path.stat().st_size // 2)


def _garbage(path):
    path.write_text("garbage")


def _half(path):
    path.write_text("{")


def _other(path):
    path.write_text("[]")


@pytest.mark.parametrize(
    ("file", "damage", "said"),
    [
        pytest.param("optimizer.pt", _cut, "has a torn optimizer.pt", id="cut"),
        pytest.param("trainer_state.json", Path.unlink, "has lost trainer_state.json", id="lost", marks=SLOW),
        pytest.param("dataflex/state.json", _garbage, "has a torn dataflex/state.json", id="garbage", marks=SLOW),
        pytest.param(
            "dataflex/state.json",
            lambda path: path.write_bytes(b"?" * path.stat().st_size),
            "has an unreadable dataflex/state.json",
            id="garbage of the same size",
        ),
        pytest.param("dataflex/seal.json", _half, "has an unreadable seal", id="half a seal", marks=SLOW),
        pytest.param("dataflex/seal.json", _other, "has an unreadable seal", id="another seal", marks=SLOW),
    ],
)
def test_a_checkpoint_that_is_torn_afterwards_is_passed_over(torn, file, damage, said):
    damage(torn.output / "checkpoint-6" / file)
    ended = torn.resume("--dry-run")
    assert f"DataFlex: {torn.output / 'checkpoint-6'} {said}: passed over" in ended.ours
    assert ended.code == 0


def test_the_checkpoint_before_a_torn_one_serves(torn):
    _cut(torn.output / "checkpoint-6" / "optimizer.pt")
    ended = torn.resume()
    assert f"DataFlex: going on from {torn.output / 'checkpoint-4'}, after step 4" in ended.ours
    assert torn.differences() == []


def _other_data(trial, bench):
    folder = shutil.copytree(bench.data, trial.config.parent / "data")
    rows = json.loads((folder / "words.json").read_text())
    (folder / "words.json").write_text(json.dumps([{**rows[0], "output": "the sea"}, *rows[1:]]))
    trial.write(data=folder)


@pytest.mark.parametrize(
    ("part", "words", "told"),
    [
        pytest.param("strategies", ["--mixer", "temperature"], "mixer was ", id="strategies", marks=SLOW),
        pytest.param("parameters", ["--set", "weighter.r=3"], "weighter.r was ", id="parameters", marks=SLOW),
        pytest.param("schedule", ["dataflex.update_steps=4"], "update_steps was 3, is 4", id="schedule"),
        pytest.param("data", None, "data set words has changed", id="data", marks=SLOW),
    ],
)
def test_another_run_is_refused_until_it_is_allowed(bench, torn, part, words, told):
    if words is None:
        _other_data(torn, bench)
    ended = torn.resume(*(words or ()))
    assert ended.code == 2
    assert told in ended.ours[-2]
    assert f"--allow-changed {part}" in ended.ours[-1]
    assert torn.resume(*(words or ()), "--allow-changed", part).code == 0


# At its end a run with a limit of 1 keeps the best checkpoint only, with 2 the last one too.
@SLOW
@pytest.mark.parametrize(("strategies", "limit"), [("weigh-loss", 2), ("all", 1)])
def test_the_best_model_and_early_stopping_survive(bench, strategies, limit):
    changes = {
        "eval_strategy": "steps",
        "eval_steps": 2,
        "load_best_model_at_end": True,
        "early_stopping_steps": 1,
        "save_total_limit": limit,
        "plugins": [str(TESTS / "faults" / "graded.py")],
    }
    reference = bench.reference(strategies, **changes)
    assert len(reference.steps) == BEST + 2, "it stops one evaluation after the best"
    trial = bench.trial(strategies, **changes)
    assert trial.suffer(["step:3", "trained"]) == []
    kept = [BEST, BEST + 2] if limit > 1 else [BEST]
    assert sorted(path.name for path in trial.output.glob("checkpoint-*")) == [f"checkpoint-{step}" for step in kept]


@SLOW
def test_without_optimizer_states_the_run_starts_anew(bench):
    trial = bench.trial("mix-random", save_only_model=True)
    assert trial.run(point="step:7").code == -9
    ended = trial.resume()
    assert sum("has no optimizer state (save_only_model): passed over" in line for line in ended.ours) == 2
    assert any("the run starts from the beginning" in line for line in ended.ours)
    assert trial.differences() == []


@pytest.fixture
def ranks(tmp_path):
    """Runs a trial on two real processes; the fault reaches them through a plugin."""
    info = tmp_path / "faulty-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[dataflex]\nfaulty = faults.plugin\n")
    path = os.pathsep.join(filter(None, [str(tmp_path), str(TESTS), os.environ.get("PYTHONPATH")]))

    def run(trial, *words, point="", dies_at=0):
        """The exit code, and what was said; fails where the end is a minute away from the step that kills."""
        env = {**os.environ, "PYTHONPATH": path, VARIABLE: point, MARK: str(tmp_path)}
        command = [sys.executable, "-m", "dataflex_cli", "run", str(trial.config), *words, "--nproc", "2"]
        log = tmp_path / "log"
        with log.open("w") as out:
            process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        journal = trial.output / "dataflex" / "journal.jsonl"
        deadline = time.monotonic() + 400
        try:
            while process.poll() is None and time.monotonic() < deadline:
                if dies_at and journal.exists() and f'"step": {dies_at},' in journal.read_text():
                    deadline, dies_at = time.monotonic() + 60, 0
                time.sleep(0.2)
            assert process.poll() is not None, "it hangs"
        finally:
            process.kill()
        assert not [pid for pid in os.listdir("/proc") if pid.isdigit() and _is_ours(pid, str(tmp_path))]
        return process.returncode, log.read_text()

    return run


@SLOW
def test_a_rank_that_dies_and_a_launcher_that_is_stopped_end_the_run(bench, ranks):
    never = bench.trial("all")
    assert ranks(never)[0] == 0
    trial = bench.trial("all")
    code, said = ranks(trial, point="rank=1/step:5", dies_at=5)
    errors = [line for line in said.splitlines() if line.startswith("Error: ")]
    assert (code, errors) == (1, ["Error: rank 1 was killed by SIGKILL"]), said[-3000:]
    code, said = ranks(trial, "--resume", point="rank=1/parent@gradient:9")
    errors = [line for line in said.splitlines() if line.startswith("Error: ")]
    stopped = re.fullmatch(r"Error: stopped by SIGTERM after step (\d+): (.*) is complete", "".join(errors))
    assert code == 143, said[-3000:]
    assert stopped, said[-3000:]
    assert stopped[2] == str(trial.output / f"checkpoint-{stopped[1]}")
    assert ranks(trial, "--resume")[0] == 0
    assert outcome(never.output).differences(outcome(trial.output)) == []


def _is_ours(pid: str, mark: str) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return f"{MARK}={mark}".encode() in file.read()
    except OSError:
        return False


@SLOW
def test_checkpoints_of_an_earlier_run_in_the_folder_are_not_gone_on_from(bench):
    trial = bench.trial("mix-random")
    trial.write(learning_rate=0.02)
    assert trial.run().code == 0
    trial.write()
    assert trial.run(point="step:3").code == -9
    ended = trial.resume()
    assert f"DataFlex: {trial.output / 'checkpoint-11'} is of an earlier run: passed over" in ended.ours
    assert f"DataFlex: going on from {trial.output / 'checkpoint-2'}, after step 2" in ended.ours
    assert trial.differences() == []
