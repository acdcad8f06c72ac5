"""Python answers: `>>> expression` with the lines below, `python -c "print(...)"`, and the same told in prose."""

import ast
import re
from collections.abc import Iterator
from itertools import takewhile

from envcheck.diagnosis.evidence.devices import card_seen, gfx_seen
from envcheck.diagnosis.evidence.draft import Draft
from envcheck.diagnosis.evidence.page import Line, Page, command_of
from envcheck.model.facts import Variable
from envcheck.model.patterns import regex
from envcheck.model.versions import cuda_of_int

_PROMPT = regex(r"^\s{0,8}(?:>>>|\.\.\.|In \[\d{0,4}\]:)\s?(?P<code>.*)$")
_OUT = regex(r"^\s{0,8}Out\[\d{0,4}\]:\s?")
_CALL = r"(?:torch|t)\s?\.\s?"
_QUESTIONS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), fact)
    for pattern, fact in (
        (r"torch\.__version__|torch\.version\.__version__", "torch.version"),
        (r"torch\.version\.cuda", "torch.cuda"),
        (r"torch\.version\.hip", "torch.hip"),
        (r"torch\.cuda\.is_available\(\)", "torch.cuda_available"),
        (r"torch\.backends\.mps\.is_available\(\)", "torch.mps_available"),
        (r"torch\.xpu\.is_available\(\)", "torch.xpu_available"),
        (r"torch\.cuda\.device_count\(\)", "torch.device_count"),
        (r"torch\.cuda\.get_arch_list\(\)", "torch.arch_list"),
        (r"torch\.backends\.cudnn\.version\(\)", "torch.cudnn"),
        (r"torch\.cuda\.get_device_name\((?:device=)?(?:\d*|torch\.cuda\.current_device\(\))\)", "gpu.name"),
        (r"torch\.cuda\.get_device_capability\((?:device=)?\d*\)", "gpu.capability"),
        (r"torch\.cuda\.get_device_properties\([^)]{0,60}\)\.name", "gpu.name"),
        (r"torch\.cuda\.get_device_properties\([^)]{0,60}\)\.gcnArchName", "gpu.gfx"),
        (r"torch\.cuda\.get_device_properties\([^)]{0,60}\)", "gpu.properties"),
        (r"torch\._C\._cuda_getDriverVersion\(\)", "driver.number"),
        (r"os\.(?:environ(?:\.get)?|getenv)[\[(]['\"]CUDA_VISIBLE_DEVICES['\"][\])]", "gpu.visible"),
        (r"torch\.__file__", "torch.file"),
        (r"torch\.__path__", "torch.file"),
        (r"sys\.version", "python.version"),
        (r"platform\.python_version\(\)", "python.version"),
        (r"sys\.executable", "python.path"),
        (r"platform\.architecture\(\)", "python.bits"),
        (r"struct\.calcsize\([\"']P[\"']\)\s?\*\s?8", "python.bits"),
    )
)
_PROSE = regex(
    r"(?P<question>(?:torch\.)?cuda\.is_available\(\)|torch\.(?:__version__|version\.cuda|version\.hip"
    r"|cuda\.device_count\(\)|backends\.cudnn\.version\(\)|cuda\.get_arch_list\(\)"
    r"|_C\._cuda_getDriverVersion\(\)))[`'\")]{0,3}"
    r"\s{0,8}(?:[:=]{1,2}>?|->|→|#|#\s?->|is|returns?|returned|gives|shows|still|prints?"
    r"|(?:一直|总是|还是)?(?:返回|给出|显示|输出|为|是))?\s{0,3}(?:always|still|just|only)?\s{0,2}"
    r"[`'\"*]{0,3}(?P<answer>[Tt]rue|[Ff]alse|TRUE|FALSE|None|\d[\w.+]*|\[[^\]\n]{0,600}\])"
)
_PROPERTIES = regex(
    r"_CudaDeviceProperties\(name='(?P<name>[^'\n]{1,80})', major=(?P<major>\d{1,2}), minor=(?P<minor>\d)"
    r"(?:, total_memory=(?P<memory>\d+)MB)?"
)
_NAMED_CAPABILITY = regex(
    r"\('(?P<name>(?:NVIDIA |GeForce |Tesla |Quadro |TITAN |RTX |GTX )[^'\n]{2,60})'"
    r", \((?P<major>\d{1,2}), (?P<minor>\d)\)\)"
)
_PRINT = regex(r"print\s?\((?P<arguments>(?:[^()]|\([^()]*(?:\([^()]*\)[^()]*)?\)){0,400})\)")
_PRINTED = regex(r"^\s{0,8}print\s?\(.{0,200}\btorch\..{0,200}\)\s*$")
_CODE = regex(
    r"^\s{0,8}(?:print\s?\(.{0,400}\)\s*;?|import \w[\w., ]{0,80}|from \w[\w.]{0,60} import .{1,80}"
    r"|[a-z_]\w{0,30} = .{1,200})\s*$"
)
_BETWEEN = regex(
    r"^\W{0,8}(?:(?:the )?(?:outputs?|results?|out|prints?|returns?|输出|结果)(?: is| was)?|输出结果|输出为)?\W{0,8}$",
    re.IGNORECASE,
)
_RETURNED = regex(r"^\W{0,4}(?:returns?|returned|output|result|prints?|返回|输出)\W{1,4}", re.IGNORECASE)
_WORDS = regex(r"[rf]?(?P<quote>[\"'])(?P<said>[^\"'{}\n]{0,100})(?P=quote)")
_ON_CUDA = regex(r"^\s{0,8}(?:tensor\(|\s{0,8}\[).{0,200}, device='cuda:\d{1,2}'\)")
"""A tensor on the GPU, as torch prints it."""
_SINGLE = regex(r"[\w.]{1,60}(?:\(\d?\))?")
_TRUTH = regex(r"True|False")
_FORMS = {
    "torch.version": regex(r"\d{1,2}\.\d{1,2}[\w.+]{0,40}"),
    "torch.cuda": regex(r"None|\d{1,2}\.\d{1,2}(?:\.\d{1,4})?"),
    "torch.hip": regex(r"None|\d{1,2}\.\d{1,2}[\w.-]{0,40}"),
    "torch.cuda_available": _TRUTH,
    "torch.mps_available": _TRUTH,
    "torch.xpu_available": _TRUTH,
    "torch.device_count": regex(r"\d{1,3}"),
    "torch.arch_list": regex(r"\[(?:'(?:sm|compute|gfx)\w{1,12}'(?:, )?){0,40}\]"),
    "torch.cudnn": regex(r"None|\d{4,6}"),
    "gpu.name": regex(r"(?:NVIDIA|GeForce|Tesla|Quadro|TITAN|RTX|GTX|AMD|Radeon|Orin|Xavier).{0,60}"),
    "gpu.gfx": regex(r"gfx[0-9a-f]{3,4}\S{0,40}"),
    "gpu.capability": regex(r"\(\d{1,2}, \d{1,2}\)"),
    "python.version": regex(r"\d\.\d{1,2}\.\d{1,2}\b.{0,120}"),
}
"""What an answer looks like; other answers count only right below a prompt."""
_MAX_SCRIPT, _MAX_BETWEEN = 40, 4


