"""Images per second from files to pixels: image and mask decoded."""

from __future__ import annotations

from vesselbench.data.read import load_example


def bench_decode(timed, dataset):
    samples = dataset.of("train")
    timed(lambda: [load_example(sample) for sample in samples], samples=len(samples), data=1.0)
