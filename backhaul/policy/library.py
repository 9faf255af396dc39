"""The library: every policy book this release knows, found by version, by reference or by date."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from backhaul.errors import Rejected
from backhaul.facts import BookRef
from backhaul.policy.book import PolicyBook

_OWN = ("version", "effective_from", "title")
"""Fields that a book never takes over from the one it extends."""


class UnknownBook(Rejected):
    """No book has this version, or its content is not the one that was meant (code `unknown_book`)."""

    def __init__(self, version: str, hash_: str | None = None) -> None:
        self.version = version
        self.hash = hash_
        detail = "" if hash_ is None else f" with hash {hash_[:12]}"
        super().__init__("unknown_book", f"no policy book {version}{detail}")


class Library:
    """An immutable set of books, one per version."""

    def __init__(self, books: Iterable[PolicyBook]) -> None:
        self._books: dict[str, PolicyBook] = {}
        for book in books:
            if book.version in self._books:
                raise ValueError(f"policy book {book.version} is given twice")
            self._books[book.version] = book
        # Hashing a book costs a dump of it: once here, not at every look-up.
        self._hashes = {version: book.hash for version, book in self._books.items()}
        dated = [book.effective_from for book in self._books.values() if book.effective_from is not None]
        if len(set(dated)) != len(dated):
            raise ValueError("two policy books take effect at the same moment")

    @classmethod
    def from_documents(cls, documents: Iterable[Mapping[str, Any]]) -> Library:
        """Books from parsed TOML; `extends` may name any of the others."""
        by_version = _index(documents)
        return cls(PolicyBook.from_document(_resolve(version, by_version, ())) for version in by_version)

    @classmethod
    def from_paths(cls, paths: Iterable[Path], packaged: bool = True) -> Library:
        """Books from TOML files, or all `*.toml` of a folder, beside the packaged ones by default."""
        documents = list(_packaged_documents()) if packaged else []
        for path in paths:
            files = sorted(path.glob("*.toml")) if path.is_dir() else [path]
            documents.extend(tomllib.loads(file.read_text(encoding="utf-8")) for file in files)
        return cls.from_documents(documents)

    @property
    def versions(self) -> tuple[str, ...]:
        """All versions, sorted."""
        return tuple(sorted(self._books))

    @property
    def books(self) -> tuple[PolicyBook, ...]:
        """All books, by version."""
        return tuple(self._books[version] for version in self.versions)

    def by_version(self, version: str) -> PolicyBook:
        """The book of a version. Raises UnknownBook."""
        if version not in self._books:
            raise UnknownBook(version)
        return self._books[version]

    def get(self, ref: BookRef) -> PolicyBook:
        """The very book that a decision names. Raises UnknownBook when version or content is another."""
        if self._hashes.get(ref.version) != ref.hash:
            raise UnknownBook(ref.version, ref.hash)
        return self._books[ref.version]

    def current(self, at: datetime) -> PolicyBook:
        """The dated book in force at a moment (with offset). Raises UnknownBook before the first one."""
        if at.tzinfo is None:
            raise ValueError("the moment needs an offset")
        dated = [
            (book.effective_from, book)
            for book in self._books.values()
            if book.effective_from is not None and book.effective_from <= at
        ]
        if not dated:
            raise UnknownBook(f"in force at {at.astimezone(UTC).isoformat()}")
        return max(dated, key=lambda pair: pair[0])[1]


@cache
def load_library(extra: Path | None = None) -> Library:
    """The packaged books, with those of an extra folder or file if given. Read once per process."""
    return Library.from_paths([] if extra is None else [extra])


def _packaged_documents() -> Iterable[dict[str, Any]]:
    folder = resources.files("backhaul.policy") / "books"
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".toml"):
            yield tomllib.loads(file.read_text(encoding="utf-8"))


def _index(documents: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    by_version: dict[str, Mapping[str, Any]] = {}
    for document in documents:
        version = document.get("version")
        if not isinstance(version, str):
            raise ValueError("a policy book without a version")
        if version in by_version:
            raise ValueError(f"policy book {version} is given twice")
        by_version[version] = document
    return by_version


def _resolve(version: str, documents: Mapping[str, Mapping[str, Any]], seen: tuple[str, ...]) -> dict[str, Any]:
    """The full document of a version, with what it takes over from the one it extends."""
    if version in seen:
        raise ValueError(f"policy books extend each other: {' -> '.join((*seen, version))}")
    if version not in documents:
        raise UnknownBook(version)
    document = dict(documents[version])
    parent = document.pop("extends", None)
    if parent is None:
        return document
    inherited = _resolve(parent, documents, (*seen, version))
    for name in _OWN:
        inherited.pop(name, None)
    return _merge(inherited, document)


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged
