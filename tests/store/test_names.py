"""One rule for what a band's array may be called, wherever a store is copied to."""

from __future__ import annotations

import pytest

from eezarr.errors import InvalidInput
from eezarr.store.names import check_node_names

TAKEN = {"x", "y", "time", "mask"}


@pytest.mark.parametrize(
    "names",
    [
        *(["B1", "b1"], ["straße", "STRASSE"], ["aux"], ["AUX.1"], ["con"], ["Com1"], ["lpt9"], ["nul.B1"], ["a:b"]),
        *(["B1."], ["B1 "], [" B1"], ["a/b"], ["a\\b"], ["a*"], ['a"b'], ["a|b"], ["a\tb"], ["a\u202eb"], ["x"]),
        *(["X"], ["Time"], ["mask"], ["__x"], [".zarray"], [""], ["B" * 201], ["e\u0301"], ["\ud800"]),
    ],
)
def test_names_that_some_file_system_would_lose_are_refused_with_the_way_out(names):
    with pytest.raises(InvalidInput, match=r"Rename the band .* or set layout = \"stacked\""):
        check_node_names(["other", *names], taken=TAKEN)


def test_names_as_assets_have_them_are_taken():
    names = [
        "B1",
        "B10",
        "B8A",
        "SR_B4",
        "QA60",
        "Day_view_angl",
        "ndvi mean",
        "é",
        "温度",
        "NDVI-2",
        "B1_1",
        "console",
    ]
    check_node_names([*names, "auxiliary", "temperature_2m", "0", "a.b"], taken=TAKEN)
