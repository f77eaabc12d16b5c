"""Kill short runs at random points and go on with them: ``python -m faults [--count N] [--seed S] [--only I]``."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from faults.bench import SETS, STEPS, Bench
from faults.machine import Machine

_FILES = ("optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "adapter_model.safetensors")
_OURS = ("state.json", "arrays.safetensors", "seal.json.tmp")


def main() -> int:
    """One line per point; exit code 1 at the first difference."""
    parser = argparse.ArgumentParser(prog="nox -s faults --")
    parser.add_argument("--count", type=int, default=40, help="how many points")
    parser.add_argument("--seed", type=int, default=None, help="of the choice; a new one each time by default")
    parser.add_argument("--only", type=int, default=None, help="the one of them to try")
    asked = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if asked.seed is None else asked.seed
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="dataflex-faults-") as scratch, Machine(Path(scratch)) as machine:
        bench = Bench(Path(scratch), machine)
        for number in range(asked.count) if asked.only is None else (asked.only,):
            rng = random.Random(f"{seed} {number}")
            strategies = rng.choice(list(SETS))
            points = [_drawn(rng, strategies) for _ in range(rng.choice((1, 1, 2)))]
            began = time.monotonic()
            trial = bench.trial(strategies)
            told = trial.suffer(points)
            took = f"{time.monotonic() - began:.0f} s"
            print(f"{number:3} {strategies:12} {', then '.join(points)}: {'OTHER' if told else 'the same'} ({took})")
            if told:
                print(*told, f"again: nox -s faults -- --seed {seed} --only {number}", sep="\n", flush=True)
                return 1
            sys.stdout.flush()
            trial.remove()
    return 0


def _drawn(rng: random.Random, strategies: str) -> str:
    """A point that a run of ``strategies`` comes to, if nothing happens to it before."""
    saves = range(1, 7)
    saved = rng.choice([*range(2, STEPS, 2), STEPS])
    points = [
        f"step:{rng.randint(1, STEPS)}",
        f"gradient:{rng.randint(1, STEPS)}",
        f"state:{saved}",
        f"unsealed:{saved}",
        f"sealed:{saved}",
        f"rotated:{rng.randint(1, 4)}",
        f"rotating:{rng.randint(1, 4)}",
        f"half:{rng.choice(_FILES)}:{rng.choice(saves)}",
        f"half:{rng.choice(_OURS)}:{rng.choice(saves)}",
        f"line:{rng.randint(2, STEPS)}",
        "trained",
    ]
    if strategies != "weigh-loss":
        points.append(f"decided:{rng.randint(1, 4)}")
    if strategies in ("select-loss", "select-less", "all"):
        points += [f"batch:{rng.randint(1, 30)}", f"half:*-0.tmp:{rng.randint(1, 20)}"] * 2
    return rng.choice(points)


if __name__ == "__main__":
    sys.exit(main())
