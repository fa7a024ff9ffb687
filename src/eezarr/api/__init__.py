"""The public verbs: the async client, whole jobs, and the synchronous face over them."""

from eezarr.api.blocking import fetch, plan_job
from eezarr.api.client import Client
from eezarr.api.collecting import FetchedTile
from eezarr.api.jobs import Estimate, JobPlan, resolve_job, run_job

__all__ = ["Client", "Estimate", "FetchedTile", "JobPlan", "fetch", "plan_job", "resolve_job", "run_job"]