def read(page: Page, draft: Draft) -> None:
    """Answers below prompts, answers below `python -c`, sentences, and device properties wherever they stand."""
    below = 0
    for position, line in enumerate(page.lines):
        prompt = _PROMPT.match(line.text)
        code = prompt["code"] if prompt else _script(line.text)
        if code is None and _PRINTED.match(line.text):
            below = below if position < below else _script_then_output(page, position, draft)
        elif code and "." in code:
            answers = _answers(page, position)
            if prompt and not answers and code.strip() == "torch.version.cuda" and _prompts_again(page, position):
                draft.see("torch.cuda_known", True, line, rank=7)  # the prompt says nothing where the answer is None
            _dialogue(code, answers, draft, interactive=prompt is not None)
            if not answers and "#" in line.text:
                _told_beside(line, draft)
        elif "torch." in line.text or "cuda.is_available" in line.text:
            _told_below(page, position, draft)
            _told_beside(line, draft)
        if _ON_CUDA.search(line.text):
            draft.see("torch.cuda_available", True, line, rank=4)
        for pair in _NAMED_CAPABILITY.finditer(line.text):
            draft.gpu_named(pair["name"], line, compute_capability=f"{pair['major']}.{pair['minor']}")
        properties = _PROPERTIES.search(line.text)
        if properties:
            capability = f"{properties['major']}.{properties['minor']}"
            memory = int(properties["memory"]) << 20 if properties["memory"] else None
            draft.gpu_named(properties["name"], line, compute_capability=capability, memory_bytes=memory)


