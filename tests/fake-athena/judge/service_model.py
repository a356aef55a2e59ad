"""Compares JSON with the shapes of botocore's service model, and makes JSON that breaks them.

`problems` judges a value, `mutants` breaks a good answer in every way that `problems` must see,
`violations` breaks a good input in every way that a server must refuse.
"""

import re

# Timestamps between 2001 and 2100: seconds that are sent as milliseconds fall out.
EARLIEST, LATEST = 978307200, 4102444800

# Values of the shapes whose pattern no filler fits.
SAMPLES = {
    "WorkGroupName": "spark-team-a",
    "RoleArn": "arn:aws:iam::123456789012:role/spark",
    "KmsKey": "alias/spark",
    "S3OutputLocation": "s3://bucket/logs/",
}


def problems(shape, value, path=""):
    """What is wrong with a value, one line each."""
    at = path or "the answer"
    kind = shape.type_name
    if kind == "structure":
        if not isinstance(value, dict):
            return [f"{at}: not a structure: {value!r}"]
        found = []
        for name in value:
            if name in shape.members:
                found += problems(shape.members[name], value[name], f"{path}.{name}".lstrip("."))
            else:
                twin = [known for known in shape.members if known.lower() == name.lower()]
                found.append(f"{at}: {name} should be {twin[0]}" if twin else f"{at}: unknown member {name}")
        return found + [f"{at}: {name} is missing" for name in shape.required_members if name not in value]
    if kind == "list":
        if not isinstance(value, list):
            return [f"{at}: not a list: {value!r}"]
        found = limit_problems(shape, len(value), at)
        for index, item in enumerate(value):
            found += problems(shape.member, item, f"{path}[{index}]")
        return found
    if kind == "map":
        if not isinstance(value, dict):
            return [f"{at}: not a map: {value!r}"]
        found = []
        for key, item in value.items():
            found += problems(shape.key, key, f"{path}[{key!r}]") + problems(shape.value, item, f"{path}.{key}")
        return found
    if kind == "string":
        if not isinstance(value, str):
            return [f"{at}: not a string: {value!r}"]
        found = limit_problems(shape, len(value), at)
        if shape.enum and value not in shape.enum:
            found.append(f"{at}: {value!r} is none of {shape.enum}")
        if not fits_pattern(shape, value):
            found.append(f"{at}: {value!r} doesn't match {shape.metadata['pattern']}")
        return found
    if kind in ("integer", "long"):
        if not isinstance(value, int) or isinstance(value, bool):
            return [f"{at}: not an integer: {value!r}"]
        return limit_problems(shape, value, at)
    if kind == "boolean":
        return [] if isinstance(value, bool) else [f"{at}: not a boolean: {value!r}"]
    if kind == "timestamp":
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            return [f"{at}: not a number of seconds: {value!r}"]
        return [] if value == 0 or EARLIEST < value < LATEST else [f"{at}: not a moment in seconds: {value!r}"]
    return [f"{at}: a {kind}, which this judge doesn't know"]


def limit_problems(shape, size, at):
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and size < low:
        return [f"{at}: {size} is below {low}"]
    if high is not None and size > high:
        return [f"{at}: {size} is above {high}"]
    return []


def fits_pattern(shape, text):
    pattern = shape.metadata.get("pattern")
    if pattern is None:
        return True
    # The pair of ranges for what lies beyond 16 bits is Java's way to write it.
    pattern = pattern.replace("\\uD800\\uDC00-\\uDBFF\\uDFFF", "\\U00010000-\\U0010FFFF")
    return re.fullmatch(pattern, text) is not None


def missing(value, must):
    """Which of the members that an answer must have are not there. `A[].B` looks at each item of the list A."""
    return [f"{path} is missing" for path in must if not has(value, path.split("."))]


def has(value, names):
    if not names:
        return True
    name = names[0].removesuffix("[]")
    if not isinstance(value, dict) or name not in value:
        return False
    if not names[0].endswith("[]"):
        return has(value[name], names[1:])
    return isinstance(value[name], list) and all(has(item, names[1:]) for item in value[name])


