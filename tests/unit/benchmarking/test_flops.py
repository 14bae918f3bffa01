"""Operations are counted forward and backward, attention on the processor included."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from vesselbench.benchmarking.flops import count_flops


def test_a_matrix_product_is_counted_forward_and_backward():
    a, b = torch.randn(8, 16, requires_grad=True), torch.randn(16, 4, requires_grad=True)
    assert count_flops(lambda: a @ b) == 2 * 8 * 16 * 4
    assert count_flops(lambda: (a @ b).sum().backward()) == 3 * 2 * 8 * 16 * 4


def test_a_convolution_is_counted_by_its_outputs():
    image, kernel = torch.randn(2, 3, 10, 10), torch.randn(5, 3, 3, 3)
    assert count_flops(lambda: F.conv2d(image, kernel, padding=1)) == 2 * 2 * 5 * 100 * 3 * 9


@pytest.mark.parametrize("shape", [(2, 4, 32, 8), (1, 2, 7, 16)])
def test_fused_attention_counts_forward_what_its_two_products_do(shape):
    query, key, value = (torch.randn(shape) for _ in range(3))

    def plainly() -> torch.Tensor:
        return ((query @ key.transpose(-1, -2)).softmax(-1)) @ value

    fused = count_flops(lambda: F.scaled_dot_product_attention(query, key, value))
    assert fused == count_flops(plainly) > 0


def test_fused_attention_backward_computes_the_scores_again():
    query, key, value = (torch.randn(2, 4, 32, 8, requires_grad=True) for _ in range(3))
    product = 2 * 2 * 4 * 32 * 32 * 8
    counted = count_flops(lambda: F.scaled_dot_product_attention(query, key, value).sum().backward())
    assert counted == (2 + 5) * product


def test_what_is_no_matrix_arithmetic_counts_nothing():
    assert count_flops(lambda: torch.randn(10, 10).exp().sum()) == 0
