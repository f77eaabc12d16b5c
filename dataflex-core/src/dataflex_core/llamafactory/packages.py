"""The packages that arguments ask for beside LLaMA-Factory's own, and whether they are there.

Those of LLaMA-Factory's switches are read from its sources, so that they are those of the version that is installed.
"""

from __future__ import annotations

import ast
import importlib.util
import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from dataflex_core.errors import InvalidConfig, UnmetNeed, UsageError
from dataflex_core.llamafactory.args import Args
from dataflex_core.llamafactory.written import is_on, number
from dataflex_core.packages import Package
from dataflex_core.wording import did_you_mean

_KUBEFLOW = "KUBEFLOW_TRAINER_SERVER_URL"
_ALONE = ("all", "none")

TRACKERS: Mapping[str, tuple[tuple[Package, ...], ...]] = {
    "azure_ml": ((Package(requirement="azureml-core"),),),
    "clearml": ((Package(requirement="clearml", module="clearml"),),),
    "codecarbon": ((Package(requirement="codecarbon", module="codecarbon"),),),
    "comet_ml": ((Package(requirement="comet-ml>=3.43.2"),),),
    "dagshub": ((Package(requirement="dagshub", module="dagshub"),), (Package(requirement="mlflow"),)),
    "dvclive": ((Package(requirement="dvclive", module="dvclive"),),),
    "flyte": ((Package(requirement="flytekit", module="flytekit"),),),
    "kubeflow": (),
    "mlflow": ((Package(requirement="mlflow", module="mlflow"), Package(requirement="mlflow-skinny")),),
    "neptune": ((Package(requirement="neptune", module="neptune"), Package(requirement="neptune-client")),),
    "swanlab": ((Package(requirement="swanlab", module="swanlab"),),),
    "tensorboard": ((Package(requirement="tensorboard", module="tensorboard"), Package(requirement="tensorboardX")),),
    "trackio": ((Package(requirement="trackio", module="trackio"),),),
    "wandb": ((Package(requirement="wandb", module="wandb"),),),
}
"""What each integration of ``report_to`` needs: of every group one, the first by preference."""

_BITSANDBYTES = Package(requirement="bitsandbytes", module="bitsandbytes")
_TORCHAO = Package(requirement="torchao>=0.4.0")
# By a part of the optimizer's name; the first that fits.
_OPTIMIZERS = {
    "galore": Package(requirement="galore-torch", module="galore_torch"),
    "apollo": Package(requirement="apollo-torch", module="apollo_torch"),
    "adamw_torch_4bit": _TORCHAO,
    "adamw_torch_8bit": _TORCHAO,
    "lomo": Package(requirement="lomo-optim", module="lomo_optim"),
    "grokadamw": Package(requirement="grokadamw", module="grokadamw"),
    "schedule_free": Package(requirement="schedulefree", module="schedulefree"),
    "stable_adamw": Package(requirement="torch-optimi", module="optimi"),
    "apex": Package(requirement="apex", module="apex"),
    "anyprecision": Package(requirement="torchdistx", module="torchdistx"),
    "8bit": _BITSANDBYTES,
    "bnb": _BITSANDBYTES,
    "paged": _BITSANDBYTES,
    "lion": _BITSANDBYTES,
    "ademamix": _BITSANDBYTES,
}
_QUANTIZERS = {"bnb": "bitsandbytes>=0.39.0", "hqq": "hqq", "eetq": "eetq"}


