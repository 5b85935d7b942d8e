"""YOURS: the endpoints of the features."""

from fastapi import APIRouter

from app.features.triage import endpoint as triage

ROUTERS: list[APIRouter] = [triage.router]
