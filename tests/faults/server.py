"""A process that has imported LLaMA-Factory, and forks one for each command: seconds for what takes a quarter minute.

``python -m faults.server`` reads a JSON object a line, ``{"words": […], "point": …, "output": PATH}``, and answers each
with the pid of the fork and then with its exit code, negative for a signal.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading


def main() -> None:
    """Import, say ``ready``, and serve until the input ends."""
    from faults.points import POINTS

    _import()
    if threading.active_count() > 1 or not POINTS:
        sys.exit("a process with threads cannot be forked safely")
    _say("ready")
    for request in sys.stdin:
        _serve(json.loads(request))


def _import() -> None:
    import llamafactory.train.sft.workflow
    import llamafactory.train.tuner
    import peft
    import torch
    import transformers
    from transformers.models.llama import modeling_llama

    import dataflex_core.llamafactory.run
    import dataflex_core.trainer

    torch.set_num_threads(1)
    # LLaMA-Factory looks through them as it loads a model, and each look imports a hundred modules.
    for name in ("ImageTextToText", "Seq2SeqLM", "TextToWaveform"):
        list(getattr(transformers, f"AutoModelFor{name}")._model_mapping.keys())
    del dataflex_core, llamafactory, peft, modeling_llama
    # Forks share what they do not touch, and a collection touches everything.
    gc.collect()
    gc.freeze()


def _serve(request: dict[str, object]) -> None:
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        _become(request)
    _say(pid)
    _, status = os.waitpid(pid, 0)
    _say(os.waitstatus_to_exitcode(status))


def _become(request: dict[str, object]) -> None:
    """Be the command; ends as a process of its own would."""
    import torch

    from dataflex_cli.main import main as dataflex
    from faults.points import arm

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    out = os.open(str(request["output"]), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (out, 1), (out, 2)):
        os.dup2(source, target)
    if request.get("point"):
        arm(str(request["point"]))
    sys.argv = ["dataflex", *request["words"]]  # type: ignore[misc]
    dataflex()
    sys.exit(0)


def _say(answer: object) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
