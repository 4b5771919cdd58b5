# SPDX-License-Identifier: MIT
"""Health and description, as operations: they need no token."""

from service.http import endpoints
from service.http.docs.page import PAGE_HEADERS, page_endpoint
from service.http.dtos import Description, LivenessAnswer, ReadinessAnswer
from service.http.errors import NotReady
from service.http.openapi.operation import Answer, Operation
from service.http.presenter import envelope

SERVICE = (
    Operation(
        id="isAlive",
        method="GET",
        path="/livez",
        endpoint=endpoints.livez,
        tag="Service",
        summary="Is the process alive?",
        needs_token=False,
        answers=(
            Answer(summary="It is.", content=LivenessAnswer, example=envelope({"status": "alive"})),
        ),
    ),
    Operation(
        id="isReady",
        method="GET",
        path="/readyz",
        endpoint=endpoints.readyz,
        tag="Service",
        summary="Is the service ready for requests?",
        needs_token=False,
        answers=(
            Answer(
                summary="It is.",
                content=ReadinessAnswer,
                example=envelope({"checks": {"database": "ok", "schema": "ok"}}),
            ),
        ),
        errors=(NotReady,),
    ),
    Operation(
        id="getDescription",
        method="GET",
        path="/openapi.json",
        endpoint=endpoints.openapi,
        tag="Service",
        summary="This description",
        needs_token=False,
        answers=(
            Answer(
                summary="OpenAPI 3.1.",
                content=Description,
                example=b'{"openapi": "3.1.1"}',
            ),
        ),
    ),
    Operation(
        id="getPage",
        method="GET",
        path="/docs",
        endpoint=page_endpoint(),
        tag="Service",
        summary="A page on which the API can be tried",
        needs_token=False,
        answers=(Answer(summary="The page.", is_html=True, headers=tuple(PAGE_HEADERS)),),
    ),
)
