from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from vesselbench_sa2va.config import LossSettings
from vesselbench_sa2va.losses import (
    Targets,
    answer_losses,
    iou_of,
    mask_losses,
    point_losses,
    sample_map,
    sample_masks,
    shrink_masks,
    take_rows,
    uncertain_points,
    uniform_points,
)

TWO_IMAGES = torch.tensor([0, 1]), torch.tensor([5, 6])


def _line(side: int = 256, width: int = 2) -> torch.Tensor:
    mask = torch.zeros(side, side, dtype=torch.uint8)
    mask[:, 101 : 101 + width] = 1
    return mask


def test_a_point_in_the_middle_of_a_pixel_reads_that_pixel() -> None:
    mask = torch.arange(12, dtype=torch.uint8).reshape(3, 4)
    points = torch.tensor([[[(x + 0.5) / 4, (y + 0.5) / 3] for y in range(3) for x in range(4)]])
    torch.testing.assert_close(sample_masks([mask], points)[0], mask.flatten().float())


def test_masks_of_different_sizes_are_read_at_the_same_relative_places() -> None:
    points = torch.rand(2, 50, 2)
    points[1] = points[0]
    wide = torch.ones(64, 32, dtype=torch.uint8)
    wide[:, 16:] = 0
    small = F.interpolate(wide[None, None].float(), (8, 16), mode="nearest")[0, 0]
    read = sample_masks([wide, small], points)
    far = (points[0, :, 0] - 0.5).abs() > 0.1
    inside = (points[0] > 0.07).all(1) & (points[0] < 0.93).all(1)
    assert torch.equal(read[0][far & inside] > 0.5, read[1][far & inside] > 0.5)


def test_the_full_target_keeps_a_vessel_that_the_official_target_loses() -> None:
    mask = _line(width=1)
    shrunk = shrink_masks([mask], torch.ones(1, 2), 64)[0]
    assert shrunk.sum() == 0
    points = torch.stack([torch.full((64,), 101.5 / 256), torch.linspace(0.01, 0.99, 64)], 1)[None]
    assert sample_masks([mask], points).min() > 0.99


def test_the_official_target_covers_only_the_part_that_the_image_fills() -> None:
    shrunk = shrink_masks([torch.ones(10, 20)], torch.tensor([[1.0, 0.5]]), 64)[0]
    assert shrunk.shape == (32, 64)


def test_uncertain_points_are_those_near_the_border() -> None:
    """Each candidate has points of its own."""
    logits = torch.randn(2, 3, 300)
    index = uncertain_points(logits, 100)
    expected = logits.abs().topk(100, dim=2, largest=False).indices
    assert torch.equal(index.sort(2).values, expected.sort(2).values)


@pytest.mark.parametrize("count", [0, 1, 300])
def test_no_point_or_every_point_may_be_an_uncertain_one(count: int) -> None:
    index = uncertain_points(torch.randn(1, 2, 300), count)
    assert index.shape == (1, 2, count)
    assert all(len(set(row)) == count for row in index[0].tolist())


def test_rows_are_taken_from_the_own_table_only() -> None:
    pairs, single, index = torch.rand(3, 20, 2), torch.rand(3, 20), torch.randint(0, 20, (3, 4, 5))
    pairs[1, 3] = torch.tensor([float("nan"), -0.0])
    for table, taken in zip((pairs, single), take_rows(index, pairs, single), strict=True):
        for own, rows, found in zip(table, index, taken.view(3, 4, 5, *table.shape[2:]), strict=True):
            assert torch.equal(own[rows].nan_to_num(7), found.nan_to_num(7))


def test_masks_of_one_size_and_of_several_are_read_alike() -> None:
    masks = [torch.randint(0, 2, (9, 12), dtype=torch.uint8), torch.randint(0, 2, (9, 12), dtype=torch.uint8)]
    points = torch.rand(3, 50, 2)
    both = sample_masks(masks, points[:2])
    several = sample_masks([*masks, torch.ones(4, 4, dtype=torch.uint8)], points)
    assert torch.equal(both, several[:2])
    assert torch.equal(both[1:], sample_masks(masks[1:], points[1:2]))


def test_perfect_logits_cost_nothing_and_opposite_ones_much() -> None:
    targets = (torch.rand(2, 400) > 0.7).float()
    good = point_losses((targets * 2 - 1) * 40, targets)
    bad = point_losses((1 - targets * 2) * 40, targets)
    assert max(part.max() for part in good) < 1e-5
    assert bad[0].min() > 39
    assert bad[1].min() > 0.98


def test_dice_of_an_empty_mask_falls_with_the_predicted_area() -> None:
    empty = torch.zeros(1, 1000)
    _, little = point_losses(torch.full((1, 1000), -9.0), empty)
    _, much = point_losses(torch.full((1, 1000), 9.0), empty)
    assert little < 0.2 < 0.99 < much


def test_iou_counts_points_and_two_empty_masks_agree() -> None:
    target = torch.tensor([[1.0, 1, 0, 0]])
    logits = torch.tensor([[[1.0, 1, -1, -1], [1, -1, 1, -1], [-1, -1, -1, -1]]])
    assert iou_of(logits, target)[0].tolist() == pytest.approx([1, 1 / 3, 0])
    assert iou_of(logits[:, 2:], torch.zeros(1, 4)).item() == 1


