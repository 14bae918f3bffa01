"""Images per second from files to pixels: image and mask decoded."""

from __future__ import annotations

from vesselbench.data.read import load_example


def decode_all(samples) -> int:
    return sum(load_example(sample).size[0] for sample in samples)


def bench_decode(benchmark, note, dataset):
    samples = dataset.of("train")
    benchmark.pedantic(decode_all, args=(samples,), rounds=5, warmup_rounds=1)
    note(len(samples), dtype="uint8")
