"""Back-propagation worker: reporting, and what every measurement needs. Python 3.7 syntax; torch is handed in."""

import base64
import json
import os
import sys
import traceback
import zlib


class Reporter:
    """Appends events to events.jsonl; an exception in a step is that step's end and no more."""

    def __init__(self, folder, skip=()):
        self._file = open(os.path.join(folder, "events.jsonl"), "a", encoding="utf-8")
        self._skip = frozenset(skip)

    def write(self, **event):
        """One event."""
        self._file.write(json.dumps(event) + "\n")
        self._file.flush()

    def step(self, name, function, *args):
        """Run `function(*args)` as the step `name`; its value, or None after an exception or where it is skipped."""
        if name in self._skip:
            return None
        self.write(event="begin", step=name)
        try:
            value = function(*args)
        except BaseException as error:
            self.write(event="end", step=name, error=describe(error))
            return None
        self.write(event="end", step=name, value=value)
        return value

    def note(self, name, value):
        """A step that is over at once."""
        self.write(event="begin", step=name)
        self.write(event="end", step=name, value=value)


def describe(error):
    """An exception as plain text, capped."""
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    try:
        text = str(error)
    except BaseException as other:
        text = "%s while it was printed" % type(other).__name__
    return {"type": type(error).__name__, "text": text[:2000], "traceback": "".join(lines)[-4000:]}


def encode(parts):
    """Bytes as base64 of their zlib-compressed concatenation."""
    return base64.b64encode(zlib.compress(b"".join(parts), 1)).decode("ascii")


class Kit:
    """torch, one device, and the few operations that all measurements share."""

    def __init__(self, torch, device):
        self.torch = torch
        self.functional = torch.nn.functional
        self.device = torch.device(device)
        self.upstream = upstream_function(torch)

    def dtype(self, name):
        """Torch's dtype of that name."""
        return getattr(self.torch, name)

    def tensor(self, shape, values, dtype):
        """Numbers as a tensor on the device; `dtype` is torch's."""
        return self.torch.tensor(values, dtype=dtype).reshape(shape).to(self.device)

    def backward(self, out, gradient):
        """Back-propagate `gradient` from `out` as it is, with its strides."""
        # backward(gradient) would import sympy in torch 2.1 and later: 0.2 s.
        self.upstream.apply(out, gradient).backward()

    def fetch(self, tensors):
        """The bits of tensors of one dtype, one after the other, as little-endian bytes. No numpy."""
        torch = self.torch
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors]).cpu()
        return raw_bytes(torch, flat)


def raw_bytes(torch, flat):
    """The bits of a one-dimensional CPU tensor."""
    if flat.numel() == 0:
        return b""
    buffer = bytearray(flat.numel() * flat.element_size())
    torch.frombuffer(buffer, dtype=flat.dtype).copy_(flat)
    if sys.byteorder == "big":
        size = flat.element_size()
        buffer = b"".join(bytes(buffer[at : at + size][::-1]) for at in range(0, len(buffer), size))
    return bytes(buffer)


def upstream_function(torch):
    """An autograd function from a tensor to 0 whose backward pass hands the given gradient on, untouched."""

    class Upstream(torch.autograd.Function):
        @staticmethod
        def forward(ctx, out, gradient):
            ctx.gradient = gradient
            return out.new_zeros(())

        @staticmethod
        def backward(ctx, _):
            return ctx.gradient, None

    return Upstream


def strided(torch, tensor):
    """The same numbers in another layout: not contiguous."""
    if tensor.dim() == 0:
        return tensor
    if tensor.dim() == 1:
        return torch.stack([tensor, tensor], 1).reshape(-1)[::2]
    return tensor.transpose(0, -1).contiguous().transpose(0, -1)


class Blobs:
    """Byte strings, each kept once."""

    def __init__(self):
        self.parts = []
        self._places = {}

    def add(self, blob):
        """The place of these bytes among the kept ones."""
        if blob not in self._places:
            self._places[blob] = len(self.parts)
            self.parts.append(blob)
        return self._places[blob]

    def value(self):
        """All of them, and where each ends."""
        return {"sizes": [len(part) for part in self.parts], "data": encode(self.parts)}
