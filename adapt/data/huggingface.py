"""What Hugging Face `datasets` writes about columns into a .parquet file's schema: types and class names."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from adapt.data.members import shown

KEY = b"huggingface"


def read_features(schema: Any) -> Mapping[str, Any]:
    """Column -> {"_type": "Image" | "ClassLabel" | ..., "names": [...]} of a pyarrow schema.

    Only a hint that makes columns easier to find: what is not as `datasets` writes it counts as not there.
    """
    try:
        features = json.loads((schema.metadata or {})[KEY])["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return features if isinstance(features, dict) else {}


def features_of(features: Mapping[str, Any], kind: str) -> Iterator[str]:
    """Columns of this `_type`."""
    for name, feature in features.items():
        if isinstance(feature, dict) and feature.get("_type") == kind:
            yield name


def class_names(features: Mapping[str, Any], column: str) -> tuple[str, ...]:
    """Of a column of class labels; empty where there are none."""
    if column not in features_of(features, "ClassLabel"):
        return ()
    names = features[column].get("names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return ()
    return tuple(map(shown, names))
