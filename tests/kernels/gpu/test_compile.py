"""Every source is compiled for the GPUs that it is meant for; what each kernel takes of them is held in a table."""

import json
import os
from pathlib import Path

import pytest

from shoal.core.errors import PlatformError
from shoal.kernels.gpu import compile
from shoal.kernels.gpu.launch import Source

TABLE = Path(__file__).with_name("resources.json")  # {arch: {dtype: {file: {kernel: [registers, shared, spills]}}}}
TARGETS = [("sm_80", "float32"), ("sm_90a", "float32"), ("sm_90a", "float64")]
FILES = sorted(path.name for path in compile.SOURCES.glob("*.cu"))


@pytest.fixture(autouse=True, scope="module")
def nvrtc():
    try:
        return compile._nvrtc()
    except PlatformError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"NVRTC: {error}")


def resources(file, arch, dtype):
    return {name: [r.registers, r.shared, r.spills] for name, r in compile.cubin(file, arch, dtype).resources().items()}


@pytest.mark.parametrize(("arch", "dtype"), TARGETS)
@pytest.mark.parametrize("file", FILES)
def test_no_kernel_spills_and_all_fit(file, arch, dtype):
    found = resources(file, arch, dtype)
    assert set(found) == set(Source(file).kernels)
    held = json.loads(TABLE.read_text())[arch][dtype][file]
    for name, (registers, shared, spills) in found.items():
        assert (spills == 0 or (dtype == "float64" and spills <= held[name][2])) and shared <= 48 * 1024, name
        assert registers <= held[name][0] + 8 and shared == held[name][1], (
            f"{name}: {found[name]}, the table has {held[name]}"
        )


def test_a_mistake_is_shown_with_its_line(tmp_path, monkeypatch):
    monkeypatch.setattr(compile, "SOURCES", tmp_path)
    (tmp_path / "wrong.cu").write_text('extern "C" __global__ void f(real* y) {\n    y[0] = nothing;\n}\n')
    with pytest.raises(PlatformError) as error:
        compile.cubin("wrong.cu", "sm_80", "float32")
    assert 'identifier "nothing" is undefined' in str(error.value)
    assert "2 | y[0] = nothing;" in str(error.value)


def test_machine_code_is_kept_and_an_edited_header_makes_it_anew(tmp_path, monkeypatch):
    sources, cache = tmp_path / "sources", tmp_path / "cache"
    sources.mkdir(), cache.mkdir()
    monkeypatch.setattr(compile, "SOURCES", sources)
    monkeypatch.setattr(compile, "folder", lambda: cache)
    (sources / "one.cuh").write_text("#define ONE 1\n")
    (sources / "one.cu").write_text('#include "one.cuh"\nextern "C" __global__ void f(real* y) { y[0] = ONE; }\n')
    for number in (1, 1, 2):
        (sources / "one.cuh").write_text(f"#define ONE {number}\n")
        compile.cubin.cache_clear()
        compile.cubin("one.cu", "sm_80", "float32")
    assert len(list(cache.glob("*.cubin"))) == len(list(cache.glob("*.log"))) == 2