def _prompts_again(page: Page, position: int) -> bool:
    """Whether the very next line is a prompt."""
    return position + 1 < len(page.lines) and _PROMPT.match(page.lines[position + 1].text) is not None


def _script_then_output(page: Page, position: int, draft: Draft) -> int:
    """Lines of a program and below them what it printed, in the same order; returns the place behind the program.

    Blank lines and a word such as `Output:` may stand between. What stands there counts only where it has the form of
    an answer: it may as well be the next sentence.
    """
    end = position
    while end < len(page.lines) and end < position + _MAX_SCRIPT and _CODE.match(page.lines[end].text):
        end += 1
    asked = list(_asked("\n".join(line.text for line in page.lines[position:end]), interactive=False))
    start = end
    while start < min(end + _MAX_BETWEEN, len(page.lines)) and _BETWEEN.match(page.lines[start].text):
        start += 1
    for questions, line in zip(asked, page.lines[start : start + len(asked)], strict=False):
        text = _RETURNED.sub("", line.text).strip()
        pairs = _pairs(questions, text)
        facts = [(_fact_of(question), value) for question, value in pairs]
        if not pairs or not all(fact is None or _fits(fact, value) for fact, value in facts):
            break
        for question, value in pairs:
            _answer(question, value, line, draft, rank=6)
    return end


def _fits(fact: str, value: str) -> bool:
    return fact in _FORMS and _FORMS[fact].fullmatch(value.strip("'\"")) is not None


def _told_beside(line: Line, draft: Draft) -> None:
    """A question and its answer on one line, in a sentence or as a comment."""
    for match in _PROSE.finditer(line.text):
        question, answer = match["question"], match["answer"]
        answer = answer.capitalize() if answer.casefold() in ("true", "false") else answer
        _answer(f"torch.{question.removeprefix('torch.')}", answer, line, draft, rank=3)


def _told_below(page: Page, position: int, draft: Draft) -> None:
    """`torch.cuda.is_available()` alone on a line, and below it the answer in somebody's words."""
    question = re.search(r"torch\.cuda\.is_available\(\)\W{0,4}$", page.lines[position].text)
    if question is None:
        return
    for line in page.lines[position + 1 : position + 3]:
        told = re.match(
            r"\W{0,6}(?:(?:i|it|we)\s)?(?:get|gets|got|is|returns?|returned|gives|says|shows|prints?|output|result|返回|输出|结果)?"
            r"\W{0,4}(?P<answer>true|false)\W{0,4}$",
            line.text,
            re.IGNORECASE,
        )
        if told:
            _answer("torch.cuda.is_available()", told["answer"].capitalize(), line, draft, rank=3)
            return


def _script(text: str) -> str | None:
    """The program of `python -c "..."`, if the line is such a command."""
    command = command_of(text)
    if command is None:
        return None
    match = re.search(
        r"\bpython[\w.]*(?:\.exe)?\s+(?:-\w\s+){0,3}-c\s+(?P<quote>[\"'])(?P<code>.{1,2000})(?P=quote)", command
    )
    return match["code"] if match else None


