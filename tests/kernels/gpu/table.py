"""Writes resources.json anew, to be looked at before it is committed: python tests/kernels/gpu/table.py"""

import json

from test_compile import FILES, TABLE, TARGETS, resources

if __name__ == "__main__":
    table: dict = {}
    for arch, dtype in TARGETS:
        table.setdefault(arch, {})[dtype] = {file: resources(file, arch, dtype) for file in FILES}
    TABLE.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")
