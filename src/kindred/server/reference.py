"""The reference of the API as a page: without scripts, and without any address outside."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from kindred.html.document import html_text

__all__ = ["reference_page"]

HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Kindred: HTTP API</title>
<link rel="stylesheet" href="/assets/styles/base.css">
<link rel="stylesheet" href="/assets/styles/reference.css">
</head>
<body class="reference">
"""

ORDER = ("search", "images", "tags", "library", "duplicates", "map", "jobs", "export", "server")


def reference_page(described: Mapping[str, Any]) -> str:
    """Return a description of the API as HTML: every operation with its parameters, an example and its answer."""
    groups: dict[str, list[tuple[str, str, Mapping[str, Any]]]] = {}
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            groups.setdefault((operation.get("tags") or ["other"])[0], []).append((method.upper(), path, operation))
    names = sorted(groups, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    parts = [HEAD, _intro(str(described["info"]["version"])), _contents(names, groups), "<main>"]
    for name in names:
        parts.append(f'<section aria-labelledby="group-{_anchor(name)}"><h2 id="group-{_anchor(name)}">')
        parts.append(f"{html_text(name.capitalize())}</h2>")
        parts += [_operation(*each, described) for each in groups[name]]
        parts.append("</section>")
    return "".join([*parts, "</main></body></html>\n"])


def _intro(version: str) -> str:
    return (
        f'<header><p><a href="/">Kindred</a> {html_text(version)}</p><h1>HTTP API</h1>'
        "<p>Addresses begin with <code>/api/v1</code>. Requests and answers are JSON, images are sent as the body of a "
        "request or as a file of a form. What goes wrong is answered as a problem (RFC 9457): "
        "<code>title</code>, <code>status</code>, <code>detail</code> and sometimes a <code>hint</code>; 503 names in "
        "<code>Retry-After</code> when to try again. The same as OpenAPI: "
        '<a href="/api/v1/openapi.json">openapi.json</a>. A server with a token takes it as '
        "<code>Authorization: Bearer TOKEN</code>.</p></header>"
    )


def _contents(names: list[str], groups: Mapping[str, list[tuple[str, str, Mapping[str, Any]]]]) -> str:
    rows = "".join(
        f'<li><a href="#group-{_anchor(name)}">{html_text(name.capitalize())}</a> <span>{len(groups[name])}</span></li>'
        for name in names
    )
    return f'<nav aria-label="Groups"><ul>{rows}</ul></nav>'


def _operation(method: str, path: str, operation: Mapping[str, Any], described: Mapping[str, Any]) -> str:
    anchor = _anchor(str(operation["operationId"]))
    text = html_text(str(operation.get("description", "")))
    parts = [
        f'<article id="{anchor}"><h3><a href="#{anchor}"><b class="method">{method}</b> <code>{html_text(path)}</code>',
        f"</a></h3><p>{text}</p>",
    ]
    if parameters := operation.get("parameters"):
        rows = "".join(_parameter(each) for each in parameters)
        parts.append(f"<table><thead><tr><th>Parameter<th>Type<th>Meaning</tr></thead><tbody>{rows}</tbody></table>")
    parts.append(f"<pre><code>{html_text_lines(_command(method, path, operation, described))}</code></pre>")
    parts.append(f"<p>Answers {', '.join(_answers(operation))}.</p></article>")
    return "".join(parts)


def _parameter(parameter: Mapping[str, Any]) -> str:
    schema = parameter.get("schema", {})
    default = f" Default: {json.dumps(schema['default'])}." if schema.get("default") is not None else ""
    text = f"{parameter.get('description') or schema.get('description', '')}{default}"
    cells = f"<code>{html_text(parameter['name'])}</code>", html_text(_type_of(schema)), html_text(text)
    return f"<tr><td>{'<td>'.join(cells)}</tr>"


def _type_of(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " or ".join(_type_of(each) for each in schema["anyOf"] if each.get("type") != "null")
    kind = schema.get("type", "any")
    if kind == "array":
        return f"several: {_type_of(schema.get('items', {}))}"
    return str(kind)


def _command(method: str, path: str, operation: Mapping[str, Any], described: Mapping[str, Any]) -> str:
    """Return a command that sends the request, with the first example of its body."""
    way = "" if method == "GET" else f" -X {method}"
    address = f"http://127.0.0.1:7700{quote(path, safe='/{}')}"
    content = operation.get("requestBody", {}).get("content", {})
    if "application/json" in content:
        example = json.dumps(_example(content["application/json"].get("schema", {}), described), ensure_ascii=False)
        return f"curl{way} {address} \\\n  -H 'Content-Type: application/json' \\\n  -d '{example}'"
    if content:
        return f"curl{way} {address} --data-binary @image.jpg"
    return f"curl{way} {address}"


def _example(schema: Mapping[str, Any], described: Mapping[str, Any]) -> object:
    """Return the first example of a schema, or the empty object."""
    found = schema
    if "$ref" in schema:
        found = described["components"]["schemas"][str(schema["$ref"]).rpartition("/")[2]]
    return next(iter(found.get("examples", [{}])))


def _answers(operation: Mapping[str, Any]) -> Iterator[str]:
    for status, response in operation["responses"].items():
        kinds = []
        for kind, media in response.get("content", {}).items():
            name = str(media.get("schema", {}).get("$ref", "")).rpartition("/")[2]
            kinds.append(f"{name} ({kind})" if name else kind)
        label = "otherwise" if status == "default" else status
        yield f"<b>{label}</b> {html_text(', '.join(kinds) or str(response.get('description', '')))}"


def html_text_lines(text: str) -> str:
    """Escape text of several lines."""
    return "\n".join(map(html_text, text.split("\n")))


def _anchor(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name)
