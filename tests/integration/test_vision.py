"""Vision-language models through LLaMA-Factory's own data path: gradients, the other signals, and runs."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from architectures import batch_of, disagreement, found_gradients, reference_gradients
from signal_support import signals_of
from support import journalled, of_kind, train
from vision import VISION, WAYS, build_image_data, vision_args

from dataflex_cli.main import main
from dataflex_core.scoring.gradients import Gradients

pytestmark = pytest.mark.numeric


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return build_image_data(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module", params=VISION)
def family(request, tmp_path_factory, images):
    """A family, the folder of its model, and what LLaMA-Factory made of both."""
    kind = VISION[request.param]
    folder = kind.build(tmp_path_factory.mktemp(request.param))
    return kind, folder, kind.load(folder, images)


def _batches(rows):
    """Batches whose pictures lie otherwise each: one a sample, none, two beside none, in all as many as samples."""
    sizes, counts, text = rows["sizes"], rows["counts"], rows["text"]
    yield sizes[:3]
    yield text[:3]
    yield [sizes[1], counts[1]]
    yield counts
    yield [counts[2], text[0]]
    yield [text[0], counts[2]]
    yield [sizes[0], counts[2]]
    yield [counts[3]]
    yield [counts[5]]


@pytest.mark.parametrize("way", WAYS)
def test_gradients_are_those_of_a_batch_of_one(family, way):
    _, _, loaded = family
    model = loaded.model(**WAYS[way]).eval()
    said: list[str] = []
    gradients = Gradients(model, said.append)
    for rows in _batches(loaded.rows):
        batch = batch_of(rows, loaded.collate(model))
        assert disagreement(found_gradients(gradients, batch), reference_gradients(model, batch)) < 1e-4
    assert said == []


def test_one_sample_at_a_time_has_its_own_pictures(family):
    """A batch of two, with other first dimensions: pixels by patch or picture, positions by axis."""
    _, _, loaded = family
    model = loaded.model().eval()
    gradients = Gradients(model, lambda text: None)
    gradients.beyond["all"] = "for this test"
    for rows in (loaded.rows["sizes"][:2], [loaded.rows["counts"][2], loaded.rows["text"][0]]):
        batch = batch_of(rows, loaded.collate(model))
        assert disagreement(found_gradients(gradients, batch), reference_gradients(model, batch)) < 1e-4


def test_where_nobody_knows_whose_pictures_are_whose_it_is_slow(family, monkeypatch):
    monkeypatch.setattr("dataflex_core.scoring.rules.pictures._sizes", lambda batch: [])
    _, _, loaded = family
    model = loaded.model(**WAYS["lora, pictures too"]).eval()
    said: list[str] = []
    gradients = Gradients(model, said.append)
    batch = batch_of(loaded.rows["sizes"][:2], loaded.collate(model))
    assert disagreement(found_gradients(gradients, batch), reference_gradients(model, batch)) < 1e-4
    assert [text for text in said if "one sample at a time" in text]


# ---------------------------------------------------------------------------------------------------- other signals


@pytest.fixture
def signals(family):
    """Signals of rows with and without pictures, the model, and those rows."""
    _, folder, loaded = family
    model = loaded.model()
    rows = [*loaded.rows["sizes"], *loaded.rows["counts"], *loaded.rows["text"]]
    model.folder = folder
    collate = loaded.collate(model)
    return signals_of(model, None, rows, [loaded.rows["held"]], collate=collate, budget=128), model, rows, collate


def test_losses_are_those_of_a_batch_of_one(signals):
    found, model, rows, collate = signals
    every = np.arange(len(rows))
    losses, tokens = found.losses(every), found.token_losses(every)
    model.eval()
    for index, row in enumerate(rows):
        batch = dict(collate([row]))
        labels = batch.pop("labels")[0, 1:]
        with torch.no_grad():
            logits = model(**batch).logits[0, :-1].float()
        expected = torch.nn.functional.cross_entropy(logits, labels, reduction="none")[labels != -100].numpy()
        np.testing.assert_allclose(tokens[index], expected, rtol=1e-4)
        np.testing.assert_allclose(losses[index], expected.mean(), rtol=1e-4)


def test_a_reference_may_see_pictures(family):
    _, folder, loaded = family
    model = loaded.model(finetuning_type="full")
    model.folder = folder
    rows = loaded.rows["counts"]
    signals = signals_of(model, None, rows, [loaded.rows["held"]], collate=loaded.collate(model))
    every = np.arange(len(rows))
    np.testing.assert_allclose(signals.losses(every, model=str(folder)), signals.losses(every), rtol=1e-5)


@pytest.mark.parametrize("layer", [0, 1, -1])
def test_embeddings_are_the_language_models(signals, layer):
    found, model, rows, collate = signals
    embeddings = found.embeddings(np.arange(len(rows)), layer=layer, pooling="last")
    model.eval()
    for index, row in enumerate(rows):
        batch = {key: value for key, value in collate([row]).items() if key != "labels"}
        with torch.no_grad():
            states = model(**batch, output_hidden_states=True).hidden_states[layer][0]
        last = int(batch["attention_mask"][0].nonzero()[-1])
        np.testing.assert_allclose(embeddings[index], states[last].numpy(), rtol=1e-4, atol=1e-5)


def test_rows_of_a_list_are_left_as_they_were(signals):
    found, _, rows, _ = signals
    mine = [dict(row) for row in rows[6:9]]
    before = json.dumps(mine)
    found.over(mine, "mine").losses(np.arange(3))
    assert json.dumps(mine) == before


# ------------------------------------------------------------------------------------------------------------ runs


@pytest.mark.parametrize(
    "strategies",
    [{"selector": "less"}, {"selector": "loss", "mixer": "temperature", "weighter": "loss"}],
    ids=["less", "losses, a mixer and a weighter"],
)
def test_strategies_train(family, images, tmp_path, strategies):
    kind, folder, _ = family
    events: list[dict] = []
    args = vision_args(folder, images, tmp_path / "out", kind, eval_dataset="held", save_strategy="no")
    train(args, events=events, **strategies)
    assert of_kind(events, "end") == [{"event": "end", "step": 8}]
    assert not [event for event in of_kind(events, "notice") if "one sample at a time" in event["text"]]


def test_less_runs_from_the_command_line(images, tmp_path, monkeypatch):
    kind = VISION["qwen2-vl"]
    folder = kind.build(tmp_path / "model")
    args = vision_args(folder, images, tmp_path / "out", kind, eval_dataset="held", max_steps=4)
    config = tmp_path / "config.json"
    config.write_text(json.dumps({**args, "dataflex": {"warmup_steps": 2, "update_steps": 2}}))
    monkeypatch.setattr("logging.raiseExceptions", False)  # LLaMA-Factory's log keeps the stream of an earlier test
    monkeypatch.setenv("NPROC_PER_NODE", "1")
    monkeypatch.setattr("sys.argv", ["dataflex", "run", str(config), "--selector", "less"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    assert of_kind(journalled(tmp_path / "out"), "end") == [{"event": "end", "step": 4}]
