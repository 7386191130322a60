"""Compiling the C kernel on first use, and normalisation without a compiler."""

import os
import subprocess
import sys

import pytest
import torch

from dacbn.norms import UCBNorm
from dacbn.norms.mixture.kernels import choose, compile_c, cpu
from dacbn.norms.mixture.kernels.compile_c import CompilationError, load_library

needs_compiler = pytest.mark.skipif(
    isinstance(choose.find_kernels("cpu", 3), str), reason="no kernel on this machine"
)
SOURCE = "int answer(void) { return ANSWER; }"


@pytest.fixture
def source(tmp_path, monkeypatch):
    """Write a small C file, to be compiled into a separate cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "small.c"
    path.write_text(SOURCE)
    return path


@pytest.fixture
def fresh_kernels(monkeypatch):
    """Forget which kernels were found, before and after a test."""
    choose.find_kernels.cache_clear()
    yield
    choose.find_kernels.cache_clear()


def libraries():
    return sorted(compile_c.cache_folder().glob("*.so"))


@needs_compiler
def test_a_library_is_compiled_once(source, monkeypatch):
    assert load_library(source, "ANSWER=42").answer() == 42
    monkeypatch.setattr(subprocess, "run", None)
    assert load_library(source, "ANSWER=42").answer() == 42
    assert len(libraries()) == 1


@needs_compiler
@pytest.mark.parametrize("change", ["source", "header", "definition", "processor", "compiler"])
def test_a_change_of_anything_it_depends_on_compiles_another_library(
    source, monkeypatch, tmp_path, change
):
    load_library(source, "ANSWER=42")
    if change == "source":
        source.write_text(SOURCE + "\n")
    if change == "header":
        source.with_name("small_part.h").write_text("/* perhaps included */")
    if change == "processor":
        monkeypatch.setattr(compile_c, "_processor", lambda: "another")
    if change == "compiler":
        wrapper = tmp_path / "my-cc"
        wrapper.write_text(f'#!/bin/sh\nexec {compile_c.find_compiler()} "$@"\n')
        wrapper.chmod(0o755)
        monkeypatch.setenv("CC", str(wrapper))
    answer = 43 if change == "definition" else 42
    assert load_library(source, f"ANSWER={answer}").answer() == answer
    assert len(libraries()) == 2


@needs_compiler
@pytest.mark.parametrize("damage", [b"", b"not a library", None])
def test_a_damaged_library_is_compiled_again(source, damage):
    load_library(source, "ANSWER=42")
    (path,) = libraries()
    whole = path.read_bytes()
    path.unlink()  # it is loaded, and writing into it would crash this process
    path.write_bytes(whole[:-8] if damage is None else damage)
    assert load_library(source, "ANSWER=42").answer() == 42
    assert path.read_bytes() == whole


@needs_compiler
def test_options_unknown_to_the_compiler_are_left_out(source, monkeypatch):
    monkeypatch.setattr(compile_c, "EXTRA_FLAGS", (("-march=no-such-processor",), ()))
    assert load_library(source, "ANSWER=42").answer() == 42


@needs_compiler
def test_two_processes_may_compile_at_once(source):
    program = (
        "import importlib.util, pathlib, sys\n"
        "spec = importlib.util.spec_from_file_location('compile_c', sys.argv[1])\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
        "print(module.load_library(pathlib.Path(sys.argv[2]), 'ANSWER=42').answer())\n"
    )
    command = [sys.executable, "-c", program, compile_c.__file__, str(source)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0] for process in both] == ["42\n", "42\n"]
    assert len(libraries()) == 1
    assert sorted(path.suffix for path in compile_c.cache_folder().iterdir()) == [".sha256", ".so"]


@needs_compiler
def test_an_error_in_the_source_is_reported(source):
    source.write_text("int answer(void) { return }")
    with pytest.raises(CompilationError, match=r"failed: .*error"):
        load_library(source)


def test_a_cache_folder_of_another_user_is_refused(source, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: -1)
    with pytest.raises(CompilationError, match="belongs to another user"):
        load_library(source)


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o707])
def test_a_cache_folder_that_others_can_write_is_refused(source, tmp_path, mode):
    folder = compile_c.cache_folder()
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(mode)
    with pytest.raises(CompilationError, match="can be written by others: remove it, or chmod"):
        load_library(source)


def no_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)


def no_cache(monkeypatch, tmp_path):
    (tmp_path / "a file").write_text("where a folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a file"))


def switched_off(monkeypatch, tmp_path):
    monkeypatch.setenv("DACBN_KERNEL", "plain")


@pytest.mark.parametrize(
    ("obstacle", "reason"),
    [
        (no_compiler, "no C compiler found"),
        (no_cache, "a file"),
        (switched_off, "DACBN_KERNEL=plain"),
    ],
)
def test_without_a_library_layers_work_and_the_reason_is_reported(
    monkeypatch, tmp_path, fresh_kernels, obstacle, reason
):
    obstacle(monkeypatch, tmp_path)
    backend, why = choose.kernel_status()
    assert backend == "plain torch"
    if obstacle is not no_cache or "no C compiler" not in why:
        assert reason in why
    y = UCBNorm(4)(torch.randn(32, 4) * 5 + 3)
    assert y.mean(0).abs().max() < 0.3 and y.std(0).min() > 0.5


@needs_compiler
def test_with_a_library_its_origin_is_reported():
    backend, where = choose.kernel_status()
    assert backend == "fused C kernel" and str(compile_c.cache_folder()) in where


def test_torch_normalises_by_too_many_components():
    assert choose.kernel_status("cpu", 17) == ("plain torch", "more than 16 components")


def test_the_source_comes_with_the_package():
    assert cpu.SOURCE.is_file()
