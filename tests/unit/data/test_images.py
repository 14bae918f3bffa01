"""Images arrive upright, uint8 and with three channels, or with a message that names the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from vesselbench.data.images import image_size, read_image
from vesselbench.errors import UserError

PIXELS = np.random.default_rng(0).integers(0, 256, (10, 14, 3), dtype=np.uint8)


def test_rgb_pixels_come_back_and_may_be_written_to(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "i.png")
    image = read_image(tmp_path / "i.png")
    assert np.array_equal(image, PIXELS)
    assert image.flags.writeable
    assert image.flags.c_contiguous


def test_grey_pixels_get_three_equal_channels(tmp_path: Path) -> None:
    Image.fromarray(PIXELS[..., 0]).save(tmp_path / "i.png")
    assert np.array_equal(read_image(tmp_path / "i.png"), PIXELS[..., :1].repeat(3, axis=2))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(PIXELS).save(tmp_path / "i.png", exif=exif)
    image = read_image(tmp_path / "i.png")
    assert image.shape[:2] == ((14, 10) if orientation >= 5 else (10, 14))
    assert image_size(tmp_path / "i.png") == image.shape[:2]


def test_the_exif_orientation_turns_the_right_way(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    Image.fromarray(PIXELS).save(tmp_path / "i.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "i.png"), np.rot90(PIXELS, -1))


@pytest.mark.parametrize(("dtype", "name"), [(np.uint16, "i.png"), (np.int32, "i.tif"), (np.float32, "i.tif")])
def test_deep_grey_images_are_mapped_from_their_own_range(tmp_path: Path, dtype: type, name: str) -> None:
    values = np.array([[100, 200], [300, 4095]], dtype=dtype)
    Image.fromarray(values).save(tmp_path / name)
    expected = np.rint((values.astype(float) - 100) / 3995 * 255)
    assert np.array_equal(read_image(tmp_path / name)[..., 1], expected)


def test_a_constant_deep_image_is_black(tmp_path: Path) -> None:
    Image.fromarray(np.full((3, 4), 900, dtype=np.uint16)).save(tmp_path / "i.png")
    assert not read_image(tmp_path / "i.png").any()


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, np.nan]], dtype=np.float32)).save(tmp_path / "i.tif")
    with pytest.raises(UserError, match="not finite"):
        read_image(tmp_path / "i.tif")


def test_an_opaque_alpha_channel_is_dropped_and_a_real_one_refused(tmp_path: Path) -> None:
    image = Image.fromarray(PIXELS).convert("RGBA")
    image.save(tmp_path / "i.png")
    assert np.array_equal(read_image(tmp_path / "i.png"), PIXELS)
    image.putpixel((0, 0), (1, 2, 3, 4))
    image.save(tmp_path / "j.png")
    with pytest.raises(UserError, match="transparent"):
        read_image(tmp_path / "j.png")


def test_a_palette_image_shows_its_colours(tmp_path: Path) -> None:
    image = Image.new("P", (4, 3), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.save(tmp_path / "i.png")
    assert (read_image(tmp_path / "i.png") == (10, 20, 30)).all()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing\.png does not exist"):
        read_image(tmp_path / "nothing.png")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_no_image_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "i.png").write_bytes(content)
    with pytest.raises(UserError, match=r"i\.png"):
        read_image(tmp_path / "i.png")


@pytest.mark.parametrize("name", ["i.png", "i.jpg", "i.tif", "i.bmp"])
def test_a_truncated_file_is_named(tmp_path: Path, name: str) -> None:
    Image.fromarray(PIXELS).save(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=name):
        read_image(tmp_path / name)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 400), st.binary(min_size=1, max_size=8))
def test_any_damage_to_a_png_is_a_user_error_or_an_image(tmp_path: Path, place: int, noise: bytes) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "i.png")
    content = bytearray((tmp_path / "i.png").read_bytes())
    content[place : place + len(noise)] = noise
    (tmp_path / "d.png").write_bytes(content)
    try:
        image = read_image(tmp_path / "d.png")
    except UserError:
        return
    assert image.dtype == np.uint8


@pytest.mark.parametrize("factor", [1.5, 3.0])
def test_a_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", int(140 / factor))
    Image.fromarray(PIXELS).save(tmp_path / "i.png")
    with pytest.raises(UserError, match="million pixels"):
        read_image(tmp_path / "i.png")


def test_several_frames_are_refused(tmp_path: Path) -> None:
    frames = [Image.fromarray(PIXELS + step) for step in range(3)]
    frames[0].save(tmp_path / "i.tif", save_all=True, append_images=frames[1:])
    with pytest.raises(UserError, match="several frames"):
        read_image(tmp_path / "i.tif")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_png_that_is_cut_short_is_called_that_not_damaged_exif(tmp_path: Path, share: float) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "i.png")
    whole = (tmp_path / "i.png").read_bytes()
    (tmp_path / "i.png").write_bytes(whole[: int(len(whole) * share)])
    for read in (image_size, read_image):
        with pytest.raises(UserError, match="cut short") as caught:
            read(tmp_path / "i.png")
        assert "EXIF" not in caught.value.message


def png_chunks(path: Path) -> list[tuple[bytes, bytes]]:
    """(kind, whole chunk) of a PNG, in order."""
    content, at, found = path.read_bytes(), 8, []
    while at < len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        found.append((content[at + 4 : at + 8], content[at:end]))
        at = end
    return found


@pytest.mark.parametrize("behind", [False, True])
def test_the_orientation_of_a_png_is_found_before_and_behind_its_pixels(tmp_path: Path, behind: bool) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PIXELS).save(tmp_path / "i.png", exif=exif)
    chunks = png_chunks(tmp_path / "i.png")
    if behind:
        told = next(chunk for chunk in chunks if chunk[0] == b"eXIf")
        chunks = [*(chunk for chunk in chunks if chunk[0] not in (b"eXIf", b"IEND")), told, chunks[-1]]
    (tmp_path / "j.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk for _, chunk in chunks))
    assert image_size(tmp_path / "j.png") == (PIXELS.shape[1], PIXELS.shape[0])


def test_the_size_of_a_png_is_read_without_its_pixels(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "i.png")
    damaged = [
        chunk[:8] + bytes(len(chunk) - 8) if kind == b"IDAT" else chunk
        for kind, chunk in png_chunks(tmp_path / "i.png")
    ]
    (tmp_path / "j.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(damaged))
    assert image_size(tmp_path / "j.png") == PIXELS.shape[:2]
    with pytest.raises(UserError, match="cut short or damaged"):
        read_image(tmp_path / "j.png")
