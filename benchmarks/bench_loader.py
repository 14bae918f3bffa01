"""Images per second of the loader from a cold start: every file decoded once, then batches augmented and collated."""

from __future__ import annotations

from vesselbench.data.loader import train_batches
from vesselbench.recipes import model_settings

STEPS = 40


def consume(samples, collate, train) -> int:
    """Open the training set and draw `STEPS` batches; returns the samples drawn."""
    batches = train_batches(samples, collate, train, 0, 1)
    return sum(len(micro.ids) for _, micros in batches for micro in micros)


def bench_loader(benchmark, note, recipe, dataset, catalogue):
    chosen = recipe("unet", f"train.steps={STEPS}")
    plugin, config = model_settings(chosen, catalogue)
    collate = plugin.collator(config, dataset.task)
    drawn = benchmark.pedantic(consume, args=(dataset.of("train"), collate, chosen.train), rounds=5, warmup_rounds=1)
    note(drawn, workers=chosen.train.workers)
