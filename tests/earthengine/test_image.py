"""What is read, and how it is named."""

from __future__ import annotations

import pytest

from eezarr.earthengine.image import Image
from eezarr.errors import InvalidInput
from eezarr.plan import COMPUTE_PIXELS_LIMITS, GET_PIXELS_LIMITS

EXPRESSION = {"values": {"0": {"constantValue": 1}}, "result": "0"}


def test_an_asset_is_read_with_get_pixels():
    image = Image.asset("COPERNICUS/S2/X", bands=["B4", "B8"])
    assert (image.method, image.limits, image.bands) == ("getPixels", GET_PIXELS_LIMITS, ("B4", "B8"))
    assert image.key == "getPixels:projects/earthengine-public/assets/COPERNICUS/S2/X"
    assert image == Image.asset("projects/earthengine-public/assets/COPERNICUS/S2/X", ("B4", "B8"), "getPixels")


def test_an_asset_can_be_computed():
    image = Image.asset("A/B", method="computePixels")
    assert (image.method, image.limits) == ("computePixels", COMPUTE_PIXELS_LIMITS)
    assert image.asset_name == "projects/earthengine-public/assets/A/B"
    assert '"Image.load"' in image.key
    assert image.key != Image.asset("A/B").key


def test_an_expression_is_computed_and_its_key_has_no_bands():
    image = Image.expression(EXPRESSION, bands=["a"])
    assert image.method == "computePixels"
    assert image.key == Image.expression(EXPRESSION).key
    assert len({image, Image.expression(EXPRESSION, ["a"])}) == 1


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (Image, "of nothing"),
        (lambda: Image.asset("A", "B4"), "not a list"),
        (lambda: Image.asset("A", []), "no bands"),
        (lambda: Image.asset("A", [""]), "no bands"),
        (lambda: Image.asset("A", ["B4", "B4"]), "named twice"),
        (lambda: Image.asset("A", None, "thumbnail"), "no method"),
        (lambda: Image.asset("../x"), "not an asset id"),
        (lambda: Image.expression({}), "The expression"),
    ],
)
def test_what_cannot_be(make, says):
    with pytest.raises(InvalidInput, match=says):
        make()
