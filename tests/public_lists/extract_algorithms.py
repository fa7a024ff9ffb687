"""Write what the Python package `earthengine-api` says of functions and of the v1alpha methods, as JSON on stdout.

`python extract_algorithms.py > algorithms.json`: the functions that the emulator computes, and all methods. The
package's own tests carry both as data; names, types and whether an argument is optional are kept, descriptions are not.
"""

import importlib.metadata
import json
import sys
from pathlib import Path

import ee

from eezarr.emulator.functions import FUNCTIONS


def methods(resource):
    for method in resource.get("methods", {}).values():
        query = sorted(name for name, facts in method["parameters"].items() if facts["location"] == "query")
        yield method["id"], {"verb": method["httpMethod"], "path": method["path"], "query": query}
    for child in resource.get("resources", {}).values():
        yield from methods(child)


def signature(algorithm):
    arguments = [
        {"name": each["argumentName"], "type": each["type"], "optional": each.get("optional", False)}
        for each in algorithm.get("arguments", [])
    ]
    return {"returns": algorithm["returnType"], "arguments": arguments}


def main():
    folder = Path(ee.__file__).parent / "tests"
    algorithms = json.loads((folder / "algorithms.json").read_text(encoding="utf-8"))["algorithms"]
    discovery = json.loads((folder / "cloud_api_discovery_document.json").read_text(encoding="utf-8"))
    known = {each["name"].removeprefix("algorithms/"): each for each in algorithms}
    lists = {
        "methods": dict(methods(discovery)),
        "functions": {name: signature(known[name]) for name in FUNCTIONS if name in known},
    }
    parts = ['"package": "earthengine-api"', f'"version": "{importlib.metadata.version("earthengine-api")}"']
    parts += ['"license": "Apache-2.0"']
    for kind, entries in lists.items():
        lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(entries[name])}" for name in sorted(entries))
        parts.append(f'"{kind}": {{\n{lines}}}')
    sys.stdout.write("{" + ",\n".join(parts) + "}\n")


main()
