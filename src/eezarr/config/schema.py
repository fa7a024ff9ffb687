"""One JSON Schema for job files of all kinds: editors know a file by its name, not by the command it is for."""

from __future__ import annotations

import json
from typing import TypeAlias

from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from eezarr.config.jobs import ExportJob, Job
from eezarr.config.samples import SamplesJob

__all__ = ["json_schema"]

Schema: TypeAlias = dict[str, object]


def json_schema() -> str:
    """Return the JSON Schema of a job file: with `[samples]` one of `eezarr samples`, else of `fetch` or `export`."""
    kinds = (Job, ExportJob, SamplesJob)
    _, shared = models_json_schema([(kind, "validation") for kind in kinds])
    sections = shared["$defs"]
    jobs = {kind: sections.pop(kind.__name__) for kind in kinds}
    stores = [jobs[kind]["properties"]["store"] for kind in (Job, SamplesJob)]
    properties = {name: value for kind in reversed(kinds) for name, value in jobs[kind]["properties"].items()}
    schema: Schema = {
        "$schema": GenerateJsonSchema.schema_dialect,
        "title": "Job",
        "description": "A job file of eezarr.",
        "type": "object",
        "additionalProperties": False,
        "properties": {**properties, "store": {"anyOf": stores}},
        "oneOf": [{"required": ["image"]}, {"required": ["collection"]}],
        "anyOf": [{"required": ["output"]}, {"required": ["export"]}],
        "if": {"required": ["samples"]},
        "then": {"properties": {"store": stores[1], "grid": False, "export": False}, "required": ["output"]},
        "else": {"properties": {"store": stores[0]}, "required": ["grid"]},
        "$defs": sections,
    }
    return json.dumps(schema, indent=2)
