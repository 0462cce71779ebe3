"""Chat templates in the dialect of Hugging Face and what transformers renders from them, with the clock at 2026-01-15 09:30.

Writes crates/heirloom-model/tests/fixtures/chat/cases.json. The templates (tools/reference/templates/) are written for these
tests, each in the manner of one found in the wild: SmolLM2, Llama 3.2, Mistral, Gemma, TRL's training templates, Qwen 3, Zephyr.
"""

import datetime
import json
from pathlib import Path

import jinja2
from transformers.utils import chat_template_utils
from transformers.utils.chat_template_utils import render_jinja_template

from fixtures import MODEL_FIXTURES, versions, write_cases

NOW = datetime.datetime(2026, 1, 15, 9, 30)
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
TOOLS = [
    {"type": "function", "function": {
        "name": "get_weather", "description": "Weather of a town — °C, <b>not</b> °F & 'quoted'",
        "parameters": {"type": "object", "required": ["town"], "properties": {
            "town": {"type": "string", "description": "name"},
            "days": {"type": "integer", "default": 1, "enum": [1, 3, 7]},
            "exact": {"type": "boolean", "default": False, "nullable": None, "weights": [0.5, 1.0, 1e-05, -2], "more": {}, "none": []}}}}},
    {"type": "function", "function": {
        "name": "stop", "description": "", "parameters": {"type": "object", "properties": {}, "required": []}}},
]


class Clock:
    """Stands in for `datetime` inside transformers' template environment."""

    @staticmethod
    def now():
        return NOW


def turn(role, content, **more):
    return {"role": role, "content": content, **more}


CONVERSATIONS = {
    "user": [turn("user", "What is the capital of France?")],
    "system": [turn("system", "  You are terse.\n"), turn("user", "Hi")],
    "multi": [turn("user", " Hello  there \n"), turn("assistant", "\n Hé! 🙂 How are you? "), turn("user", "Fine — you?\n\n")],
    "answered": [turn("user", "2+2?"), turn("assistant", "4"), turn("user", "3+3?"), turn("assistant", "6 ✅")],
    "system multi": [
        turn("system", "Be kind."), turn("user", "l'été 日本"), turn("assistant", "oui"), turn("user", "a\tb\\n {{ x }} {% raw %}"),
    ],
    "empty content": [turn("user", ""), turn("assistant", ""), turn("user", "x")],
    "assistant first": [turn("assistant", "Hello"), turn("user", "Hi")],
    "two users": [turn("user", "a"), turn("user", "b")],
    "odd role": [turn("user", "a"), turn("assistant", "b"), turn("critic", "c")],
    "odd role in turn": [turn("critic", "c")],
    "late system": [turn("user", "a"), turn("system", "b"), turn("user", "c")],
    "thinking": [
        turn("user", "Why?"), turn("assistant", "<think>\nBecause of X.\n</think>\n\nBecause."), turn("user", "And?"),
        turn("assistant", "<think>\nMore.\n\n</think>\n\nMore."),
    ],
    "reasoning field": [turn("user", "Why?"), turn("assistant", "So.", reasoning_content="\nHm.\n")],
    "tool use": [
        turn("system", "Use tools."), turn("user", "Weather in Zürich?"),
        turn("assistant", None, tool_calls=[{"type": "function", "id": "c1", "function": {
            "name": "get_weather", "arguments": {"town": "Zürich", "days": 3, "exact": True, "note": None, "share": 0.25}}}]),
        turn("tool", "{\"temp\": 3}"), turn("tool", "windy"), turn("assistant", "Cold and windy."), turn("user", "Thanks"),
    ],
    "two tool calls": [
        turn("user", "Both"), turn("assistant", "Calling.", tool_calls=[
            {"type": "function", "function": {"name": "stop", "arguments": {}}},
            {"type": "function", "function": {"name": "get_weather", "arguments": "{\"town\": \"Bern\"}"}}]),
    ],
    "parts": [
        turn("system", " S "),
        turn("user", [{"type": "image"}, {"type": "text", "text": " Look  here "}, {"type": "text", "text": "and there"}]),
        turn("assistant", "I  see."), turn("tool", "ignored"), turn("user", [{"type": "text", "text": "ok"}]),
    ],
    "none": [],
}
PLAIN = ["user", "system", "multi", "answered", "system multi", "empty content", "late system"]
STRICT = [*PLAIN, "assistant first", "two users", "odd role", "odd role in turn"]
CASES = {
    "chatml": [(name, {}) for name in PLAIN] + [("none", {})],
    "llama3": [(name, {}) for name in PLAIN]
    + [("user", {"date_string": "1 Apr 2031"}), ("tool use", {"tools": TOOLS}), ("system", {"tools": TOOLS}),
       ("system", {"tools": TOOLS, "tools_in_user_message": False}), ("user", {"custom_tools": TOOLS[:1]}), ("two tool calls", {})],
    "mistral": [(name, {}) for name in STRICT],
    "gemma": [(name, {}) for name in STRICT],
    "generation": [(name, {}) for name in PLAIN],
    "generation-loose": [(name, {}) for name in PLAIN],
    "qwen3": [(name, {}) for name in PLAIN]
    + [("thinking", {}), ("reasoning field", {}), ("tool use", {}), ("tool use", {"tools": TOOLS}), ("two tool calls", {"tools": TOOLS[1:]}),
       ("user", {"enable_thinking": False}), ("user", {"enable_thinking": True}), ("multi", {"tools": []})],
    "zephyr": [(name, {}) for name in PLAIN],
    "tools": [(name, {}) for name in PLAIN] + [("tool use", {"tools": TOOLS}), ("tool use", {})],
    "parts": [(name, {}) for name in PLAIN] + [("parts", {}), ("odd role", {})],
    "dates": [(name, {}) for name in (*PLAIN, "thinking")],
    "printing": [("user", {})],
}


