"""The model families once more, in PyTorch: written by hand from the papers and with torchvision's names, channels first.

Each is a function (torch, classes, width, ...) -> torch.nn.Module that takes what PyTorch takes: (N, C, H, W) for images.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any


def lenet(torch: Any, classes: int, side: int) -> Any:
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(1, 32, 5, padding="same"),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5, padding="same"),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear((side // 4) ** 2 * 64, 512),
        nn.ReLU(),
        nn.Linear(512, classes),
    )


def digits_cnn(torch: Any, classes: int, side: int) -> Any:
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding="same"),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding="same"),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0),
        nn.Linear((side // 2) ** 2 * 32, classes),
    )


def autoencoder(torch: Any, shape: tuple[int, int, int], width: int, code: int) -> Any:
    nn, (h, w, c) = torch.nn, shape
    sizes = [h * w * c, width, width // 4, code, width // 4, width, h * w * c]
    layers: list[Any] = [nn.Flatten()]
    for i, (inputs, outputs) in enumerate(pairwise(sizes)):
        layers += [nn.Linear(inputs, outputs), *([nn.ReLU()] if i not in (2, 5) else [])]
    return nn.Sequential(*layers, nn.Unflatten(1, (c, h, w)))


def resnet(torch: Any, depths: tuple[int, ...], bottleneck: bool, classes: int, width: int) -> Any:
    """torchvision's ResNet."""
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self, inputs: int, channels: int, stride: int):
            super().__init__()
            outputs = 4 * channels if bottleneck else channels
            strides = (1, stride, 1) if bottleneck else (stride, 1)
            kernels = (1, 3, 1) if bottleneck else (3, 3)
            widths = (inputs, channels, channels, outputs) if bottleneck else (inputs, channels, channels)
            self.length = len(kernels)
            for i, (k, s) in enumerate(zip(kernels, strides, strict=True), 1):
                conv = nn.Conv2d(widths[i - 1], widths[i], k, s, k // 2, bias=False)
                setattr(self, f"conv{i}", conv)
                setattr(self, f"bn{i}", nn.BatchNorm2d(widths[i]))
            self.downsample = None
            if stride != 1 or inputs != outputs:
                self.downsample = nn.Sequential(
                    nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
                )

        def forward(self, x: Any) -> Any:
            y = x
            for i in range(1, self.length + 1):
                y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
                y = y.relu() if i < self.length else y
            return (y + (self.downsample(x) if self.downsample else x)).relu()

    class ResNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width)
            self.maxpool, inputs = nn.MaxPool2d(3, 2, 1), width
            for stage, depth in enumerate(depths):
                blocks = []
                for i in range(depth):
                    blocks.append(Block(inputs, width << stage, 2 if stage and i == 0 else 1))
                    inputs = (width << stage) * (4 if bottleneck else 1)
                setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
            self.fc = nn.Linear(inputs, classes)

        def forward(self, x: Any) -> Any:
            x = self.maxpool(self.bn1(self.conv1(x)).relu())
            for stage in range(len(depths)):
                x = getattr(self, f"layer{stage + 1}")(x)
            return self.fc(x.mean((2, 3)))

    return ResNet()