def _answers(page: Page, position: int) -> list[Line]:
    """The lines of output below a prompt, up to the next prompt, command or blank line."""
    found: list[Line] = []
    for line in page.lines[position + 1 : position + 1 + 40]:
        if not line.text.strip() or _PROMPT.match(line.text) or command_of(line.text) is not None:
            break
        if re.match(r"Traceback \(most recent|.*(?:Warning|Error): |\s+(?:return|warnings?\.warn) ", line.text):
            if found:
                break
            continue
        found.append(line)
    return found


def _dialogue(code: str, answers: list[Line], draft: Draft, *, interactive: bool) -> None:
    """Match questions and answers: one `print` or one bare expression gives one line."""
    asked = list(_asked(code, interactive=interactive))
    if len(asked) == 1 and len(asked[0]) == 1 and answers and answers[0].text.lstrip().startswith("("):
        _together(asked[0][0], answers[0], draft)
    for questions, line in zip(asked, answers, strict=False):
        for question, value in _pairs(questions, _OUT.sub("", line.text).strip()):
            _answer(question, value, line, draft, rank=7)


def _together(expression: str, line: Line, draft: Draft) -> None:
    """`torch.__version__, torch.version.cuda` at the prompt: the answer is one tuple."""
    parts = [part.strip() for part in _split(expression)]
    try:
        values = ast.literal_eval(_OUT.sub("", line.text).strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return
    if len(parts) > 1 and isinstance(values, tuple) and len(values) == len(parts):
        for part, value in zip(parts, values, strict=True):
            _answer(part, value if isinstance(value, str) else repr(value), line, draft, rank=7)


def _pairs(questions: list[str], text: str) -> list[tuple[str, str]]:
    """Each expression of one `print` with its value; words that it prints as they stand are taken off."""
    expressions: list[str] = []
    for question in questions:
        word = _WORDS.fullmatch(question)
        if word is None:
            expressions.append(question)
        elif word["said"] and word["said"] in text:
            text = text.replace(word["said"], " ", 1)
    ordered = _in_order(expressions, text.strip()) if len(expressions) > 1 else None
    if ordered:
        return ordered
    values = [text.strip()] if len(expressions) == 1 else text.split()
    if len(values) > len(expressions):  # a value of several words comes later: those before it still stand in order
        plain = list(takewhile(lambda one: _SINGLE.fullmatch(one) and not _fact_is_wide(one), expressions))
        pairs = list(zip(plain, values, strict=False))
        after = expressions[len(plain)] if len(plain) < len(expressions) else ""
        name = re.match(r"[^(]{3,60}", " ".join(values[len(plain) :])) if _fact_of(after) == "gpu.name" else None
        return [*pairs, (after, name[0].strip())] if name else pairs
    return list(zip(expressions, values, strict=True)) if len(values) == len(expressions) else []


def _in_order(expressions: list[str], text: str) -> list[tuple[str, str]] | None:
    """Each expression with its value, where the form of each value tells where it ends."""
    pairs: list[tuple[str, str]] = []
    for expression in expressions:
        fact = _fact_of(expression) or ""
        form = _FORMS.get(fact)
        if form is None or (fact in ("gpu.name", "python.version") and expression is not expressions[-1]):
            return None
        found = form.match(text)
        if not found:
            return None
        pairs.append((expression, found[0]))
        text = text[found.end() :].lstrip(" ,")
    return None if text else pairs


def _fact_is_wide(question: str) -> bool:
    """Whether the answer may be of several words."""
    return (_fact_of(question) or "") in (
        "gpu.name",
        "gpu.properties",
        "gpu.capability",
        "torch.arch_list",
        "python.version",
    )


def _asked(code: str, *, interactive: bool) -> Iterator[list[str]]:
    """Each printed line as the list of expressions on it."""
    prints = list(_PRINT.finditer(code))
    for match in prints:
        yield [part.strip() for part in _split(match["arguments"])]
    if prints or not interactive:
        return
    last = code.rsplit(";", maxsplit=1)[-1].strip()
    if last and not re.match(r"(?:import|from|del|for|if|with|def)\b|[\w.\[\]'\"]+\s*=[^=]", last):
        yield [last]


def _split(arguments: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for index, char in enumerate(arguments):
        depth += (char in "([{") - (char in ")]}")
        if char == "," and depth == 0:
            parts.append(arguments[start:index])
            start = index + 1
    return [*parts, arguments[start:]]


def _fact_of(question: str) -> str | None:
    return next((fact for pattern, fact in _QUESTIONS if pattern.fullmatch(question.strip())), None)


def _answer(question: str, answer: str, line: Line, draft: Draft, rank: int) -> None:
    fact = _fact_of(question)
    if fact is None:
        return
    text = answer.strip().lstrip("#> ").strip("'\"`")
    if fact.startswith(("gpu.", "driver.")):
        _device(fact, text, line, draft)
    elif fact == "torch.cuda":
        if _FORMS[fact].fullmatch(text):
            draft.see("torch.cuda_known", True, line, rank=rank)
            draft.see(fact, None if text == "None" else text, line, rank=rank)
    elif fact in ("torch.cuda_available", "torch.mps_available", "torch.xpu_available"):
        if text in ("True", "False"):
            draft.see(fact, text == "True", line, rank=rank)
    elif fact == "torch.device_count":
        draft.see(fact, int(text[:6]) if text.isdecimal() else None, line, rank=rank)
        draft.see("torch.cuda_available", False if text == "0" else None, line, rank=rank - 1)
    elif fact == "torch.arch_list":
        draft.see(
            fact, tuple(re.findall(r"(?:sm|compute)_\d{2,3}[a-z]?|gfx[0-9a-f]{3,4}", text)) or None, line, rank=rank
        )
    elif fact == "python.bits":
        bits = re.search(r"\b(32|64)(?:bit)?\b", text)
        draft.see(fact, int(bits[1]) if bits else None, line, rank=rank)
    elif fact in ("torch.version", "python.version"):
        _version(fact, text, line, draft, rank)
    elif text != "None":
        text = text.replace("\\\\", "\\")
        text = f"{text[2:-2]}/__init__.py" if fact == "torch.file" and text.startswith(("['", '["')) else text
        draft.see(fact, text, line, rank=rank)
        site = re.match(
            r".{0,300}(?:/\.local/lib/python3\.\d+|AppData[\\/]Roaming[\\/]Python[\\/]\w+)[\\/]site-packages", text
        )
        if fact == "torch.file" and site:
            draft.see("python.user_site", site[0], line)


def _version(fact: str, text: str, line: Line, draft: Draft, rank: int) -> None:
    match = re.match(r"\d+\.\d+[\w.+]*", text)
    if match is None:
        return
    draft.see(fact, match[0], line, rank=rank)
    if fact == "torch.version":
        draft.see("torch.installed", True, line)
        draft.see("torch.imported", True, line)
    elif "64 bit" in text or "32 bit" in text:
        draft.see("python.bits", 64 if "64 bit" in text else 32, line)


def _device(fact: str, text: str, line: Line, draft: Draft) -> None:
    if fact == "gpu.name" and text and not text.startswith("<"):
        card_seen(text, line, draft)
    elif fact == "gpu.capability":
        try:
            major, minor = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError):
            return
        draft.gpu(min(draft.gpus, default=0), line, compute_capability=f"{major}.{minor}")
    elif fact == "driver.number" and text.isdigit():
        draft.see_many("nvidia.cuda_versions", cuda_of_int(int(text)), line)
    elif fact == "gpu.visible" and text != "None":
        name = "CUDA_VISIBLE_DEVICES"
        draft.variables.setdefault(name, Variable(name=name, value=text, origin=line.where()))
    elif fact == "gpu.gfx" and text.startswith("gfx"):
        gfx_seen(text.partition(":")[0], line, draft)
