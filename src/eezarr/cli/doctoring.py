"""`eezarr doctor`: what stands between this machine and Earth Engine, line by line."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from eezarr.api.loops import run_to_end
from eezarr.config import FetchOptions
from eezarr.earthengine.diagnosis import diagnose

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["print_diagnosis"]


def print_diagnosis(*, project: str | None, credentials: Path | None, api_url: str | None, as_json: bool) -> None:
    """Print each finding, good or bad; leaves with the exit code of the first bad one.

    Raises:
        SystemExit: If one is bad.
    """
    url = api_url or FetchOptions.model_validate({}).api_url
    findings = run_to_end(diagnose(project=project, credentials=credentials, api_url=url, environ=os.environ))
    code = next((finding.exit_code for finding in findings if not finding.is_good), 0)
    if as_json:
        facts = [asdict(finding) for finding in findings]
        sys.stdout.write(json.dumps({"good": code == 0, "exit_code": code, "findings": facts}) + "\n")
    else:
        for finding in findings:
            sys.stdout.write(f"{'good' if finding.is_good else 'BAD '} {finding.subject}: {finding.text}\n")
            if finding.mend:
                sys.stdout.write(f"     mend: {finding.mend}\n")
    if code:
        sys.exit(code)
