"""The score of a published data set's second observer, known from the literature: it fixes every convention at once."""

from pathlib import Path

import numpy as np
import pytest

from vesselbench.data.read import load_example
from vesselbench.evaluation.metrics import Dice
from vesselbench.evaluation.score import score
from vesselbench.types import MaskFile, Prediction, Sample

CHASE = Path(__file__).parents[3] / "../shared/data/CHASE_DB1"


@pytest.mark.skipif(not CHASE.is_dir(), reason="the CHASE_DB1 photographs are not in ../shared/data")
def test_the_second_observer_of_chase_db1_scores_its_published_dice_per_image_in_the_field_of_view():
    values = []
    for image in sorted((CHASE / "images").glob("*.jpg")):
        stem = image.stem
        sample = Sample(
            stem,
            image,
            MaskFile(CHASE / "masks" / f"{stem}_1stHO.png"),
            fov=MaskFile(CHASE / "fov" / f"{stem}.gif"),
            observer2=MaskFile(CHASE / "masks_observer2" / f"{stem}_2ndHO.png"),
        )
        example = load_example(sample)
        human = Prediction(stem, example.observer2.astype(np.float32))
        values.append(score(human, example, [Dice()]).values["dice"])
    assert len(values) == 28
    assert np.mean(values) == pytest.approx(0.7774, abs=5e-5)
