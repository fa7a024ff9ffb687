"""Fuzzes what reads refusals and metadata: whatever a service or a proxy says becomes one of our errors, bounded.

    python tests/fuzz/fuzz_classifier.py classify [--seconds 60]    an answer other than 200
    python tests/fuzz/fuzz_classifier.py asset                      the JSON of an asset
    python tests/fuzz/fuzz_classifier.py info                       the JSON that describes an expression's image

With atheris (`pip install atheris`) coverage guides it; further options are libFuzzer's.
"""

import json
import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from driving import MIB, Bounded, drive, require_bounded

from eezarr.earthengine.catalogue import parse_asset, parse_image_info
from eezarr.earthengine.secret import Secret
from eezarr.earthengine.status import classify
from eezarr.emulator.world import SyntheticWorld
from eezarr.errors import AccessDenied, BadBody, InvalidInput, Retryable, ServiceRefusal

STATUSES = (300, 302, 400, 401, 403, 404, 408, 413, 429, 500, 502, 503, 504, 505, 599, 999)
SECRET = "ya29.top-secret-token"
SCENE = "projects/earthengine-public/assets/COPERNICUS/S2/20170430T190351_20170430T190351_T10SEG"


def classify_answer(data):
    status, retry_after, body = STATUSES[data[0] % len(STATUSES)] if data else 500, data[1:12], data[12:]
    header = retry_after.decode("latin-1")
    with Bounded(8 * MIB + 64 * len(data)):
        secret = Secret(SECRET)
        error = classify(status, {"Retry-After": header}, body, request="computePixels", now_s=1e9, secret=secret)
    assert isinstance(error, (AccessDenied, ServiceRefusal, Retryable)), error
    assert error.hint
    assert len(str(error)) < 2000, "a message without a bound"
    assert str(error).isprintable()
    assert SECRET not in str(error)
    waited = getattr(error, "retry_after_s", None)
    assert waited is None or (math.isfinite(waited) and waited >= 0)
    for stated in (getattr(error, "stated_bytes", None), getattr(error, "stated_side", None)):
        assert stated is None or stated >= 0


def parse(function, data):
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return
    if not isinstance(document, dict):
        return
    with Bounded(16 * MIB + 64 * len(data)):
        try:
            function(document)
        except (BadBody, InvalidInput) as error:
            require_bounded(error)


def examples():
    details = [{"@type": "x/google.rpc.RetryInfo", "retryDelay": "3.5s"}, {"reason": "SERVICE_DISABLED"}]
    texts = [
        "User memory limit exceeded.",
        "Computation timed out.",
        "Total request size (50331700 bytes) must be less than or equal to 50331648 bytes.",
        "Pixel grid dimensions (40000x40000) must be less than or equal to 32768.",
        "Quota exceeded for quota metric 'Read requests'",
        "Too many concurrent aggregations.",
        f"Invalid token {SECRET}",
        "Image.select: Band pattern 'B22' did not match any bands.",
    ]
    bodies = [json.dumps({"error": {"code": 400, "message": text, "details": details}}) for text in texts]
    bodies += [
        "<html><head><style>x</style></head>502</html>",
        "[" * 4000,
        '{"error": [1]}',
        "<" * 3000,
        "&#99999999;" * 9,
    ]
    heads = [bytes([number]) + delay for number in range(16) for delay in (b"3".ljust(11), b"Wed, 21 Oct", b"9" * 11)]
    return [head + body.encode() for head in heads for body in bodies]


def main():
    world = SyntheticWorld()
    asset = [json.dumps(world.asset(name)).encode() for name in (SCENE, "projects/eezarr/assets/mixed")]
    info = [json.dumps(world.image(name).info()).encode() for name in (SCENE, "projects/eezarr/assets/mixed")]
    small = [
        b'{"name": "projects/p/assets/a", "type": "IMAGE", "bands": [{"id": "b"}]}',
        b'{"type": "Image", "bands": [{}]}',
    ]
    drive(
        {
            "classify": classify_answer,
            "asset": lambda data: parse(parse_asset, data),
            "info": lambda data: parse(parse_image_info, data),
        },
        seeds={"classify": examples(), "asset": asset + small, "info": info + small},
        modules=["eezarr.earthengine.status", "eezarr.earthengine.refusals", "eezarr.earthengine.catalogue"],
        description=__doc__,
    )


if __name__ == "__main__":
    main()
