"""The documentation as one HTML page without scripts or anything from elsewhere."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from jinja2 import Environment

from app.server.problem_kinds import ProblemKind

LONGEST_PATTERN = 60
"""Characters of a regular expression that still tell a reader something; else the description must."""


class Row(NamedTuple):
    """A field of a body, or a parameter."""

    name: str
    type: str
    required: bool
    description: str


def render(document: Mapping[str, Any], kinds: Mapping[str, ProblemKind]) -> str:
    """The page of an OpenAPI document and the kinds of problems."""
    groups: dict[str, list[dict[str, Any]]] = {tag["name"]: [] for tag in document["tags"]}
    for path, entry in document["paths"].items():
        for method, operation in entry.items():
            groups[operation["tags"][0]].append({"path": path, "method": method.upper(), **operation})
    return _PAGE.render(
        document=document,
        groups=groups,
        kinds=kinds,
        schemas=document["components"]["schemas"],
        type_of=type_of,
        fields_of=fields_of,
    )


def fields_of(schema: Mapping[str, Any]) -> list[Row]:
    """The members of an object's schema."""
    required = schema.get("required", ())
    return [
        Row(name, type_of(one), name in required, one.get("description", ""))
        for name, one in schema.get("properties", {}).items()
    ]


def type_of(schema: Mapping[str, Any]) -> str:  # noqa: PLR0911  # one a kind of schema
    """A schema in a few words: `integer 1 to 100`, `list of string`, `Tag`."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[1]
    if "allOf" in schema:
        return type_of(schema["allOf"][0])
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return " or ".join(dict.fromkeys(type_of(one) for one in schema[choice]))
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    if "const" in schema:
        return repr(schema["const"])
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"list of {type_of(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {type_of(schema['additionalProperties'])}"
    return " ".join(part for part in (kind, schema.get("format", ""), _bounds(schema)) if part)


def _bounds(schema: Mapping[str, Any]) -> str:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is None and high is None:
        pattern = str(schema.get("pattern", ""))
        return f"matching {pattern}" if 0 < len(pattern) <= LONGEST_PATTERN else ""
    if high is None:
        return f">= {low}"
    return f"<= {high}" if low is None else f"{low} to {high}"


_PAGE = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string("""\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ document.info.title }}</title>
<style>
:root { color-scheme: light dark; --line: #8884; --soft: #8882; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 62rem; padding: 1rem 1.5rem 4rem; }
code, .path { font-family: ui-monospace, monospace; font-size: .92em; }
h2 { border-bottom: 1px solid var(--line); margin-top: 2.5rem; padding-bottom: .3rem; }
details { border: 1px solid var(--line); border-radius: 6px; margin: .6rem 0; padding: 0 1rem; }
summary { cursor: pointer; padding: .6rem 0; }
.method { border-radius: 4px; color: #fff; display: inline-block; font: 700 .75rem ui-monospace, monospace;
  margin-right: .6rem; min-width: 4rem; padding: .15rem 0; text-align: center; background: #5b6470; }
.POST { background: #1c7c3f; } .GET { background: #1f5fa8; } .DELETE { background: #a82a2a; }
.PUT, .PATCH { background: #8a5a00; }
.what { color: #777; margin-left: .6rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: .4rem 0 1rem; width: 100%; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .6rem .3rem 0; text-align: left; vertical-align: top; }
th { font-size: .8rem; font-weight: 600; opacity: .7; }
td:first-child { white-space: nowrap; }
h4 { margin: .8rem 0 .2rem; }
dt { font-weight: 600; margin-top: .8rem; } dd { margin: 0 0 0 1rem; }
:target { background: var(--soft); }
</style>
<h1>{{ document.info.title }} <small>{{ document.info.version }}</small></h1>
<p>The same as data: <a href="/openapi.json"><code>/openapi.json</code></a>. Operations with a scope take
<code>Authorization: Bearer plk_…</code>. Every answer has <code>X-Request-Id</code> and <code>traceparent</code>;
errors are <a href="#problems">problems</a> of RFC 9457.</p>
{% macro table(rows) %}
<div class="scroll"><table><tr><th>Name<th>Type<th>Meaning</tr>
{% for row in rows %}
<tr><td><code>{{ row.name }}</code>{% if row.required %} *{% endif %}<td>{{ row.type }}<td>{{ row.description }}</tr>
{% endfor %}
</table></div>
{% endmacro %}
{% for name, operations in groups.items() %}
<h2>{{ name }}</h2>
{% for one in operations %}
<details id="{{ one.operationId }}">
<summary><span class="method {{ one.method }}">{{ one.method }}</span><span class="path">{{ one.path }}</span>
<span class="what">{{ one.summary }}</span></summary>
{% if one.description %}<p>{{ one.description }}</p>{% endif %}
<p>{% if one["x-scope"] %}Scope: <code>{{ one["x-scope"] }}</code>{% else %}No key needed.{% endif %}</p>
{% if one.parameters %}
<h4>Parameters</h4>
<div class="scroll"><table><tr><th>Name<th>In<th>Type<th>Meaning</tr>
{% for parameter in one.parameters %}
<tr><td><code>{{ parameter.name }}</code>{% if parameter.required %} *{% endif %}<td>{{ parameter.in }}
<td>{{ type_of(parameter.schema) }}{% if parameter.schema.default not in (None, "") %}, default {{ parameter.schema.default }}{% endif %}
<td>{{ parameter.description or parameter.schema.description or "" }}</tr>
{% endfor %}
</table></div>
{% endif %}
{% if one.requestBody %}
{% for media, content in one.requestBody.content.items() %}
<h4>Body: <code>{{ media }}</code>, <a href="#schema-{{ type_of(content.schema) }}">{{ type_of(content.schema) }}</a></h4>
{% endfor %}
{% endif %}
<h4>Answers</h4>
<div class="scroll"><table><tr><th>Status<th>Type<th>Meaning</tr>
{% for status, answer in one.responses.items() %}
{% if status < "400" %}
<tr><td><code>{{ status }}</code><td>{% for media, content in (answer.content or {}).items() %}<code>{{ media }}</code>
{%- if content.schema["$ref"] %}: <a href="#schema-{{ type_of(content.schema) }}">{{ type_of(content.schema) }}</a>{% endif %}
{%- if content.schema.description %}: {{ content.schema.description }}{% endif %}<br>{% endfor %}<td>{{ answer.description }}</tr>
{% else %}
<tr><td><code>{{ status }}</code><td>problem<td>
{% for type in answer.content["application/problem+json"].schema.allOf[1].properties.type.enum %}
<a href="#{{ type[1:] | replace("/", "-") }}"><code>{{ type[10:] }}</code></a>{{ ", " if not loop.last }}
{% endfor %}</tr>
{% endif %}
{% endfor %}
</table></div>
</details>
{% endfor %}
{% endfor %}
<h2>Schemas</h2>
{% for name, schema in schemas.items() %}
<details id="schema-{{ name }}" open><summary><code>{{ name }}</code></summary>
{% if schema.description %}<p>{{ schema.description }}</p>{% endif %}
{% if schema.properties %}{{ table(fields_of(schema)) }}{% else %}<p>{{ type_of(schema) }}</p>{% endif %}
</details>
{% endfor %}
<h2 id="problems">Problems</h2>
<dl>
{% for slug, kind in kinds.items() %}
<dt id="problems-{{ slug }}"><code>/problems/{{ slug }}</code> · {{ kind.status.value }} · {{ kind.title }}</dt>
<dd>{{ kind.meaning }}</dd>
{% endfor %}
</dl>
</html>
""")  # noqa: E501  # HTML
