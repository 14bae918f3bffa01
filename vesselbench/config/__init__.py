"""A recipe: what is trained on what, how, and how it is scored. Plain data: typed, storable, diffable."""

from vesselbench.config.augment import AugmentConfig
from vesselbench.config.base import Settings
from vesselbench.config.data import DataConfig, SplitConfig
from vesselbench.config.evaluation import CONVENTIONS, EvalConfig, MetricOptions
from vesselbench.config.recipe import Recipe
from vesselbench.config.train import TrainConfig

__all__ = [
    "CONVENTIONS",
    "AugmentConfig",
    "DataConfig",
    "EvalConfig",
    "MetricOptions",
    "Recipe",
    "Settings",
    "SplitConfig",
    "TrainConfig",
]
