"""DeepSpeed's configurations, as LLaMA-Factory takes them, and runs on two processes that may have one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from support import journalled

ZERO = {
    "train_batch_size": "auto",
    "train_micro_batch_size_per_gpu": "auto",
    "gradient_accumulation_steps": "auto",
    "gradient_clipping": "auto",
    "zero_allow_untested_optimizer": True,
}
ZERO2 = {"zero_optimization": {"stage": 2, "overlap_comm": False}}
# Every parameter is sharded, however small.
ZERO3 = {
    "zero_optimization": {
        "stage": 3,
        "overlap_comm": False,
        "stage3_param_persistence_threshold": 0,
        "stage3_gather_16bit_weights_on_model_save": True,
    }
}


def on_two_ranks(args: dict[str, Any], extensions: Any, *words: str) -> list[dict[str, Any]]:
    """The journal of a run with more ``words`` on the command line; DeepSpeed compiles into ``extensions``.

    Without a strategy there is none.
    """
    config = Path(args["output_dir"]).with_suffix(".json")
    config.write_text(json.dumps(args))
    done = subprocess.run(
        [sys.executable, "-m", "dataflex_cli", "run", str(config), *words, "--nproc", "2"],
        env={**os.environ, "TORCH_EXTENSIONS_DIR": str(extensions)},
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    output = Path(args["output_dir"])
    return journalled(output) if (output / "dataflex").is_dir() else []
