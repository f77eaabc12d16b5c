"""The kit as an author meets it: what is raised, what is expected to fail, and what importing and running it costs."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from conformance import broken, sound
from dataflex_core import Kind, StrategySpec, UsageError
from dataflex_core.testing import NotConforming, all_checks, check_strategy, parametrize_with_checks
from dataflex_core.testing.runner import Subject

SPECS = {spec.name: spec for _, spec, _ in broken.BROKEN}
SOUND = {spec.kind: spec for spec in sound.dataflex_strategies()}
TESTS = Path(__file__).parents[1]


def ids(*arguments, **options):
    return [made.id for made in parametrize_with_checks(*arguments, **options).args[1]]


def test_one_error_lists_every_failed_check_with_its_reason():
    with pytest.raises(NotConforming) as caught:
        check_strategy(SPECS["growing-selector"])
    text = str(caught.value)
    assert isinstance(caught.value, AssertionError)
    assert text.splitlines()[0] == f"selector growing-selector fails 3 of {len(all_checks(Kind.SELECTOR))} checks"
    assert caught.value.failures.keys() == {"declares_lightly", "is_documented", "inputs_are_untouched"}
    assert all(f"{check}: {reason}" in text for check, reason in caught.value.failures.items())


def test_checks_that_fail_for_one_reason_are_told_together():
    spec = StrategySpec(kind=Kind.MIXER, name="gone", target="conformance.gone:Gone", summary="is not there")
    with pytest.raises(NotConforming) as caught:
        check_strategy(spec)
    lines = str(caught.value).splitlines()
    assert len(lines) < 6
    assert any("same_seed_same_answer, another_seed_another_answer" in line for line in lines)


@pytest.mark.parametrize("error", [SystemExit("3"), KeyError("k")])
def test_whatever_a_strategy_raises_is_a_failed_check(error, monkeypatch):
    def leave(self, request):
        raise error

    monkeypatch.setattr(sound.SoundMixer, "mix", leave)
    with pytest.raises(NotConforming, match=f"ranks_agree.*: raises {type(error).__name__}.* in leave"):
        check_strategy(SOUND[Kind.MIXER])


def test_a_parameter_without_a_default_is_asked_for():
    from dataflex_core.catalog import discover

    (static,) = [r.spec for r in discover().records if r.spec.name == "static" and r.spec.kind is Kind.MIXER]
    wanting = replace(SOUND[Kind.MIXER], params="conformance.light:Wanting")
    with pytest.raises(NotConforming, match=r"amount is required: give params=\{'amount': …\}") as caught:
        check_strategy(wanting)
    assert list(caught.value.failures) == ["builds"]
    assert ids([wanting]) == ["mixer-sound-builds"]
    with pytest.raises(NotConforming, match=r"setup refuses every run.*the domains are words, code, numbers"):
        check_strategy(static, params={"proportions": [1, 2]})


def test_a_reference_model_is_given_by_the_kit_and_by_the_author():
    kinds = Subject(spec=SOUND[Kind.MIXER]), Subject(spec=SOUND[Kind.MIXER], values={"reference": "base"})
    assert [subject.chosen.params.reference for subject in kinds] == ["reference", "base"]
    assert kinds[0].missing == ()


def test_an_expected_failure_is_no_failure_and_must_fail():
    reasons = dict.fromkeys(("declares_lightly", "is_documented", "inputs_are_untouched"), "it grows")
    check_strategy(SPECS["growing-selector"], expected_failures=reasons)
    with pytest.raises(NotConforming, match="one_domain: passes, and was expected to fail: nobody knows"):
        check_strategy(SPECS["growing-selector"], expected_failures={**reasons, "one_domain": "nobody knows"})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"expected_failures": {"one_domian": "x"}}, "did you mean 'one_domain'"),
        ({"expected_failures": {"weights_fit": "x"}}, "no check 'weights_fit'"),
        ({"expected_failures": {"sond/one_domain": "x"}}, "no strategy 'sond'"),
        ({"params": {"sond": {}}}, "no strategy 'sond'"),
    ],
)
def test_a_name_that_there_is_not_is_refused(options, said):
    with pytest.raises(UsageError, match=said):
        parametrize_with_checks([SOUND[Kind.SELECTOR]], **options)


def test_the_ids_are_readable():
    assert ids([SOUND[Kind.MIXER]]) == [f"mixer-sound-{check}" for check in all_checks("mixer")]
    several = ids([SOUND[Kind.MIXER]], params={"sound": [{}, {}]})
    assert several == [f"mixer-sound-{n}-{check}" for n in (1, 2) for check in all_checks("mixer")]


def test_the_page_lists_every_check():
    page = (TESTS.parent / "docs" / "testing-a-strategy.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:3] for line in page.splitlines() if line.startswith("| `")]
    told = {name.strip("` "): kinds.strip() for names, kinds in rows for name in names.split(",")}
    assert list(told) == list(all_checks())
    for name, kinds in told.items():
        fitting = [f"{kind}s" for kind in Kind if name in all_checks(kind)]
        assert kinds == ("all" if len(fitting) == 3 else ", ".join(fitting))


def test_a_pytest_run_with_expected_failures(tmp_path):
    (tmp_path / "test_mine.py").write_text(
        "from conformance.broken import BROKEN\n"
        "from dataflex_core.testing import parametrize_with_checks\n"
        "SPECS = [spec for _, spec, _ in BROKEN if spec.name == 'growing-selector']\n"
        "REASONS = {'growing-selector/inputs_are_untouched': 'it grows', 'one_domain': 'nobody knows'}\n"
        "@parametrize_with_checks(SPECS, expected_failures=REASONS)\n"
        "def test_conforms(check):\n"
        "    check()\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", f"pythonpath={TESTS}", "-rxXf"]
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False)
    total = len(all_checks(Kind.SELECTOR))
    assert f"3 failed, {total - 4} passed, 1 xfailed" in done.stdout, done.stdout
    assert "test_conforms[selector-growing-selector-inputs_are_untouched] - it grows" in done.stdout
    assert "[XPASS(strict)] nobody knows" in done.stdout
    assert "CheckFailed: GrowingSelector has no docstring" in done.stdout


def test_importing_the_kit_imports_neither_torch_nor_pytest_and_a_mixer_needs_neither():
    code = (
        "import sys; from dataflex_core.testing import check_strategy; from conformance import sound;"
        "mixer = list(sound.dataflex_strategies())[1]; check_strategy(mixer);"
        "print(*{'torch', 'transformers', 'pytest', 'accelerate'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(TESTS)!r}); {code}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr


def test_an_installed_plugin_may_not_import_anything_heavy_where_it_declares(tmp_path, monkeypatch):
    (tmp_path / "dfx_heavy.py").write_text(
        "import numpy\nfrom dataflex_core import Kind, StrategySpec, hookimpl\n"
        "@hookimpl\ndef dataflex_strategies():\n"
        "    yield StrategySpec(kind=Kind.MIXER, name='heavy', target='conformance.sound:SoundMixer', summary='s')\n"
    )
    info = tmp_path / "dfx_heavy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dfx-heavy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dataflex]\nheavy = dfx_heavy\n")
    monkeypatch.syspath_prepend(tmp_path)
    spec = StrategySpec(kind=Kind.MIXER, name="heavy", target="conformance.sound:SoundMixer", summary="s")
    with pytest.raises(NotConforming) as caught:
        check_strategy(spec)
    assert caught.value.failures["declares_lightly"].startswith("declaring imports numpy")


def test_a_file_in_the_current_folder_is_no_module_of_what_is_declared(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    check_strategy(replace(SOUND[Kind.MIXER], summary="declared beside a file that is called as a module of Python"))