def mutants(shape, value):
    """Broken copies of a good answer, each with a word on what was done to it."""
    wrong_type = {
        "structure": ["text", []], "list": ["text", {}], "map": ["text", []], "string": [7, {}, True],
        "integer": ["7", 1.5, True], "long": ["7", 1.5, True], "boolean": ["true", 1],
        "timestamp": ["2026-01-01T00:00:00Z", True],
    }
    for other in wrong_type[shape.type_name]:
        yield f"{value!r:.30} as {other!r}", other
    if shape.type_name == "timestamp":
        yield "milliseconds", value * 1000 + 1e13
    if shape.type_name == "structure":
        yield "an unknown member", value | {"Surprise": 1}
        for name, member in value.items():
            rest = {key: item for key, item in value.items() if key != name}
            yield f"{name} renamed", rest | {f"{name}X": member}
            yield f"{name} in another case", rest | {name[0].lower() + name[1:]: member}
            for what, mutant in mutants(shape.members[name], member):
                yield f"{name}: {what}", value | {name: mutant}
    if shape.type_name == "list":
        for index, item in enumerate(value[:2]):
            for what, mutant in mutants(shape.member, item):
                yield f"[{index}]: {what}", value[:index] + [mutant] + value[index + 1:]
    if shape.type_name == "map":
        for key, item in value.items():
            for what, mutant in mutants(shape.value, item):
                yield f"{key}: {what}", value | {key: mutant}
    for what, mutant in beyond_limits(shape, value):
        yield what, mutant


def without(value, names):
    """A copy of an answer that lacks one member; None if it had none to lose."""
    name = names[0].removesuffix("[]")
    if len(names) == 1:
        return {key: item for key, item in value.items() if key != name}
    if not names[0].endswith("[]"):
        return value | {name: without(value[name], names[1:])}
    items = value[name]
    return value | {name: [without(items[0], names[1:])] + items[1:]} if items else None


def beyond_limits(shape, value):
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    kind = shape.type_name
    if kind == "string":
        if low:
            yield "too short", sized(shape, value, low - 1)
        if high is not None:
            yield "too long", sized(shape, value, high + 1)
        if shape.enum:
            yield "no known value", "SURPRISE"
        if "pattern" in shape.metadata:
            for text in ("a:*\n", "no match\u0001", "x" * 129):
                if not fits_pattern(shape, text) and not limit_problems(shape, len(text), ""):
                    yield "no match", text
    elif kind in ("integer", "long"):
        if low is not None:
            yield "too small", low - 1
        if high is not None:
            yield "too great", high + 1
    elif kind == "list" and high is not None and value:
        yield "too many", value * (high + 1)


def sized(shape, text, size):
    return (text + "a" * size)[:size]


def sample(shape, optional=True):
    """A value that keeps to a shape; without `optional`, the least that it allows."""
    kind = shape.type_name
    if kind == "structure":
        names = shape.members if optional else shape.required_members
        return {name: sample(shape.members[name], optional) for name in names}
    if kind == "list":
        return [sample(shape.member, optional)]
    if kind == "map":
        return {sample(shape.key): sample(shape.value)}
    if kind == "string":
        return SAMPLES.get(shape.name) or (shape.enum or ["a" * max(1, shape.metadata.get("min", 1))])[0]
    return {"boolean": True}.get(kind, shape.metadata.get("min", 1))


def edges(shape, value):
    """Copies of a good input, each with one value at the very edge of what is allowed."""
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    kind = shape.type_name
    if kind == "structure":
        for name, member in value.items():
            for edge in edges(shape.members[name], member):
                yield value | {name: edge}
    elif kind == "list":
        for edge in edges(shape.member, value[0]):
            yield [edge]
    elif kind == "map":
        (key, item), = value.items()
        for edge in edges(shape.key, key):
            yield {edge: item}
        for edge in edges(shape.value, item):
            yield {key: edge}
    elif kind == "string":
        yield from (text for text in (sized(shape, value, size) for size in (low, high) if size)
                    if fits_pattern(shape, text))
        yield from shape.enum
    elif kind in ("integer", "long"):
        yield from (edge for edge in (low, high) if edge is not None)


def violations(shape, value):
    """Broken copies of a good input, each with a word on what was done to it."""
    kind = shape.type_name
    for other in {"structure": ["text"], "list": ["text"], "map": ["text"], "string": [7], "integer": ["7"],
                  "long": ["7"], "boolean": ["yes"]}[kind]:
        yield f"{other!r} for a {kind}", other
    yield from beyond_limits(shape, value)
    if kind == "structure":
        for name in shape.required_members:
            yield f"without {name}", {key: item for key, item in value.items() if key != name}
        for name, member in value.items():
            for what, broken in violations(shape.members[name], member):
                yield f"{name}: {what}", value | {name: broken}
    elif kind == "list":
        for what, broken in violations(shape.member, value[0]):
            yield f"item: {what}", [broken]
    elif kind == "map":
        (key, item), = value.items()
        for what, broken in beyond_limits(shape.key, key):
            yield f"key: {what}", {broken: item}
        for what, broken in violations(shape.value, item):
            yield f"value: {what}", {key: broken}