def vgg16(torch: Any, classes: int, width: int, hidden: int, side: int, normalise: bool = False) -> Any:
    """torchvision's VGG, without its adaptive pool: that is the identity for 224x224."""
    nn = torch.nn
    layers: list[Any] = []
    inputs = 3
    for channels, count in ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3)):
        for _ in range(count):
            layers.append(nn.Conv2d(inputs, channels * width, 3, padding=1))
            layers += [nn.BatchNorm2d(channels * width)] if normalise else []
            layers.append(nn.ReLU())
            inputs = channels * width
        layers.append(nn.MaxPool2d(2))
    dense = [
        nn.Linear(8 * width * (side // 32) ** 2, hidden),
        nn.ReLU(),
        nn.Dropout(0),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
    ]
    net = nn.Sequential()
    net.add_module("features", nn.Sequential(*layers))
    net.add_module("flatten", nn.Flatten())
    net.add_module("classifier", nn.Sequential(*dense, nn.Dropout(0), nn.Linear(hidden, classes)))
    return net


def mobilenet_v2(torch: Any, classes: int, width: int) -> Any:
    """torchvision's MobileNetV2."""
    nn = torch.nn

    def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list[Any]:
        return [
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
        ]

    class Inverted(nn.Module):
        def __init__(self, inputs: int, outputs: int, stride: int, expansion: int):
            super().__init__()
            wide = inputs * expansion
            layers = [nn.Sequential(*conv(inputs, wide, 1), nn.ReLU6())] if expansion != 1 else []
            layers += [nn.Sequential(*conv(wide, wide, 3, stride, wide), nn.ReLU6()), *conv(wide, outputs, 1)]
            self.conv, self.skips = nn.Sequential(*layers), stride == 1 and inputs == outputs

        def forward(self, x: Any) -> Any:
            return x + self.conv(x) if self.skips else self.conv(x)

    table = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    layers, inputs = [nn.Sequential(*conv(3, width, 3, 2), nn.ReLU6())], width
    for expansion, channels, count, stride in table:
        for i in range(count):
            layers.append(Inverted(inputs, channels * width // 32, stride if i == 0 else 1, expansion))
            inputs = channels * width // 32
    layers.append(nn.Sequential(*conv(inputs, 40 * width, 1), nn.ReLU6()))
    net = nn.Sequential()
    net.add_module("features", nn.Sequential(*layers))
    net.add_module("pool", nn.AdaptiveAvgPool2d(1))
    net.add_module("flatten", nn.Flatten())
    net.add_module("classifier", nn.Sequential(nn.Dropout(0), nn.Linear(40 * width, classes)))
    return net


def mobilenet(torch: Any, classes: int, width: int) -> Any:
    """MobileNetV1 for small images."""
    nn = torch.nn
    layers: list[Any] = [nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    inputs = width
    for factor, stride in ((2, 1), (4, 2), (4, 1), (8, 2), (8, 1), (16, 2), (16, 1)):
        outputs = factor * width
        depthwise = nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False)
        pointwise = nn.Conv2d(inputs, outputs, 1, bias=False)
        norms = nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)
        layers.append(nn.Sequential(depthwise, norms[0], nn.ReLU(), pointwise, norms[1], nn.ReLU()))
        inputs = outputs
    head = nn.Linear(inputs, classes)

    class Mean(nn.Module):
        def forward(self, x: Any) -> Any:
            return x.mean((2, 3))

    return nn.Sequential(*layers, Mean(), head)


def vgg11(torch: Any, classes: int, width: int, side: int) -> Any:
    nn = torch.nn
    layers: list[Any] = []
    inputs = 3
    for factor in (1, 0, 2, 0, 4, 4, 0, 8, 8, 0, 8, 8, 0):
        if factor:
            layers += [nn.Conv2d(inputs, factor * width, 3, padding=1), nn.BatchNorm2d(factor * width), nn.ReLU()]
            inputs = factor * width
        else:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(inputs * (side // 32) ** 2, classes))


def resnet20(torch: Any, classes: int, width: int, depth: int) -> Any:
    """The CIFAR network with 1x1 projections; blocks have a body and a shortcut, as Residual names them."""
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self, inputs: int, channels: int, stride: int):
            super().__init__()
            convs = (
                nn.Conv2d(inputs, channels, 3, stride, 1, bias=False),
                nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            )
            norms = (nn.BatchNorm2d(channels), nn.BatchNorm2d(channels))
            self.body = nn.Sequential(convs[0], norms[0], nn.ReLU(), convs[1], norms[1])
            self.shortcut = None
            if inputs != channels:
                self.shortcut = nn.Sequential(
                    nn.Conv2d(inputs, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
                )

        def forward(self, x: Any) -> Any:
            return (self.body(x) + (self.shortcut(x) if self.shortcut else x)).relu()

    layers: list[Any] = [nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    inputs = width
    for stage in range(3):
        for i in range(depth):
            layers.append(Block(inputs, width << stage, 2 if stage and i == 0 else 1))
            inputs = width << stage

    class Mean(nn.Module):
        def forward(self, x: Any) -> Any:
            return x.mean((2, 3))

    return nn.Sequential(*layers, Mean(), nn.Linear(inputs, classes))


def lstm(torch: Any, inputs: int, classes: int, width: int, depth: int) -> Any:
    """LSTM layers under the places they have in the list of blocks: behind a reshape, before the dense layer."""
    nn = torch.nn

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for i in range(depth):
                setattr(self, str(1 + i), nn.LSTM(width if i else inputs, width, batch_first=True))
            setattr(self, str(1 + depth), nn.Linear(width, classes))

        def forward(self, x: Any) -> Any:
            x = x.flatten(2)
            for i in range(depth):
                x = getattr(self, str(1 + i))(x)[0]
            return getattr(self, str(1 + depth))(x[:, -1])

    return Classifier()


def unet(torch: Any, inputs: int, classes: int, width: int, depth: int) -> Any:
    """A Sequential in which two markers stand for what is put by and joined again."""
    nn = torch.nn

    class Put(nn.Identity):
        pass

    class Join(nn.Identity):
        pass

    class UNet(nn.Sequential):
        def forward(self, x: Any) -> Any:
            skips: list[Any] = []
            for module in self:
                if isinstance(module, Put):
                    skips.append(x)
                x = torch.cat([x, skips.pop()], 1) if isinstance(module, Join) else module(x)
            return x

    def double(before: int, after: int) -> list[Any]:
        first, second = (nn.Conv2d(c, after, 3, padding=1, bias=False) for c in (before, after))
        return [first, nn.BatchNorm2d(after), nn.ReLU(), second, nn.BatchNorm2d(after), nn.ReLU()]

    layers: list[Any] = []
    widths = [width * 2**level for level in range(depth + 1)]
    for before, after in zip([inputs, *widths], widths[:-1], strict=False):
        layers += [*double(before, after), Put(), nn.MaxPool2d(2)]
    layers += double(widths[-2], widths[-1])
    for before, after in zip(widths[:0:-1], widths[-2::-1], strict=True):
        layers += [nn.ConvTranspose2d(before, after, 2, 2), Join(), *double(2 * after, after)]
    return UNet(*layers, nn.Conv2d(width, classes, 1))


def tcn(torch: Any, inputs: int, classes: int, width: int, depth: int) -> Any:
    nn = torch.nn

    class Level(nn.Module):
        def __init__(self, before: int, dilation: int):
            super().__init__()
            first = nn.Conv1d(before, width, 3, dilation=dilation)
            second = nn.Conv1d(width, width, 3, dilation=dilation)
            self.body = nn.Sequential(first, nn.ReLU(), nn.Dropout(0), second, nn.ReLU(), nn.Dropout(0))
            self.pad = nn.ConstantPad1d((2 * dilation, 0), 0.0)
            self.shortcut = nn.Conv1d(before, width, 1) if before != width else None

        def forward(self, x: Any) -> Any:
            y = x
            for module in self.body:
                y = module(self.pad(y) if isinstance(module, nn.Conv1d) else y)
            return (y + (self.shortcut(x) if self.shortcut else x)).relu()

    class Turn(nn.Module):
        def forward(self, x: Any) -> Any:
            return x.transpose(1, 2)

    class Last(nn.Module):
        def forward(self, x: Any) -> Any:
            return x[:, :, -1]

    levels = [Level(width if i else inputs, 1 << i) for i in range(depth)]
    return nn.Sequential(Turn(), *levels, Last(), nn.Linear(width, classes))


def conv_autoencoder(torch: Any, channels: int, width: int, code: int) -> Any:
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, 2, 1),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, 2, 1),
        nn.ReLU(),
        nn.Conv2d(2 * width, code, 1),
        nn.ConvTranspose2d(code, 2 * width, 3, 2, 1, 1),
        nn.ReLU(),
        nn.ConvTranspose2d(2 * width, width, 3, 2, 1, 1),
        nn.ReLU(),
        nn.Conv2d(width, channels, 3, padding=1),
    )


def lstm_lm(torch: Any, classes: int, width: int) -> Any:
    nn = torch.nn

    class Steps(nn.LSTM):
        def forward(self, x: Any) -> Any:
            return super().forward(x)[0]

    layers = [
        nn.Dropout(0),
        Steps(width, width, batch_first=True),
        nn.Dropout(0),
        Steps(width, width, batch_first=True),
    ]
    return nn.Sequential(nn.Embedding(classes, width), *layers, nn.Dropout(0), nn.Linear(width, classes))


def gpt(torch: Any, length: int, classes: int, width: int, depth: int, heads: int) -> Any:
    nn = torch.nn

    class Positions(nn.Embedding):
        def forward(self, x: Any) -> Any:
            return x + self.weight

    class Causal(nn.MultiheadAttention):
        def forward(self, x: Any) -> Any:
            later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
            return super().forward(x, x, x, attn_mask=later, need_weights=False)[0]

    class Branch(nn.Module):
        def __init__(self, *body: Any):
            super().__init__()
            self.body = nn.Sequential(nn.LayerNorm(width), *body)

        def forward(self, x: Any) -> Any:
            return x + self.body(x)

    blocks: list[Any] = []
    for _ in range(depth):
        blocks.append(Branch(Causal(width, heads, batch_first=True)))
        blocks.append(Branch(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)))
    head = nn.Linear(width, classes, bias=False)
    net = nn.Sequential(
        nn.Embedding(classes, width), Positions(length, width), nn.Dropout(0), *blocks, nn.LayerNorm(width), head
    )
    head.weight = net[0].weight
    return net
