"""Two ranks know the same rows, and share what one of them has tokenised."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support import base_args, journalled, leave_dist_info

pytestmark = [pytest.mark.numeric, pytest.mark.slow]

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("workers", [None, 2])
def test_ranks_know_the_same_rows_from_one_cache(model, tmp_path, workers):
    rows = [
        {"instruction": f"say red {i}", "input": "", "output": None if i == 4 else "cat " * (1 + i % 5), "quality": -i}
        for i in range(50)
    ]
    (tmp_path / "some.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "dataset_info.json").write_text(json.dumps({"some": {"file_name": "some.jsonl"}}))
    leave_dist_info(
        tmp_path, {"name": "rows-plugin", "version": "1", "entry-points": {"dataflex": {"rows": "rows_plugin"}}}
    )
    seen = tmp_path / "seen"
    seen.mkdir()
    section = {"columns": ["quality"], "warmup_steps": 0, "update_steps": 2}
    args = base_args(
        model,
        tmp_path,
        tmp_path / "out",
        dataset="some",
        max_steps=4,
        preprocessing_num_workers=workers,
        dataflex=section,
    )
    config = tmp_path / "config.json"
    config.write_text(json.dumps(args))
    path = os.pathsep.join([str(tmp_path), str(TESTS), os.environ.get("PYTHONPATH", "")])
    environment = {
        **os.environ,
        "PYTHONPATH": path,
        "ROWS_PLUGIN_SEEN": str(seen),
        "HF_DATASETS_CACHE": str(tmp_path / "cache"),
    }
    command = [sys.executable, "-m", "dataflex_cli", "run", str(config), "--selector", "knowing", "--nproc", "2"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    told = [[json.loads(line) for line in (seen / f"{rank}.jsonl").read_text().splitlines()] for rank in (0, 1)]
    assert told[0] == told[1]
    for decision in told[0]:
        assert decision["rows"] == [[f"row {i + 1 + (i >= 4)} of {tmp_path}/some.jsonl"] for i in decision["ids"]]
    start = journalled(tmp_path / "out")[0]
    assert (start["dropped"]["some"]["count"], start["dropped"]["some"]["row"]) == (1, 5)
    assert re.search(r"1 row \([^)]*\) of some is left out, the first is row 5", done.stdout)
    # A file of converted rows and one of samples, by each worker; the second rank makes none of its own.
    assert len(list((tmp_path / "cache").rglob("cache-*.arrow"))) == 2 * (workers or 1)
