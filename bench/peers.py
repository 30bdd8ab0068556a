"""What shoal is compared with: PyTorch, on the same network or the same convolution.

A network of shoal is translated block by block, so the peer's is the same by construction, whole or cut into stages, and a
network that is new has its peer already. PyTorch computes channels first unless told otherwise.
"""

import socket
from functools import cache

from shoal.nn import BatchNorm, Conv2d, Dropout, Flatten, GlobalAvgPool, Linear, MaxPool2d, ReLU, Residual, Sequential

try:
    import torch
    from torch import nn
except ImportError:  # a result without this peer says so by its missing columns
    torch = nn = None


def translated(block, shape):
    """The torch.nn.Module of a block for samples of `shape` (channels last, as shoal has them)."""
    match block:
        case Sequential():
            return nn.Sequential(*_chain(block, shape))
        case Residual():
            shortcut = translated(block.shortcut, shape) if block.shortcut else nn.Identity()
            return nn.Sequential(_sum()(translated(block.body, shape), shortcut), *_activation(block))
        case Conv2d():
            w, (before, after) = block.window, zip(*block.window.padding, strict=True)
            assert before == after, "PyTorch pads both sides alike"
            how = {"groups": block.groups, "bias": block.bias}
            conv = nn.Conv2d(shape[-1], block.channels, w.kernel, w.stride, before, w.dilation, **how)
            return nn.Sequential(conv, *_activation(block))
        case Linear():
            return nn.Sequential(nn.Linear(shape[-1], block.features, block.bias), *_activation(block))
        case BatchNorm():
            return nn.Sequential(nn.BatchNorm2d(shape[-1], block.eps, block.momentum), *_activation(block))
        case MaxPool2d():
            return nn.MaxPool2d(block.window.kernel, block.window.stride)
        case Dropout():
            return nn.Dropout(block.rate)
        case GlobalAvgPool():
            return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        case Flatten():
            return nn.Flatten()
        case ReLU():
            return nn.ReLU()
    raise NotImplementedError(f"{type(block).__name__} has no peer yet")


def _chain(blocks, shape):
    for _, block in blocks.children():
        yield translated(block, shape)
        shape = block.out_shape(shape)


def _activation(block):
    return [nn.ReLU()] if block.activation == "relu" else []


@cache
def _sum():
    class Sum(nn.Module):
        def __init__(self, body, shortcut):
            super().__init__()
            self.body, self.shortcut = body, shortcut

        def forward(self, x):
            return self.body(x) + self.shortcut(x)

    return Sum


def convolution(which, x, w, dy, window, groups):
    """A call of PyTorch's convolution ("forward"), or of its gradient by x ("dx") or w ("dw"), channels last, its faster format here."""
    x, w, dy = (torch.from_numpy(a).permute(0, 3, 1, 2) for a in (x, w, dy))
    geometry = (window.stride, [before for before, _ in window.padding], window.dilation)
    if which == "forward":
        return lambda: torch.conv2d(x, w, None, *geometry, groups)
    wanted = [which == "dx", which == "dw", False]
    backward = torch.ops.aten.convolution_backward
    return lambda: backward(dy, x, w, None, *geometry, False, [0, 0], groups, wanted)


class Step:
    """A training step of a torch module: forward, loss, backward, update by SGD with momentum.

    x, labels: NumPy, channels last.   kind: "eager", "channels last" or "compile".   wrap: module -> module, such as DDP.
    """

    def __init__(self, module, x, labels, kind="eager", wrap=None):
        self.x, self.labels = torch.from_numpy(x), torch.from_numpy(labels)
        if x.ndim == 4:
            self.x = self.x.permute(0, 3, 1, 2)
            self.x = self.x if kind == "channels last" else self.x.contiguous()
        if kind == "channels last":
            module = module.to(memory_format=torch.channels_last)
        self.module = wrap(module) if wrap else module
        self.optimizer = torch.optim.SGD(self.module.parameters(), lr=1e-4, momentum=0.9)
        if kind == "compile":
            self.module = torch.compile(self.module)

    def __call__(self):
        self.optimizer.zero_grad()
        nn.functional.cross_entropy(self.module(self.x), self.labels).backward()
        self.optimizer.step()


@cache
def group(comm):
    """torch.distributed over gloo on these ranks, once; a collective call."""
    host = "127.0.0.1" if comm.node_size == comm.size else socket.gethostbyname(socket.gethostname())
    with socket.socket() as free:
        free.bind(("", 0))
        address = comm.broadcast_obj(f"tcp://{host}:{free.getsockname()[1]}", 0, "gloo")
    torch.distributed.init_process_group("gloo", init_method=address, rank=comm.rank, world_size=comm.size)
    return torch.distributed