def check_packages(args: Args, env: Mapping[str, str] = os.environ) -> Iterator[UsageError]:
    """An error for each package that ``args`` ask for and that is not there, and for each unknown ``report_to``."""
    for key, package in _wanted(args):
        if (why := package.missing) is not None:
            said = f"{key}: {args[key]}" if isinstance(args[key], str) else key
            yield UnmetNeed(f"{said} needs {package.name}, which {_in_words(why)}", hint=package.install, key=[key])
    for name in reported_to(args):
        if name not in TRACKERS and name not in _integrations():
            said = f"report_to: {name!r} is none of transformers' integrations"
            yield InvalidConfig(said, hint=_known(name), key=["report_to"])
        if name == "kubeflow" and not env.get(_KUBEFLOW):
            hint = f"set {_KUBEFLOW}, or leave it out"
            yield UnmetNeed(f"report_to: kubeflow needs {_KUBEFLOW} in the environment", hint=hint, key=["report_to"])
        for group in TRACKERS.get(name, ()):
            if all(package.missing for package in group):
                why = _in_words(str(group[0].missing))
                said = f"report_to: {name} needs {group[0].name}, which {why}"
                yield UnmetNeed(said, hint=group[0].install, key=["report_to"])


def reported_to(args: Args) -> tuple[str, ...]:
    """The integrations that ``report_to`` names; none for all that are there, and where it is no text."""
    given = args.get("report_to")
    names = given if isinstance(given, list) else [given]
    if len(names) == 1 and names[0] in _ALONE:
        return ()
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str)))


def _known(name: str) -> str:
    if "," in name:
        return f"write a list: [{', '.join(name.split(','))}]"
    return "it stands alone" if name in _ALONE else did_you_mean(name, [*TRACKERS, *_ALONE])


def _in_words(why: str) -> str:
    return why if why.startswith("is ") else f"is not: {why}"


def _wanted(args: Args) -> Iterator[tuple[str, Package]]:
    for key, requirements in _switches().items():
        if is_on(args.get(key)):
            yield from ((key, Package(requirement=requirement)) for requirement in requirements)
    optimizer = args.get("optim")
    if isinstance(optimizer, str):
        package = next((needed for part, needed in _OPTIMIZERS.items() if part in optimizer), None)
        if package is not None:
            yield "optim", package
    if number(args.get("quantization_bit")) > 0:
        method = args.get("quantization_method", "bnb")
        if method in _QUANTIZERS:
            yield "quantization_bit", Package(requirement=_QUANTIZERS[method])


@lru_cache(maxsize=1)
def _switches() -> Mapping[str, tuple[str, ...]]:
    """What LLaMA-Factory insists on where a key is set, by key; empty where its sources are not as expected."""
    tree = _source("llamafactory", "hparams/parser.py")
    found: dict[str, tuple[str, ...]] = {}
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and function.name == "_check_extra_dependencies":
            for branch in ast.walk(function):
                if isinstance(branch, ast.If) and (key := _key(branch.test)) is not None:
                    found[key] = (*found.get(key, ()), *_insisted(branch.body))
    return found


def _key(test: ast.expr) -> str | None:
    """The argument that ``args.key`` or ``args.key is not None`` asks about."""
    match test:
        case ast.Attribute(attr=key) | ast.Compare(left=ast.Attribute(attr=key), ops=[ast.IsNot()]):
            return key
    return None


def _insisted(body: list[ast.stmt]) -> Iterator[str]:
    for statement in body:
        match statement:
            case ast.Expr(
                value=ast.Call(
                    func=ast.Name(id="check_version"), args=[ast.Constant(value=str(wanted))], keywords=[_, *_]
                )
            ):
                yield wanted


@lru_cache(maxsize=1)
def _integrations() -> frozenset[str]:
    """The names that transformers' ``report_to`` knows."""
    tree = _source("transformers", "integrations/integration_utils.py")
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="INTEGRATION_TO_CALLBACK")], value=ast.Dict(keys=keys)):
                return frozenset(str(key.value) for key in keys if isinstance(key, ast.Constant))
    return frozenset()


def _source(package: str, file: str) -> ast.Module:
    try:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            return ast.Module(body=[], type_ignores=[])
        return ast.parse((Path(spec.origin).parent / file).read_text("utf-8"))
    except (OSError, SyntaxError):
        return ast.Module(body=[], type_ignores=[])
