"""SentencePiece models of a few hundred tokens in GGUF, as llama.cpp's converter writes them, and what SentencePiece makes of texts.

crates/heirloom-model/tests/fixtures/gguf-words/ gets `NAME.gguf`, whose model is there for the words' sake, and `cases.json`: ids
and their text by the library itself.

Usage: make_gguf_words.py llama_cpp_python-0.3.36/vendor/llama.cpp
"""

import json
import logging
import re
import sys
import tempfile
from pathlib import Path

import sentencepiece
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from fixtures import MODEL_FIXTURES, versions, write_cases
from make_family_fixtures import SMALL, draw_weights
from make_gguf_fixtures import LLAMA_CPP

FOLDER = MODEL_FIXTURES / "gguf-words"
N = 420
TRAINED_ON = """The ledger lay open on the kitchen table, and nobody had read it since the harvest. In the garden the gate was red, old and warm.
She wrote the numbers down: 12, 120, 1200, and then 4 200. "It's not what I'd have said," he answered; they're all there, aren't they?
Das Tor im Garten war rot, alt und warm. Niemand hatte das Buch seit der Ernte gelesen. Le café était fermé, et l'été n'était pas fini.
The train to the harbour leaves at ten past nine; the market opens at eight. We were waiting for the waiter while the water was rising.
Remember the remainder: banana, bandana, cabana. A lamp, a lamb, a limb, a limp lamp. Over and over, under and under, on and on.
"""
TEXTS = ["The gate was warm.", "Hello there", " leading, and trailing ", "two  spaces,   three    four", "banana bandana bananas\nbanana", "\n\n a\n  b\t c", "",
         "1200 + 34 = 1234", "Ça coûte 5 €, n'est-ce pas?", "日本語 and 🙂🙃", "they're all there, aren't they?", "▁is a space", "a", "     ",
         "waiting for the waiter while the water was rising", "\u00a0no-break", "caf\u00e9 cafe\u0301"]
# By family: a space before a text, tokens that stand for turns and others of no text, texts with them.
CASES = {
    "llama": (True, [], [], []),
    "gemma2": (False, ["<start_of_turn>", "<end_of_turn>"], ["▁▁", "▁▁▁"], ["<start_of_turn>user\nThe gate?<end_of_turn>\n<start_of_turn>model\n", "a<end_of_turn>  b"]),
    "phi3": (True, ["<|user|>", "<|end|>", "<|endoftext|>"], [], ["<|user|>\n The gate?<|end|>\n<|user|>", "a  <|end|>  b<|endoftext|> c"]),
}


def train(folder, prefix, marks, spaces):
    """A tokenizer.model of BPE that spells in bytes what it lacks, as those of Llama, Gemma and Phi 3 do."""
    (folder / "text.txt").write_text(TRAINED_ON)
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text.txt"), model_prefix=str(folder / "tokenizer"), model_type="bpe", vocab_size=N, byte_fallback=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False, add_dummy_prefix=prefix, user_defined_symbols=marks + spaces,
        split_digits=True, num_threads=1, minloglevel=2)
    words = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    added = {str(words.piece_to_id(token)): {"content": token, "special": token in marks} for token in marks + spaces}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "LlamaTokenizer", "added_tokens_decoder": added}))
    return words


def encode(words, name, marks, text):
    """By the library; of Phi 3 what stands between marks is a text of its own, and spaces behind most marks are not there."""
    if name != "phi3":
        return words.encode(text, add_bos=True)
    parts = re.split("(" + "|".join(map(re.escape, marks)) + ")", text)
    ids = [words.bos_id()]
    for before, part in zip([None, *parts], parts):
        ids += [words.piece_to_id(part)] if part in marks else words.encode(part.lstrip() if before in marks[:2] else part)
    return ids


def make(conversion, gguf, name, prefix, marks, spaces, more):
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / name
        folder.mkdir()
        words = train(folder, prefix, marks, spaces)
        sizes = dict(num_hidden_layers=1, hidden_size=4, num_attention_heads=1, num_key_value_heads=1, intermediate_size=4, vocab_size=N, tie_word_embeddings=True)
        width = {} if name == "phi3" else dict(head_dim=4)
        config = AutoConfig.for_model(name, **(SMALL | sizes | width | dict(original_max_position_embeddings=48)))
        draw_weights(AutoModelForCausalLM.from_config(config), 0).save_pretrained(folder)
        kind = conversion.get_model_class(conversion.ModelBase.load_hparams(folder, False)["architectures"][0])
        with torch.inference_mode():
            kind(folder, gguf.LlamaFileType.ALL_F32, FOLDER / f"{name}.gguf", eager=True).write()
    texts = [(text, encode(words, name, marks, text)) for text in TEXTS + more]
    return [{"model": name, "text": text, "ids": ids, "decoded": words.decode(ids)} for text, ids in texts]


if __name__ == "__main__":
    logging.disable(logging.INFO)
    sys.path[1:1] = [str(Path(sys.argv[1]) / "gguf-py"), sys.argv[1]]
    import conversion
    import gguf

    FOLDER.mkdir(parents=True, exist_ok=True)
    cases = [case for name, case in CASES.items() for case in make(conversion, gguf, name, *case)]
    head = {"made_by": "tools/reference/make_gguf_words.py", "versions": {"llama.cpp": LLAMA_CPP, **versions("sentencepiece")}}
    write_cases(FOLDER / "cases.json", head, "cases", cases)
    print(len(cases), "cases,", sum(len(case["ids"]) for case in cases), "tokens")
