"""Presence of the type 1 and 2 attributes of an IOD, from the Standard's tables that highdicom carries (PS3.3)."""

import json
import pkgutil
from functools import cache
from typing import Any

from pydicom import Dataset


def missing_attributes(dataset: Dataset) -> list[str]:
    """One line per attribute that a mandatory module asks for and that is absent, or empty though of type 1."""
    modules = _table("iod_module_map")[_table("sop_class_iod_map")[str(dataset.SOPClassUID)]]
    findings = []
    for module in modules:
        key = module["key"]
        if module["usage"] != "M" or key in ("multi-frame-functional-groups", "sr-document-content"):
            continue
        if key.endswith("-multi-frame-functional-groups"):
            continue
        for attribute in _table("module_attribute_map")[key]:
            if attribute["type"] in ("1", "2"):
                findings += _lacking(dataset, attribute["path"], attribute["keyword"], attribute["type"], key)
    return findings


def _lacking(dataset: Dataset, path: list[str], keyword: str, kind: str, module: str) -> list[str]:
    if path:
        return [line for item in dataset.get(path[0]) or () for line in _lacking(item, path[1:], keyword, kind, module)]
    if keyword not in dataset:
        return [f"{module}: {keyword} is missing"]
    element = dataset[keyword]
    # A sequence of type 1 has an item; other values are not empty.
    return [f"{module}: {keyword} is empty"] if kind == "1" and element.is_empty else []


@cache
def _table(name: str) -> Any:
    data = pkgutil.get_data("highdicom", f"_standard/{name}.json")
    assert data is not None
    return json.loads(data)
