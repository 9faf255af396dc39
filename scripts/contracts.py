"""An import-linter contract that says what a module may import, not what it may not."""

from __future__ import annotations

import sys
from typing import Any

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class OnlyContract(Contract):
    """`modules` and what is below them, less `except`, import themselves, the library, and `may_import`."""

    type_name = "only"

    modules = fields.ListField(subfield=fields.StringField())
    except_ = fields.ListField(subfield=fields.StringField(), required=False, default=[])
    may_import = fields.ListField(subfield=fields.StringField())

    def __init__(self, name: str, session_options: dict[str, Any], contract_options: dict[str, Any]) -> None:
        options = {("except_" if key == "except" else key): value for key, value in contract_options.items()}
        super().__init__(name, session_options, options)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        own = {module for module in graph.modules if self._within(module, self.modules)}
        own -= {module for module in own if self._within(module, self.except_)}
        unwelcome = sorted(
            (importer, imported)
            for importer in own
            for imported in graph.find_modules_directly_imported_by(importer)
            if imported not in own
            and not self._within(imported, self.may_import)
            and imported.partition(".")[0] not in sys.stdlib_module_names
        )
        lines = [
            (importer, imported, detail["line_number"], detail["line_contents"])
            for importer, imported in unwelcome
            for detail in graph.get_import_details(importer=importer, imported=imported)
        ]
        return ContractCheck(kept=not unwelcome, metadata={"lines": lines})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for importer, imported, line, text in check.metadata["lines"]:
            output.print_error(f"{importer} imports {imported} (line {line}: {text.strip()})", bold=True)
        output.new_line()

    @staticmethod
    def _within(module: str, packages: Any) -> bool:
        return any(module == package or module.startswith(f"{package}.") for package in packages)
