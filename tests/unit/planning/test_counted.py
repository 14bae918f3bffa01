from __future__ import annotations

import pytest

from vesselbench.planning.counted import count_costs
from vesselbench.plugins import load_catalogue
from vesselbench.recipes import load_recipe


@pytest.fixture(scope="module")
def costs(tmp_path_factory):
    """Costs of tiny Sa2VA with attention by one fused kernel, and by matrix products that torch counts by itself."""
    catalogue, root = load_catalogue(), tmp_path_factory.mktemp("phantom")
    data = [f"data.root={root}", "data.options.images=6", "data.options.size=64"]

    def of(kind):
        recipe, _ = load_recipe("sa2va", catalogue, overrides=[*data, f"model.attention={kind}"])
        return count_costs(recipe, catalogue)[1]

    return {kind: of(kind) for kind in ("sdpa", "eager")}


def test_a_fused_kernel_of_attention_costs_the_products_that_it_stands_for(costs):
    assert costs["sdpa"].flops_forward == costs["eager"].flops_forward > 0
