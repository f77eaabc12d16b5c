"""Packages that arguments ask for are told with their install line, without importing one."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError

import pytest

from dataflex_core import packages
from dataflex_core.llamafactory import packages as wanted
from dataflex_core.llamafactory.packages import TRACKERS, check_packages
from dataflex_core.packages import Package

SERVED = {"KUBEFLOW_TRAINER_SERVER_URL": "http://server"}


@pytest.fixture
def installed(monkeypatch):
    """Make the metadata of these distributions, and of no other, found; no module is."""

    def only(**versions):
        def version(name):
            try:
                return versions[name.replace("-", "_")]
            except KeyError:
                raise PackageNotFoundError(name) from None

        monkeypatch.setattr(packages, "version", version)
        monkeypatch.setattr(packages, "find_spec", lambda name: None)

    only()
    return only


def _told(args, env=SERVED):
    return [(".".join(map(str, fault.key)), fault.message, fault.hint) for fault in check_packages(args, env)]


def test_the_trackers_are_those_of_transformers():
    assert wanted._integrations() == TRACKERS.keys()


@pytest.mark.parametrize("name", TRACKERS)
def test_every_tracker_is_told_before_the_run(installed, name):
    found = _told({"report_to": name})
    assert len(found) == len(TRACKERS[name])
    for (key, message, hint), group in zip(found, TRACKERS[name], strict=True):
        assert key == "report_to"
        assert message == f"report_to: {name} needs {group[0].name}, which is not installed"
        assert hint == group[0].install
    installed(**{each.name.replace("-", "_"): "99.0" for group in TRACKERS[name] for each in group[-1:]})
    assert _told({"report_to": [name]}) == [], "any of a group is enough"


@pytest.mark.parametrize("given", [None, "none", "all", ["none"], ["all"], []])
def test_no_tracker_is_asked_for_by_name(installed, given):
    assert _told({"report_to": given}) == []


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("wandb,mlflow", "write a list: [wandb, mlflow]"),
        ("wandv", "did you mean 'wandb'?"),
        (["none", "dvclive"], "it stands alone"),
    ],
)
def test_what_is_no_tracker(installed, given, hint):
    installed(dvclive="3")
    ((key, message, told),) = _told({"report_to": given})
    assert (key, told) == ("report_to", hint)
    assert "is none of transformers' integrations" in message


def test_kubeflow_is_an_environment():
    ((_, message, _),) = _told({"report_to": "kubeflow"}, {})
    assert message == "report_to: kubeflow needs KUBEFLOW_TRAINER_SERVER_URL in the environment"


@pytest.mark.parametrize(
    ("args", "lines"),
    [
        ({"use_galore": True}, ["pip install galore_torch"]),
        ({"use_apollo": True, "use_galore": False}, ["pip install apollo_torch"]),
        ({"use_badam": True}, ["pip install 'badam>=1.2.1'"]),
        ({"use_adam_mini": True}, ["pip install adam-mini"]),
        ({"use_swanlab": True}, ["pip install swanlab"]),
        ({"use_unsloth": True}, ["pip install unsloth"]),
        ({"enable_liger_kernel": True}, ["pip install liger-kernel"]),
        ({"plot_loss": True}, ["pip install matplotlib"]),
        ({"mixture_of_depths": "convert"}, ["pip install 'mixture-of-depth>=1.1.6'"]),
        ({"deepspeed": {"zero_optimization": {}}}, ["pip install deepspeed"]),
        ({"predict_with_generate": True}, [f"pip install {name}" for name in ("jieba", "nltk", "rouge_chinese")]),
        ({"quantization_bit": 4}, ["pip install 'bitsandbytes>=0.39.0'"]),
        ({"quantization_bit": 8, "quantization_method": "eetq"}, ["pip install eetq"]),
        ({"optim": "paged_adamw_8bit"}, ["pip install bitsandbytes"]),
        ({"optim": "adamw_torch_8bit"}, ["pip install 'torchao>=0.4.0'"]),
        ({"optim": "galore_adamw_8bit"}, ["pip install galore-torch"]),
        ({"optim": "schedule_free_sgd"}, ["pip install schedulefree"]),
        ({"optim": "adamw_torch", "plot_loss": "false"}, []),
    ],
    ids=str,
)
def test_a_switch_asks_for_its_package(installed, args, lines):
    found = _told(args)
    assert [hint for _, _, hint in found] == lines
    assert {key for key, _, _ in found} <= args.keys()


@pytest.mark.parametrize(
    ("requirement", "version", "missing"),
    [
        ("badam>=1.2.1", "1.2.1", None),
        ("badam>=1.2.1", "1.3.0rc1", None),
        ("badam>=1.2.1", "1.1", "1.1 is installed, and >=1.2.1 is needed"),
        ("badam", "0.1", None),
    ],
)
def test_a_version_that_is_too_old(installed, requirement, version, missing):
    installed(badam=version)
    assert Package(requirement=requirement).missing == missing


def test_a_folder_is_no_module(tmp_path, monkeypatch):
    (tmp_path / "dfx_runs").mkdir()
    (tmp_path / "dfx_module.py").write_text("raise SystemExit")
    monkeypatch.syspath_prepend(tmp_path)
    assert Package(requirement="dfx-runs", module="dfx_runs").missing == "is not installed"
    assert Package(requirement="dfx-module", module="dfx_module").missing is None
    assert "dfx_module" not in sys.modules