def render(template, messages, prompt, variables):
    """Text, or the message of the error; assistant spans in characters where the template marks them."""
    variables = dict(variables)
    tools = variables.pop("tools", None)
    marked = "generation %}" in template
    try:
        texts, spans = render_jinja_template(
            conversations=[messages], tools=tools, chat_template=template, add_generation_prompt=prompt,
            return_assistant_tokens_mask=marked, **TOKENS, **variables,
        )
    except jinja2.exceptions.TemplateError as error:
        return {"error": error.message, "raised": type(error) is jinja2.exceptions.TemplateError}
    if not marked:
        return {"text": texts[0]}
    spans = [list(span) for span in spans[0]]
    return {"text": texts[0], "assistant_spans": spans, "assistant_texts": [texts[0][a:b] for a, b in spans]}


if __name__ == "__main__":
    chat_template_utils.datetime = Clock
    folder = Path(__file__).parent / "templates"
    templates = {name: (folder / f"{name}.jinja").read_text(encoding="utf-8") for name in CASES}
    rows = []
    for name, template in templates.items():
        for conversation, variables in CASES[name]:
            for prompt in (False, True):
                rows.append({
                    "template": name, "conversation": conversation, "messages": CONVERSATIONS[conversation],
                    "add_generation_prompt": prompt, "variables": variables,
                    **render(template, CONVERSATIONS[conversation], prompt, variables),
                })
    path = MODEL_FIXTURES / "chat/cases.json"
    write_cases(path, {
        "made_by": "tools/reference/make_chat_fixtures.py",
        "versions": versions("transformers", "jinja2"),
        "clock": NOW.isoformat(),
        "tokens": TOKENS,
        "notes": "variables (and tokens) are passed to the template; spans count characters, not bytes; `raised` tells a template's own "
                 "raise_exception from an engine's error, whose words are not to be matched; the order of JSON keys matters",
        "templates": templates,
    }, "cases", rows)
    assert json.loads(path.read_text())["cases"] == rows
    errors = sum("error" in row for row in rows)
    print(f"{len(rows)} cases of {len(templates)} templates, {errors} of them errors, {path.stat().st_size} bytes")
