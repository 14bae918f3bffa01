from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from vesselbench import Batch, Example, Task, UserError
from vesselbench.model import Step, load_trained, save_trained
from vesselbench_sa2va import Sa2VA
from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.model import Sa2VAModule

Make = Callable[..., Example]
MakeBatch = Callable[..., Batch]
MakeConfig = Callable[..., Sa2VAConfig]
MakeModule = Callable[..., Sa2VAModule]

KEYS = {"loss", "loss_mask", "loss_dice", "loss_iou", "loss_llm", "llm_at_seg", "llm_elsewhere"}
MODES = [
    {"freeze": "none"},
    {"freeze": "official", "lora": {"r": 4, "alpha": 8, "dropout": 0, "tokens": "lean"}},
    {"freeze": "official", "lora": {"r": 4, "alpha": 8, "dropout": 0, "tokens": "official"}},
]


@pytest.mark.parametrize("mode", MODES, ids=["none", "lean", "official"])
def test_every_trained_parameter_takes_part_whatever_the_masks_are(
    mode: dict[str, object], make_example: Make, make_batch: MakeBatch, make_config: MakeConfig, make_module: MakeModule
) -> None:
    settings = make_config(**mode)
    model = make_module(settings)
    for masks in (("bar", "bar"), ("empty", "none"), ("none", "none")):
        model.zero_grad()
        losses = Step(model)("loss", make_batch([make_example(i, mask=m) for i, m in enumerate(masks)], settings))
        assert set(losses) == KEYS
        assert all(torch.isfinite(value) for value in losses.values())
        assert [name for name, value in losses.items() if value.requires_grad] == ["loss"]
        losses["loss"].backward()
        without = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
        frozen = [name for name, p in model.named_parameters() if not p.requires_grad and p.grad is not None]
        assert (without, frozen) == ([], [])


def test_with_masks_every_trained_parameter_gets_a_gradient_that_is_not_zero(
    make_example: Make, make_batch: MakeBatch, make_config: MakeConfig, make_module: MakeModule
) -> None:
    """After one step, because an adapter's A waits for its B, which starts at zero."""
    model = make_module(make_config(freeze="none"))
    batch = make_batch([make_example(0), make_example(1)])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        model.loss(batch)["loss"].backward()
        optimizer.step()
    zero = [name for name, p in model.named_parameters() if p.requires_grad and not p.grad.any()]
    assert zero == []


