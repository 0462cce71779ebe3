"""Tiny random models as llama.cpp's own converter writes them, with what transformers computes with the same weights.

crates/heirloom-model/tests/fixtures/gguf/ gets `NAME.gguf` and `expected.safetensors`: `NAME.{row}.logits`, and the streams
`NAME.{row}.blocks.{layer}.hook_resid_post`. The folder that is converted is what transformers loads, in eager attention; a
quantized file is loaded by transformers' GGUF reader, which dequantizes. The others are loaded by it, too, with the folder's
configuration: what it makes of their weights must be the folder's to the bit.

The converter comes with the source distribution of llama-cpp-python, which holds llama.cpp:

    pip download --no-deps --no-binary llama-cpp-python llama-cpp-python==0.3.36 && tar xzf llama_cpp_python-0.3.36.tar.gz

Usage: make_gguf_fixtures.py llama_cpp_python-0.3.36/vendor/llama.cpp
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging

from fixtures import MODEL_FIXTURES, versions, write_json
from make_family_fixtures import LENGTHS, MIX, SMALL, YARN, draw_weights, plain

FOLDER = MODEL_FIXTURES / "gguf"
LLAMA_CPP = "llama-cpp-python 0.3.36"
# At 8192 tokens and these frequencies the last pair is stretched in part.
LLAMA3 = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
LONG = {"rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0, 1.4, 2.0], "long_factor": [1.5, 4.0, 9.0], "partial_rotary_factor": 0.75}
WHOLE = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1.0}

# By what a converter does otherwise: rows of queries and keys in another order, norms of one more, names, what it leaves out.
CASES = {
    "llama3": ("llama", dict(head_dim=8, max_position_embeddings=64, rope_parameters=LLAMA3)),
    "llama-yarn": ("llama", dict(rope_parameters=YARN, tie_word_embeddings=True)),
    "qwen2": ("qwen2", dict(hidden_size=24, num_attention_heads=3, num_key_value_heads=1, tie_word_embeddings=True)),
    "qwen2-yarn": ("qwen2", dict(rope_parameters=YARN)),
    "qwen3": ("qwen3", dict(hidden_size=32, intermediate_size=32, num_attention_heads=2, num_key_value_heads=1, head_dim=16, rope_parameters=plain(1000000.0))),
    "gemma2": ("gemma2", dict(head_dim=6, query_pre_attn_scalar=6, sliding_window=4, attn_logit_softcapping=2.0, final_logit_softcapping=3.0, tie_word_embeddings=True)),
    "gemma3": ("gemma3_text", dict(num_hidden_layers=7, hidden_size=12, num_attention_heads=2, num_key_value_heads=1, intermediate_size=8, head_dim=6, query_pre_attn_scalar=6, sliding_window=4, tie_word_embeddings=True,
                                   rope_parameters={"sliding_attention": plain(50.0), "full_attention": {"rope_type": "linear", "rope_theta": 1000000.0, "factor": 8.0}})),
    "phi3": ("phi3", dict(hidden_size=24, num_attention_heads=3, num_key_value_heads=1, sliding_window=4, original_max_position_embeddings=48, rope_parameters=WHOLE)),
    "phi3-long": ("phi3", dict(hidden_size=24, num_attention_heads=3, num_key_value_heads=3, max_position_embeddings=96, original_max_position_embeddings=16, rope_parameters=LONG)),
    "olmo2": ("olmo2", dict(num_key_value_heads=1)),
    "olmo3": ("olmo3", dict(layer_types=MIX, sliding_window=4, rope_parameters={"sliding_attention": plain(100.0), "full_attention": YARN})),
}
# Quantized, of those whose rows are whole blocks.
QUANTIZED = {"qwen3-q8_0": ("qwen3", "MOSTLY_Q8_0")}
# transformers' own GGUF reader does not know the others.
READ_BY_TRANSFORMERS = [name for name in CASES if not name.startswith("olmo")]


def load(folder, **more):
    return AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32, **more).eval()


def convert(conversion, gguf, folder, file, ftype):
    """Runs llama.cpp's converter, without words."""
    # Gemma 3's counts the words there.
    words = {"model": {"vocab": {str(n): n for n in range(SMALL["vocab_size"])}}, "added_tokens": []}
    write_json(folder / "tokenizer.json", words)
    hparams = conversion.ModelBase.load_hparams(folder, False)
    kind = conversion.get_model_class(hparams["architectures"][0])

    class Wordless(kind):
        model_arch = kind.model_arch

        def set_vocab(self):
            if "vocab_size" not in str(self.gguf_writer.kv_data):
                self.gguf_writer.add_vocab_size(hparams["vocab_size"])

    with torch.inference_mode():
        Wordless(folder, gguf.LlamaFileType[ftype], file, eager=True).write()


def see(model, row):
    """Logits and the stream after every block but the last, which transformers norms."""
    with torch.no_grad():
        out = model(torch.tensor([row]), use_cache=False, output_hidden_states=True)
    streams = {f"blocks.{layer}.hook_resid_post": x[0].numpy() for layer, x in enumerate(out.hidden_states[1:-1])}
    return {"logits": out.logits[0].numpy(), **streams}


def gap(a, b):
    return max(float(np.abs(a[key] - b[key]).max() / np.abs(b[key]).max()) for key in b)


if __name__ == "__main__":
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    sys.path[1:1] = [str(Path(sys.argv[1]) / "gguf-py"), sys.argv[1]]
    import conversion
    import gguf

    FOLDER.mkdir(parents=True, exist_ok=True)
    rows = [np.random.default_rng(3000 + n).integers(3, 61, length).tolist() for n, length in enumerate(LENGTHS)]
    tensors, reread = {}, {}
    for seed, (name, (family, settings)) in enumerate(CASES.items()):
        with tempfile.TemporaryDirectory() as scratch:
            # Its name goes into the file.
            folder = Path(scratch) / name
            config = AutoConfig.for_model(family, **(SMALL | settings))
            draw_weights(AutoModelForCausalLM.from_config(config), seed).save_pretrained(folder)
            model = load(folder)
            expected = [see(model, row) for row in rows]
            convert(conversion, gguf, folder, FOLDER / f"{name}.gguf", "ALL_F32")
            files = {name: expected}
            for low, (of, ftype) in QUANTIZED.items():
                if of == name:
                    convert(conversion, gguf, folder, FOLDER / f"{low}.gguf", ftype)
                    files[low] = None
        for file, seen in files.items():
            if seen is None or name in READ_BY_TRANSFORMERS:
                again = load(FOLDER, gguf_file=f"{file}.gguf", config=model.config)
                again = [see(again, row) for row in rows]
                reread[file] = max(gap(a, b) for a, b in zip(again, expected))
                assert seen is None or reread[file] == 0.0, (file, reread)
                seen = seen or again
            for index, found in enumerate(seen):
                tensors |= {f"{file}.{index}.{key}": value for key, value in found.items()}
            print(f"{file}: {(FOLDER / f'{file}.gguf').stat().st_size / 1e3:.0f} kB, read by transformers {reread.get(file)}")
    save_file(tensors, FOLDER / "expected.safetensors")
    write_json(FOLDER / "inputs.json", {
        "made_by": "tools/reference/make_gguf_fixtures.py",
        "versions": {"llama.cpp": LLAMA_CPP, **versions("torch", "transformers", "numpy")},
        "input_ids": rows,
        "read_by_transformers_relative_gap": reread,
    })