@pytest.mark.parametrize("candidates", ["all", "chosen"])
def test_which_candidates_get_a_gradient_is_what_the_setting_says(candidates: str) -> None:
    settings = LossSettings.model_validate({"points": 64, "candidates": candidates, "iou": 0})
    logits = torch.randn(2, 3, 16, 16, requires_grad=True)
    iou = torch.tensor([[0.1, 0.9, 0.2], [0.8, 0.1, 0.2]], requires_grad=True)
    targets = Targets([_line(), _line()], torch.ones(2), torch.ones(2, 2), *TWO_IMAGES)
    losses = mask_losses(logits, iou, targets, settings)
    (losses["loss_mask"] + losses["loss_dice"]).backward()
    reached = logits.grad.flatten(2).abs().sum(-1) > 0
    expected = torch.ones(2, 3, dtype=torch.bool) if candidates == "all" else iou > 0.5
    assert torch.equal(reached, expected)


def test_an_absent_mask_weighs_nothing_but_an_empty_one_counts() -> None:
    settings = LossSettings(points=64)
    logits, iou = torch.zeros(2, 3, 16, 16), torch.full((2, 3), 0.5)
    masks = [torch.zeros(32, 32, dtype=torch.uint8), _line()]

    def total(present: list[float]) -> list[float]:
        targets = Targets(masks, torch.tensor(present), torch.ones(2, 2), *TWO_IMAGES)
        values = mask_losses(logits, iou, targets, settings)
        return [values[name].item() for name in ("loss_mask", "loss_dice", "loss_iou")]

    assert total([0, 0]) == [0, 0, 0]
    both, first, second = total([1, 1]), total([1, 0]), total([0, 1])
    assert both == pytest.approx([a + b for a, b in zip(first, second, strict=True)])
    assert min(first) > 0


def test_no_point_reads_the_padding() -> None:
    """The image fills the upper half of the square; absurd logits in the lower half change nothing."""
    settings = LossSettings(points=64)
    logits = torch.randn(1, 3, 32, 32)
    other = logits.clone()
    other[:, :, 17:] = 1e3
    targets = Targets([_line()], torch.ones(1), torch.tensor([[1.0, 0.5]]), torch.tensor([0]), torch.tensor([3]))
    results = []
    for candidate in (logits, other):
        results.append(mask_losses(candidate, torch.rand(1, 3) * 0 + 0.5, targets, settings)["loss_mask"])
    assert results[0] == results[1]


def test_sampling_is_the_bilinear_one_of_the_mask_loss() -> None:
    maps = torch.randn(2, 3, 8, 8)
    points = torch.rand(2, 5, 2)
    expected = F.grid_sample(maps, points[:, None] * 2 - 1, mode="bilinear", padding_mode="zeros", align_corners=False)
    torch.testing.assert_close(sample_map(maps, points), expected[:, :, 0])


def test_the_language_loss_is_split_into_seg_and_the_rest() -> None:
    logits = torch.zeros(4, 10)
    logits[0, 7] = 50
    labels = torch.tensor([7, 1, 2, 3])
    parts = answer_losses(logits, labels, torch.zeros(4, dtype=torch.long), 1, seg=7)
    assert parts["llm_at_seg"] < 1e-6
    torch.testing.assert_close(parts["llm_elsewhere"], torch.tensor(10.0).log())
    torch.testing.assert_close(parts["loss_llm"], parts["llm_elsewhere"] * 0.75)


def test_a_seed_draws_the_same_points_whatever_else_is_drawn() -> None:
    device = torch.device("cpu")
    together = uniform_points(torch.tensor([5, 2**62 - 1]), 30, device)
    alone = uniform_points(torch.tensor([2**62 - 1]), 30, device)
    assert torch.equal(together[1], alone[0])
    assert not torch.equal(together[0], together[1])


def test_the_losses_of_unlike_texts_and_images_are_the_mean_of_each_ones_own() -> None:
    """Which of them share a micro-batch, or a rank, must not matter."""
    settings = LossSettings(points=64)
    logits, iou = torch.randn(3, 3, 16, 16), torch.rand(3, 3)
    masks = [_line(), _line(width=9), _line(width=30)]
    images, seeds = torch.tensor([0, 0, 1]), torch.tensor([1, 2, 3])

    def of(rows: list[int]) -> dict[str, torch.Tensor]:
        own = images[rows] - images[rows][0]
        targets = Targets(
            [masks[row] for row in rows], torch.ones(len(rows)), torch.ones(len(rows), 2), own, seeds[rows]
        )
        return mask_losses(logits[rows], iou[rows], targets, settings)

    both, first, second = of([0, 1, 2]), of([0, 1]), of([2])
    for name, value in both.items():
        torch.testing.assert_close(value, (first[name] + second[name]) / 2)

    words, labels, rows = torch.randn(5, 10), torch.tensor([1, 2, 3, 4, 7]), torch.tensor([0, 1, 1, 1, 1])
    whole = answer_losses(words, labels, rows, 2, seg=7)["loss_llm"]
    parts = [answer_losses(words[rows == r], labels[rows == r], rows[rows == r] * 0, 1, 7)["loss_llm"] for r in (0, 1)]
    torch.testing.assert_close(whole, (parts[0] + parts[1]) / 2)
