"""JSON Schema of a run's configuration, with the strategies that are installed: editors complete and check it."""

from __future__ import annotations

from typing import Any

from dataflex_core.catalog import Catalog, Record
from dataflex_core.config.params import describe, json_schema
from dataflex_core.config.plain import plain
from dataflex_core.config.section import SECTION, DataflexConfig
from dataflex_core.errors import StrategyFault
from dataflex_core.llamafactory.keys import known_keys
from dataflex_core.llamafactory.values import accepted
from dataflex_core.spec import Kind

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]


def document_schema(catalog: Catalog) -> Schema:
    """Of a whole file: our section, and LLaMA-Factory's keys by name, with their types where these are plain."""
    section = section_schema(catalog)
    definitions = section.pop("$defs")
    types = {key: accepted(key) for key in sorted(known_keys() or ())}
    keys = {key: True if known is None else known.json_schema() for key, known in types.items()}
    return {
        "$schema": DIALECT,
        "title": "A LLaMA-Factory training configuration for DataFlex",
        "type": "object",
        "properties": {**keys, SECTION: {"anyOf": [section, {"type": "null"}]}},
        "additionalProperties": True,
        "$defs": definitions,
    }


def section_schema(catalog: Catalog) -> Schema:
    """Of the ``dataflex:`` section, its references resolved by ``$defs`` at the root."""
    definitions: Schema = {}
    made = _of_dataclass(DataflexConfig, "", definitions)
    properties = made["properties"]
    # What `load._validated` makes of "4x" before pydantic sees it.
    properties["candidates"]["anyOf"].append({"type": "string", "pattern": r"^\s*[\d.]+\s*[x×]\s*$"})
    del definitions["StrategyChoice"]
    for kind in Kind:
        definitions[kind.value] = _choice(kind, catalog, definitions)
        one: Schema = {"$ref": f"#/$defs/{kind.value}"}
        if kind is Kind.WEIGHTER:
            several = {"type": "array", "minItems": 1, "items": {**one, "not": {"type": "null"}}}
            one = {"anyOf": [one, several]}
        properties[kind.value] = {"description": properties[kind.value]["description"], **one}
    return {**made, "title": "DataFlex", "$defs": definitions}


def _choice(kind: Kind, catalog: Catalog, definitions: Schema) -> Schema:
    """Null, the name of a strategy that needs no parameter, or a name with parameters."""
    ambiguous = catalog.ambiguous()
    alone, arms = [], []
    for record in catalog.of_kind(kind):
        names = [record.id] if record in ambiguous else [record.spec.name, record.id]
        arm = _strategy(record, names, definitions)
        arms.append(arm)
        if arm["required"] == ["name"]:
            alone.extend(names)
    known = [name for arm in arms for name in arm["properties"]["name"]["enum"]]
    return {
        "anyOf": [
            {"type": "null"},
            {"enum": alone},
            {"type": "object", "properties": {"name": {"enum": known}}, "required": ["name"], "oneOf": arms},
        ]
    }


def _strategy(record: Record, names: list[str], definitions: Schema) -> Schema:
    prefix = f"{record.spec.kind}.{record.distribution}.{record.spec.name}."
    name = {"enum": names, "description": record.spec.summary}
    try:
        params = record.load_params()
        made = _of_dataclass(params, prefix, definitions) if params is not None else {"properties": {}}
    except StrategyFault as error:
        # One that does not load spoils no other: its parameters are not known.
        return {"description": str(error), "properties": {"name": name}, "required": ["name"]}
    return {
        "title": f"{record.spec.kind} {record.spec.name}",
        "description": record.spec.summary,
        "properties": {"name": name, **made["properties"]},
        "required": ["name", *made.get("required", ())],
        "additionalProperties": False,
    }


def _of_dataclass(params: type[Any], prefix: str, definitions: Schema) -> Schema:
    """Its fields, described by their `Doc`; what they refer to goes into ``definitions`` under ``prefix``."""
    known = describe(params)
    made = json_schema(params, ref_template=f"#/$defs/{prefix}{{model}}")
    definitions.update({f"{prefix}{name}": inner for name, inner in made.pop("$defs", {}).items()})
    if "$ref" in made:  # a dataclass that refers to itself
        made = dict(definitions[made["$ref"].removeprefix("#/$defs/")])
    properties = {p.name: {**made["properties"][p.name]} for p in known}
    for parameter in known:
        properties[parameter.name].pop("title", None)
        if "default" in properties[parameter.name]:
            properties[parameter.name]["default"] = plain(properties[parameter.name]["default"])
        if parameter.help:
            properties[parameter.name]["description"] = parameter.help
    required = [p.name for p in known if p.required]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
