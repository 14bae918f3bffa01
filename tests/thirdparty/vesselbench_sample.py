"""A plugin from outside: a model, a data set format, a metric and a tracker."""

import numpy as np
import torch
from pydantic import BaseModel

from vesselbench import Sample, hookimpl
from vesselbench.types import MaskFile


class Pixelwise(torch.nn.Conv2d):
    def loss(self, batch):
        logits = self(batch.inputs["image"])[:, 0]
        return {"loss": torch.nn.functional.binary_cross_entropy_with_logits(logits, batch.inputs["mask"])}

    def predict(self, batch):
        return list(torch.sigmoid(self(batch.inputs["image"])[:, 0]))


def collate(examples):
    images = np.stack([example.image for example in examples]).transpose(0, 3, 1, 2)
    masks = np.stack([example.mask for example in examples])
    return {"image": torch.from_numpy(images / np.float32(255)), "mask": torch.from_numpy(masks).float()}


class PixelwiseConfig(BaseModel):
    kernel_size: int = 9


class PixelwiseModel:
    name, Config = "pixelwise", PixelwiseConfig

    def build(self, config, task):
        return Pixelwise(3, 1, config.kernel_size, padding="same")

    def collator(self, config, task):
        return collate


class NumberedPairs:
    name = "numbered"

    def read(self, root, options):
        for image in sorted(root.glob("*-image.png")):
            mask = MaskFile(root / image.name.replace("-image", "-mask"))
            yield Sample(image.stem, image, mask, group=image.name[:2])


class AreaError:
    name, better, version, kind = "area_error", "lower", 1, "none"

    def __call__(self, prediction, example):
        return float(abs(prediction.mask().mean() - example.mask.mean()))


class LossLines:
    name = "loss_lines"

    def start(self, run):
        self.file = run / "loss.txt"

    def log(self, step, values):
        with self.file.open("a") as file:
            file.write(f"{step} {values['loss']}\n" if "loss" in values else "")

    def finish(self, scores):
        self.file.rename(self.file.with_name("loss-complete.txt"))


@hookimpl
def register_models(register):
    register(PixelwiseModel())


@hookimpl
def register_datasets(register):
    register(NumberedPairs())


@hookimpl
def register_metrics(register):
    register(AreaError())


@hookimpl
def register_trackers(register):
    register(LossLines)