@pytest.mark.parametrize("freeze", ["none", "official"])
@pytest.mark.parametrize(
    "terms", [{"candidates": "chosen"}, {"iou": 0}, {"llm": 0}, {"candidates": "chosen", "iou": 0}]
)
def test_what_no_term_of_the_loss_reaches_is_frozen_or_an_alternative(
    freeze: str,
    terms: dict,
    make_example: Make,
    make_batch: MakeBatch,
    make_config: MakeConfig,
    make_module: MakeModule,
) -> None:
    config = make_config(freeze=freeze, loss={"points": 256, **terms})
    model, batch = make_module(config), make_batch([make_example(0), make_example(1)])
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.SGD(trained.values(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        model.loss(batch)["loss"].backward()
        optimizer.step()
    idle = {name for name, p in trained.items() if not p.grad.any()}
    parts = [prefix for group in Sa2VA().alternatives(config) for prefix in group]
    assert len(parts) == (3 if "candidates" in terms else 0)
    assert {name for name in idle if not name.startswith(tuple(parts))} == set()
    assert not parts or any(not any(name.startswith(part) for name in idle) for part in parts)
    for head, term in {"iou_prediction_head.": "iou", "new_head.": "llm", "lm_head.": "llm"}.items():
        assert term not in terms or not any(head in name for name in trained)


def test_the_loss_is_the_sum_of_its_weighted_parts(
    make_example: Make, make_batch: MakeBatch, make_module: MakeModule
) -> None:
    losses = make_module().loss(make_batch([make_example(0)]))
    parts = [value for name, value in losses.items() if name.startswith("loss_")]
    torch.testing.assert_close(losses["loss"].detach(), torch.stack(parts).sum())


def test_predictions_are_probabilities_at_the_original_sizes(
    make_example: Make, make_batch: MakeBatch, make_module: MakeModule
) -> None:
    examples = [make_example(0, (40, 70)), make_example(1, (130, 64), "none"), make_example(2, (9, 200), "empty")]
    model = make_module().eval()
    maps = Step(model)("predict", make_batch(examples))
    assert [tuple(m.shape) for m in maps] == [(40, 70), (130, 64), (9, 200)]
    assert all(m.dtype == torch.float32 and 0 <= m.min() <= m.max() <= 1 for m in maps)
    assert all(p.grad is None for p in model.parameters())


def test_a_prediction_does_not_depend_on_its_neighbours_in_the_batch(
    make_example: Make, make_batch: MakeBatch, make_module: MakeModule
) -> None:
    examples = [make_example(0, prompt="a"), make_example(1, (50, 80), prompt="a much longer phrase")]
    model = make_module().eval()
    together = model.predict(make_batch(examples))
    for one, expected in zip(examples, together, strict=True):
        torch.testing.assert_close(model.predict(make_batch([one]))[0], expected, atol=2e-6, rtol=1e-5)


def test_the_phrase_changes_the_mask(make_example: Make, make_batch: MakeBatch, make_module: MakeModule) -> None:
    model = make_module().eval()
    a, b = (model.predict(make_batch([make_example(0, prompt=phrase)]))[0] for phrase in ("artery", "vein"))
    assert (a - b).abs().max() > 1e-6


def test_equal_seeds_give_equal_losses(make_example: Make, make_batch: MakeBatch, make_module: MakeModule) -> None:
    batch = make_batch([make_example(0)])
    values = []
    for _ in range(2):
        torch.manual_seed(5)
        values.append(make_module().loss(batch)["loss"].item())
    assert values[0] == values[1]


@pytest.mark.parametrize(("masks", "candidates"), [("three", 3), ("single", 1)])
def test_several_objects_of_an_image_run_through_the_decoder_together(
    make_example: Make,
    make_batch: MakeBatch,
    make_module: MakeModule,
    make_config: Callable[..., Sa2VAConfig],
    masks: str,
    candidates: int,
) -> None:
    """Two objects along the object axis give the same masks as each by itself."""
    model = make_module(make_config(masks=masks)).eval()
    inputs = make_batch([make_example(0)]).inputs
    images = torch.randn(1, 3, 64, 64)
    states = torch.randn(1, inputs["text"]["ids"].shape[1], model.shape.language.hidden)
    with torch.no_grad():
        both, iou = model.prompt_masks(images, states, torch.tensor([[0, 3, 0], [0, 9, 1]]))
        single, _ = model.prompt_masks(images, states, torch.tensor([[0, 9, 0]]))
    assert both.shape == (2, candidates, 16, 16)
    assert iou.shape == (2, candidates)
    torch.testing.assert_close(both[1:], single, atol=1e-5, rtol=1e-5)


def test_the_order_in_which_objects_are_named_does_not_matter(make_module: MakeModule) -> None:
    """One object of each image, in their order, takes a shorter way."""
    model = make_module().eval()
    images, states = torch.randn(2, 3, 64, 64), torch.randn(2, 12, model.shape.language.hidden)
    named = torch.tensor([[0, 3, 0], [1, 9, 0]])
    with torch.no_grad():
        sorted_masks, sorted_iou = model.prompt_masks(images, states, named)
        masks, iou = model.prompt_masks(images, states, named.flip(0))
    assert not torch.equal(masks[0], masks[1])
    torch.testing.assert_close(masks.flip(0), sorted_masks, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(iou.flip(0), sorted_iou, atol=1e-6, rtol=1e-6)


def test_bfloat16_weights_keep_the_positions_exact_and_the_losses_finite(
    make_example: Make, make_batch: MakeBatch, make_module: MakeModule
) -> None:
    model = make_module()
    exact = model.sam.shared_image_embedding.positional_embedding.clone()
    batch = make_batch([make_example(0)])
    torch.manual_seed(0)
    before = model.loss(batch)["loss"]
    model.to(torch.bfloat16)
    torch.manual_seed(0)
    after = model.loss(batch)["loss"]
    assert model.text_hidden_fcs[0].weight.dtype == torch.bfloat16
    assert torch.equal(model.sam.shared_image_embedding.positional_embedding, exact)
    assert after.dtype == torch.float32
    torch.testing.assert_close(after, before, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("mode", MODES, ids=["none", "lean", "official"])
def test_what_was_trained_comes_back_from_its_file(
    mode: dict[str, object],
    make_example: Make,
    make_batch: MakeBatch,
    make_config: MakeConfig,
    make_module: MakeModule,
    tmp_path: Path,
) -> None:
    settings = make_config(**mode)
    model, fresh = make_module(settings), make_module(settings)
    batch = make_batch([make_example(0)], settings)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(2):
        optimizer.zero_grad()
        model.loss(batch)["loss"].backward()
        optimizer.step()
    save_trained(model, tmp_path / "weights.safetensors")
    assert not torch.equal(fresh.eval().predict(batch)[0], model.eval().predict(batch)[0])
    load_trained(fresh, tmp_path / "weights.safetensors")
    assert torch.equal(fresh.predict(batch)[0], model.predict(batch)[0])


def test_a_few_steps_find_the_dark_bar(
    make_example: Make, make_batch: MakeBatch, make_config: MakeConfig, make_module: MakeModule
) -> None:
    model = make_module(make_config())
    batch = make_batch([make_example(i) for i in range(4)])
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        losses = model.loss(batch)
        losses["loss"].backward()
        optimizer.step()
    unseen = [make_example(i) for i in range(10, 14)]
    maps = model.eval().predict(make_batch(unseen))
    for example, probability in zip(unseen, maps, strict=True):
        mask = torch.from_numpy(example.mask)
        found = probability > 0.5
        assert 2 * (found & mask).sum() / (found.sum() + mask.sum()) > 0.9
    assert losses["llm_at_seg"] < 0.2


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"size": "8b"}, "model.size"),
        ({"weights": "w", "size": "2b"}, "model.weights"),
    ],
)
def test_settings_that_cannot_be_met_are_refused_by_name(values: dict[str, str], key: str) -> None:
    with pytest.raises(UserError, match=key):
        Sa2VA().build(Sa2VAConfig.model_validate(values), Task(("vessel",)))
