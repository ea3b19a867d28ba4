"""Tidy tables from the arrays of shards."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from butterfly.study.runs import Shard


def long(key: pd.DataFrame, axis: np.ndarray, values: Mapping[str, np.ndarray], name: str) -> pd.DataFrame:
    """Rows for every line of `key [K]` and place on `axis [A]`, with `values [K, A]`."""
    repeated = key.loc[key.index.repeat(len(axis))].reset_index(drop=True)
    return repeated.assign(**{name: np.tile(axis, len(key))}, **{k: v.ravel() for k, v in values.items()})


def grid(values: np.ndarray, axes: Mapping[str, Sequence | None], column: str = "value") -> pd.DataFrame:
    """An array as rows, a column an axis, in the order of the axes; an axis without names is numbered from 1."""
    sizes = zip(axes.items(), values.shape, strict=True)
    labels = {name: range(1, size + 1) if own is None else own for (name, own), size in sizes}
    index = pd.MultiIndex.from_product(labels.values(), names=list(labels))
    return pd.DataFrame({column: values.ravel()}, index=index).reset_index()


def stacked(parts: Iterable[Mapping[str, pd.DataFrame]]) -> dict[str, pd.DataFrame]:
    """The tables of several shards, settings or networks as one each, by name."""
    found: dict[str, list[pd.DataFrame]] = {}
    for tables in parts:
        for name, table in tables.items():
            found.setdefault(name, []).append(table)
    return {name: pd.concat(some, ignore_index=True) for name, some in found.items()}


def of_places(column: str, parts: Mapping[str, Mapping[str, pd.DataFrame]]) -> dict[str, pd.DataFrame]:
    """The tables of several settings or networks as one each; `column` says whose a row is."""
    return stacked({k: t.assign(**{column: place}) for k, t in tables.items()} for place, tables in parts.items())


def by_place(shards: Iterable[Shard]) -> dict[str, list[Shard]]:
    """Shards by what they belong to, in order."""
    found: dict[str, list[Shard]] = {}
    for shard in shards:
        found.setdefault(shard.of, []).append(shard)
    return found
