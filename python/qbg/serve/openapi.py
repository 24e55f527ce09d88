"""The OpenAPI document, of the table that requests are read with. Must not know how they are answered."""

from __future__ import annotations

from typing import Any

import qbg
from qbg.serve.settings import Settings
from qbg.serve.wishes import MEDIA, WISHES

BINARY = {"type": "string", "format": "binary"}
KEYS: list[dict[str, list[str]]] = [{"bearer": []}, {"header": []}]

FIELDS = "The parameters may be fields of the form too, and go before those of the query."

DOCS = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>qbg: the HTTP interface</title><link rel="icon" href="/page/icon.svg">
<link rel="stylesheet" href="/page/style.css">
<script type="module" src="/page/docs.js"></script></head>
<body class="docs"><main id="docs"><h1>qbg</h1>
<p>The document itself: <a href="/openapi.json">openapi.json</a></p>
</main></body></html>
"""
"""A page that reads the document and lists it; no script from elsewhere."""


def document(settings: Settings) -> dict[str, Any]:
    """OpenAPI 3.1."""
    model = {"type": "string", "enum": list(settings.models), "default": settings.models[0]}
    options = {wish.name: {**wish.schema, "description": wish.about} for wish in WISHES}
    parameters = [
        {"name": name, "in": "query", "required": False, "schema": schema}
        for name, schema in {"model": model, **options}.items()
    ]
    picture = {media: {"schema": BINARY} for media in MEDIA.values()}
    body = {
        **{f"image/{kind}": {"schema": BINARY} for kind in ("jpeg", "png", "webp", "tiff", "bmp", "gif")},
        "application/octet-stream": {"schema": BINARY},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["image"],
                "properties": {"image": BINARY, "background_image": BINARY},
                "description": FIELDS,
                "additionalProperties": False,
            }
        },
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["image"],
                "properties": {
                    "image": {"type": "string", "contentEncoding": "base64"},
                    "model": model,
                    **options,
                },
                "additionalProperties": False,
            }
        },
    }
    cutout = {
        "summary": "Cut the subject out of one picture.",
        "operationId": "cutout",
        "parameters": parameters,
        "requestBody": {"required": True, "content": body},
        "responses": {
            "200": {
                "description": "The cut-out, or the mask.",
                "headers": {"Server-Timing": {"schema": {"type": "string"}, "description": "Time by stage."}},
                "content": {**picture, "application/json": {"schema": {"$ref": "#/components/schemas/Made"}}},
            },
            **_problems(400, 401, 406, 408, 413, 415, 422, 429, 503, 504),
        },
    }
    batch = {
        "summary": "Cut the subjects out of many pictures; what fails is told in errors.json.",
        "operationId": "batch",
        "parameters": parameters,
        "requestBody": {
            "required": True,
            "content": {
                "application/zip": {"schema": BINARY},
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["images"],
                        "properties": {"images": {"type": "array", "items": BINARY, "minItems": 1}},
                        "description": FIELDS,
                        "additionalProperties": False,
                    }
                },
            },
        },
        "responses": {
            "200": {
                "description": "A stream of files.",
                "content": {"application/zip": {"schema": BINARY}, "multipart/mixed": {"schema": BINARY}},
            },
            **_problems(400, 401, 408, 413, 415, 422, 429, 503, 504),
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "qbg",
            "version": qbg.__version__,
            "summary": "Removes the background of photos.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": {
            "/v1/cutout": {"post": cutout},
            "/v1/batch": {"post": batch},
            "/healthz": {"get": _plain("healthz", "Whether the process answers.", 200)},
            "/readyz": {"get": _plain("readyz", "Whether it takes work.", 200, 503)},
        },
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
            },
            "schemas": {"Made": MADE, "Problem": PROBLEM},
        },
        **({"security": KEYS} if settings.keys else {}),
    }


MADE = {
    "type": "object",
    "required": ["image", "format", "model", "stage_ms", "warnings"],
    "properties": {
        "image": {"type": "string", "contentEncoding": "base64"},
        "format": {"type": "string", "enum": list(MEDIA)},
        "model": {"type": "string"},
        "stage_ms": {"type": "object", "additionalProperties": {"type": "number"}},
        "warnings": {"type": "array", "items": {"type": "string"}},
    },
}

PROBLEM = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "hint": {"type": "string"},
            },
        }
    },
}

WORDS = {
    400: "A parameter or the body isn't what it has to be.",
    401: "No key, or an unknown one.",
    406: "No such kind of answer.",
    408: "The body came too slowly.",
    413: "Too large.",
    415: "No such kind of body.",
    422: "Not a picture that can be read.",
    429: "The queue is full, or the key asks too often: Retry-After says when to come again.",
    503: "No memory is left, or the server is going.",
    504: "Not done before the deadline.",
}


def _problems(*statuses: int) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    found = {}
    for status in statuses:
        found[str(status)] = {"description": WORDS[status], "content": content}
        if status == 429:
            found["429"]["headers"] = {"Retry-After": {"schema": {"type": "string"}}}
    return found


def _plain(name: str, summary: str, *statuses: int) -> dict[str, Any]:
    schema = {"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}}
    content = {"application/json": {"schema": schema}}
    return {
        "summary": summary,
        "operationId": name,
        "security": [],
        "responses": {str(status): {"description": summary, "content": content} for status in statuses},
    }
