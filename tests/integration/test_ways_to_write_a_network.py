"""What people write in their forward(): each is read as the operator that it is, and answers as before."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adapt.agreement import largest_difference, run_module
from adapt.checkpoint import read_network, write_safetensors
from adapt.errors import NetworkRefused, UnsupportedOperator
from adapt.export import write_pt2
from adapt.formats.onnx_writer import write_onnx
from adapt.formats.pt2 import read_pt2
from adapt.graph.network import Network
from adapt.modules import build_module
from tests.pt2_files import MODEL, entries, exported, zipped


class Written(nn.Module):
    """conv -> `body` -> pooling -> linear, the parts that a case does not care about being plain."""

    def __init__(self, body, head=None) -> None:
        super().__init__()
        self.conv, self.other, self.bn = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8)
        self.squeeze, self.excite = nn.Linear(8, 4), nn.Linear(4, 8)
        self.kernel = nn.Parameter(torch.randn(8, 1, 3, 3) / 3)
        self.norm, self.like = nn.LayerNorm(8, eps=1e-6), nn.Linear(8, 8)
        self.factor, self.column = nn.Parameter(torch.randn(8)), nn.Parameter(torch.randn(8, 1, 1))
        self.group = nn.GroupNorm(4, 8)
        self.register_buffer("spread", torch.linspace(0.5, 2, 8).view(1, 8, 1, 1))
        self.slope, self.slopes = nn.PReLU(init=0.3), nn.PReLU(8, 0.1)
        self.plane, self.along, self.spot = (
            nn.Conv2d(2, 1, 3, padding=1),
            nn.Conv1d(1, 1, 3, padding=1),
            nn.Conv2d(8, 1, 1),
        )
        self.instance = nn.InstanceNorm2d(8, affine=True)
        self.matrix = nn.Parameter(torch.randn(8, 5) / 3)
        self.power, self.places = nn.Parameter(torch.tensor(3.0)), nn.Parameter(torch.randn(1, 8, 12, 12))
        self.long = nn.utils.parametrizations.weight_norm(nn.Conv2d(8, 8, 1))
        self.narrow = nn.utils.parametrizations.spectral_norm(nn.Conv2d(8, 8, 1))
        self.fc = nn.Linear(8, 5)
        self.body, self.head = body, head or (lambda net, x: net.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self, self.body(self, self.conv(x)))


def read(module: nn.Module, tmp_path, **how) -> Network:
    torch.manual_seed(0)
    path = tmp_path / "net.pt2"
    path.write_bytes(exported(module, **how))
    return read_pt2(path)


def gated_by_linear(net, x):
    gate = torch.sigmoid(net.excite(torch.relu(net.squeeze(x.mean((2, 3))))))
    return x * gate.view(x.size(0), 8, 1, 1)


def gated_by_index(net, x):
    return x * torch.sigmoid(net.excite(F.relu(net.squeeze(x.mean((-1, -2))))))[:, :, None, None]


def written_in_place(net, x):
    x = F.relu(net.bn(x), inplace=True)
    x += net.other(x)
    return F.hardtanh_(x, 0.0, 6.0)


def shuffled(net, x):
    n, c, h, w = x.size()
    return torch.transpose(x.view(n, 4, c // 4, h, w), 1, 2).contiguous().view(n, -1, h, w)


def split_and_joined(net, x):
    a, b = torch.split(x, [3, 5], dim=1)
    c, d = b.chunk(2, dim=1)
    return torch.cat((d, a.narrow(1, 0, 3), c), dim=1)


def transformed_as_for_inception(net, x):
    first = torch.unsqueeze(x[:, 0], 1) * 0.458 - 0.03
    return torch.cat((first, torch.unsqueeze(x[:, 1], 1) * 0.448, x[:, 2:]), 1)


def channels_last(net, x):
    y = net.norm(x.permute(0, 2, 3, 1))
    return x + (net.factor * net.like(y)).permute(0, 3, 1, 2)


def layer_norm_over_channels(net, x):
    """As ConvNeXt's own code writes it for [N, C, H, W]."""
    mean = x.mean(1, keepdim=True)
    variance = (x - mean).pow(2).mean(1, keepdim=True)
    x = (x - mean) / torch.sqrt(variance + 1e-6)
    return net.factor[:, None, None] * x + net.column


def channel_and_spatial_attention(net, x):
    """CBAM (Woo et al., 2018)."""
    gates = [net.excite(F.relu(net.squeeze(pooled))) for pooled in (x.mean((2, 3)), x.amax((2, 3)))]
    x = x * torch.sigmoid(gates[0] + gates[1])[:, :, None, None]
    planes = torch.cat([x.mean(1, keepdim=True), torch.max(x, dim=1, keepdim=True)[0]], dim=1)
    return x * torch.sigmoid(net.plane(planes))


def efficient_channel_attention(net, x):
    """ECA (Wang et al., 2020)."""
    row = F.adaptive_avg_pool2d(x, 1).squeeze(-1).transpose(-1, -2)
    gate = net.along(row).transpose(-1, -2).unsqueeze(-1)
    return x * torch.sigmoid(gate).expand_as(x)


def global_context(net, x):
    """GCNet (Cao et al., 2019): attention over positions, by a matrix product."""
    n, c, h, w = x.shape
    weights = torch.softmax(net.spot(x).view(n, 1, h * w), dim=2).unsqueeze(3)
    context = torch.matmul(x.view(n, c, h * w).unsqueeze(1), weights)
    return x + net.other(context.view(n, c, 1, 1))


def selected_kernels(net, x):
    """SKNet (Li et al., 2019): softmax over branches."""
    branches = torch.stack([x, net.other(x)], dim=1)
    gates = torch.softmax(
        branches.sum(1).mean((2, 3), keepdim=True).unsqueeze(1) * branches.mean((3, 4), keepdim=True), 1
    )
    return (branches * gates).sum(dim=1)


def standardised(net, x):
    """Weight standardisation (Qiao et al., 2019) as timm writes it."""
    weight = F.batch_norm(net.other.weight.view(1, 8, -1), None, None, training=True, momentum=0.0, eps=1e-6)
    return F.conv2d(x, weight.view_as(net.other.weight))


def response_normalised(net, x):
    """Global response normalisation (ConvNeXt V2), channels first."""
    norm = torch.norm(x, p=2, dim=(2, 3), keepdim=True)
    return x + net.column * (x * (norm / (norm.mean(1, keepdim=True) + 1e-6)))


def two_spread_gates(net, x):
    """What is spread by hand over nothing that has its size must stay so."""
    whole = x.mean((2, 3), keepdim=True)
    return net.other(whole.expand_as(x) * torch.sigmoid(whole).expand_as(x)) + x.sum((2, 3), keepdim=True)


BODIES = {
    "two spread gates": (two_spread_gates, None),
    "turned round": (lambda net, x: torch.flip(net.other(x.flip(3)), (1, -2)), ["flip", "conv2d", "flip"]),
    "larger of two and of weights": (
        lambda net, x: torch.max(torch.max(x, net.other(x)), x.min(1, keepdim=True)[0]),
        ["conv2d", "maximum", "reduce", "maximum"],
    ),
    "weights in front": (
        lambda net, x: (net.column - x) + net.spread / (2 + x * x) - torch.add(x, net.factor[:, None, None], alpha=2),
        None,
    ),
    "weights alone, two things at once": (
        lambda net, x: (
            x
            * torch.lerp(torch.addcmul(net.factor, net.factor, net.factor, value=0.5), net.fc.weight[0], 0.3)[
                :, None, None
            ]
        ),
        None,
    ),
    "weights by softmax": (lambda net, x: x * torch.softmax(net.factor, 0).view(1, 8, 1, 1), ["scale"]),
    "kernels added up": (
        lambda net, x: F.conv2d(
            x, net.other.weight.expand(8, 8, 3, 3) + F.pad(net.other.weight, (1, 1, 1, 1)), padding=1
        ),
        ["conv2d"],
    ),
    "kernel of low rank": (
        lambda net, x: F.conv2d(x, (net.matrix @ net.matrix.t()).view(8, 8, 1, 1)),
        ["conv2d"],
    ),
    "whole numbers as they are": (lambda net, x: x * torch.arange(1, 9).view(1, 8, 1, 1), ["scale"]),
    "smoothly to one pixel": (lambda net, x: F.interpolate(x, (1, 1), mode="bilinear"), ["resize"]),
    "scaled sum": (lambda net, x: torch.add(x, F.relu(x), alpha=2), ["relu", "mul_scalar", "add"]),
    "between two": (lambda net, x: torch.lerp(x, F.relu(x), 0.3), ["relu", "sub", "mul_scalar", "add"]),
    "gated linear unit": (
        lambda net, x: F.glu(torch.cat([x, net.other(x)], 1), 1),
        ["conv2d", "cat", "slice", "slice", "sigmoid", "mul"],
    ),
    "pixels shuffled": (
        lambda net, x: F.pixel_shuffle(F.pixel_unshuffle(x, 3), 3),
        ["pixel_unshuffle", "pixel_shuffle"],
    ),
    "pixels shuffled, channels fewer": (lambda net, x: net.other(F.pixel_unshuffle(F.pixel_shuffle(x, 2), 2)), None),
    "deviations": (lambda net, x: x / (x.std((2, 3), keepdim=True) + x.var(1, unbiased=False, keepdim=True) + 1), None),
    "softest maximum": (lambda net, x: x - torch.logsumexp(x, 1, keepdim=True), ["reduce", "sub"]),
    "axes moved": (lambda net, x: net.like(x.movedim(1, -1)).movedim(-1, 1), ["permute", "linear", "permute"]),
    "taken apart": (lambda net, x: torch.cat([sum(torch.unbind(x, 1)).unsqueeze(1), x[:, 1:]], 1), None),
    "split evenly": (
        lambda net, x: torch.cat(torch.tensor_split(x, 3, 1)[::-1], 1),
        ["slice", "slice", "slice", "cat"],
    ),
    "other places and types": (lambda net, x: x.to("cpu").to(x.device, torch.float32).type_as(net.kernel), []),
    "repeated gate": (lambda net, x: torch.square(x) * F.adaptive_avg_pool2d(x, 1).repeat(1, 1, 12, 12), None),
    "trained power": (lambda net, x: x.clamp(min=1e-3).pow(net.power), ["clamp", "scale"]),
    "position embedding": (lambda net, x: x + net.places, ["scale"]),
    "alpha dropout": (lambda net, x: F.alpha_dropout(x, 0.1, net.training), ["alpha_dropout"]),
    "weight norm": (lambda net, x: net.long(x), ["conv2d"]),
    "spectral norm": (lambda net, x: net.narrow(x), ["conv2d"]),
    "upsampled by another factor": (lambda net, x: F.interpolate(x, (19, 14), mode="nearest"), ["resize"]),
    "upsampled smoothly by another factor": (lambda net, x: F.interpolate(x, (19, 7), mode="bilinear"), ["resize"]),
    "layer norm over channels": (layer_norm_over_channels, None),
    "channel and spatial attention": (channel_and_spatial_attention, None),
    "efficient channel attention": (efficient_channel_attention, None),
    "global context": (global_context, None),
    "selected kernels": (selected_kernels, None),
    "product and sum at once": (
        lambda net, x: torch.addcmul(net.column, net.factor[:, None, None], x),
        ["scale", "scale"],
    ),
    "global response norm": (response_normalised, None),
    "upsampled": (
        lambda net, x: x + F.interpolate(F.max_pool2d(x, 2), scale_factor=2, mode="nearest"),
        ["max_pool2d", "resize", "add"],
    ),
    "upsampled smoothly": (
        lambda net, x: F.interpolate(F.avg_pool2d(x, 3), x.shape[2:], mode="bilinear", align_corners=False),
        ["avg_pool2d", "resize"],
    ),
    "upsampled, corners aligned": (
        lambda net, x: F.interpolate(x, (17, 20), mode="bilinear", align_corners=True),
        ["resize"],
    ),
    "instance norm": (lambda net, x: net.instance(nn.InstanceNorm2d(8)(x)), ["instance_norm", "instance_norm"]),
    "mish by hand": (lambda net, x: x * torch.tanh(F.softplus(x)), ["mish"]),
    "other curves": (
        lambda net, x: F.softsign(x) + F.logsigmoid(x) + torch.rsqrt(1 + x * x) + 1 / (2 + x.abs()) + (x * x + 1).log(),
        None,
    ),
    "numbers made in forward": (
        lambda net, x: (x - torch.tensor([0.1 * c for c in range(8)]).view(1, 8, 1, 1)) / (2 * torch.ones(8, 1, 1)),
        ["scale", "scale"],
    ),
    "standardised kernel": (
        lambda net, x: F.conv2d(
            x, F.batch_norm(net.other.weight.view(1, 8, -1), None, None, training=True).view(8, 8, 1, 1)
        ),
        ["conv2d"],
    ),
    "normalised kernel": (lambda net, x: F.conv2d(x, F.normalize(net.other.weight, dim=1)), ["conv2d"]),
    "layer applied twice": (lambda net, x: net.other(torch.relu(net.other(x))), ["conv2d", "relu", "conv2d"]),
    "shuffle": (shuffled, ["channel_shuffle"]),
    "shuffle by name": (lambda net, x: F.channel_shuffle(x, 2), ["channel_shuffle"]),
    "split, chunk, narrow": (split_and_joined, ["slice", "slice", "slice", "slice", "slice", "cat"]),
    "transform_input": (
        transformed_as_for_inception,
        ["select", "reshape", "mul_scalar", "add_scalar", "select", "reshape", "mul_scalar", "slice", "cat"],
    ),
    "concatenated": (lambda net, x: torch.cat([x, net.other(x)], -3)[:, :8], ["conv2d", "cat", "slice"]),
    "channels last": (channels_last, ["permute", "layer_norm", "linear", "scale", "permute", "add"]),
    "layer scale": (lambda net, x: x * net.column, ["scale"]),
    "local response norm": (lambda net, x: F.local_response_norm(x, 5, 2e-3, 0.7, 2.0), ["local_response_norm"]),
    "prelu": (lambda net, x: net.slope(net.slopes(x)), ["prelu", "prelu"]),
    "gelu": (lambda net, x: F.gelu(x), ["gelu"]),
    "gelu by tanh": (lambda net, x: F.gelu(x, approximate="tanh"), ["gelu"]),
    "elu": (lambda net, x: F.elu(x, 0.7, inplace=True), ["elu"]),
    "celu, selu, mish": (lambda net, x: F.mish(F.selu(F.celu(x, 0.7))), ["celu", "selu", "mish"]),
    "clamped": (lambda net, x: F.hardtanh(x).clamp(min=-0.5), ["clamp", "clamp"]),
    "padded": (lambda net, x: F.pad(x, (1, 2, 0, 1)), ["pad"]),
    "padded with a number": (lambda net, x: nn.ConstantPad2d((0, 1, 0, 1), -0.5)(x), ["pad"]),
    "padded by reflection": (lambda net, x: nn.ReplicationPad2d(1)(nn.ReflectionPad2d(2)(x)), ["pad", "pad"]),
    "cropped": (lambda net, x: F.pad(x, (-1, -1, -1, -1))[:, :, ::2, 1:], ["pad", "slice", "slice"]),
    "channels of zeros": (lambda net, x: F.pad(x, (0, 0, 0, 0, 1, 2))[:, 1:9], ["pad", "slice"]),
    "average pool, padded, ceil": (lambda net, x: F.avg_pool2d(x, 3, 2, 1, True), ["avg_pool2d"]),
    "average pool, padded, ceil, image only": (lambda net, x: F.avg_pool2d(x, 3, 2, 1, True, False), ["avg_pool2d"]),
    "average pool, ceil, wide stride": (lambda net, x: F.avg_pool2d(x, 2, 3, 1, True), ["avg_pool2d"]),
    "average pool, divisor": (lambda net, x: F.avg_pool2d(x, (3, 2), divisor_override=4), ["avg_pool2d"]),
    "adaptive to 5, uneven": (lambda net, x: F.adaptive_avg_pool2d(x, (5, 7)), ["adaptive_avg_pool2d"]),
    "adaptive to more than there is": (lambda net, x: F.adaptive_avg_pool2d(x, 15), ["adaptive_avg_pool2d"]),
    "adaptive along one axis": (lambda net, x: F.adaptive_avg_pool2d(x, (None, 2)), ["adaptive_avg_pool2d"]),
    "quotient and difference": (lambda net, x: (x - net.other(x)) / (2 + x.pow(2)), None),
    "gelu by hand": (lambda net, x: 0.5 * x * (1 + torch.erf(x / 2**0.5)), ["gelu"]),
    "group norm": (lambda net, x: net.group(x), ["group_norm"]),
    "bias by channel": (lambda net, x: (net.column + x) / net.spread, ["scale", "scale"]),
    "gate spread by hand": (
        lambda net, x: x * torch.sigmoid(net.other(F.adaptive_avg_pool2d(x, 1))).expand_as(x),
        ["adaptive_avg_pool2d", "conv2d", "sigmoid", "mul"],
    ),
    "concatenated signs": (lambda net, x: torch.cat([F.relu(x), F.relu(-x)], 1)[:, 4:12], None),
    "larger of two": (lambda net, x: torch.maximum(x, net.other(x)), ["conv2d", "maximum"]),
    "complement": (lambda net, x: 1 - torch.sigmoid(x.float()), ["sigmoid", "subtracted_from_scalar"]),
    "any other view": (lambda net, x: x.view(x.size(0), 8, -1).transpose(1, 2).reshape(x.shape), None),
    "h-swish, product over 6": (lambda net, x: x * F.relu6(x + 3) / 6, ["hardswish"]),
    "h-swish by h-sigmoid": (lambda net, x: x * (F.relu6(x + 3.0) / 6.0), ["hardswish"]),
    "h-swish, sixth first": (lambda net, x: x / 6 * F.relu6(3 + x), ["hardswish"]),
    "h-swish by functional": (lambda net, x: x * F.hardsigmoid(x), ["hardswish"]),
    "h-sigmoid by hand": (lambda net, x: x + F.relu6(x + 3, inplace=True) * (1 / 6), ["hardsigmoid", "add"]),
    "no h-swish: another shift": (
        lambda net, x: x * F.relu6(x + 2) / 6,
        ["add_scalar", "relu6", "mul", "mul_scalar"],
    ),
    "no h-swish: another tensor": (
        lambda net, x: net.other(x) * F.relu6(x + 3) / 6,
        ["conv2d", "add_scalar", "relu6", "mul", "mul_scalar"],
    ),
    "no silu: another tensor": (lambda net, x: torch.sigmoid(net.other(x)) * x, ["conv2d", "sigmoid", "mul"]),
    "a part of h-swish used twice": (
        lambda net, x: (lambda gate: x * gate / 6 + gate)(F.relu6(x + 3)),
        ["add_scalar", "relu6", "hardswish", "add"],
    ),
    "silu by hand": (lambda net, x: torch.sigmoid(x) * x, ["silu"]),
    "silu": (lambda net, x: F.silu(x), ["silu"]),
    "relu6 by clamp": (lambda net, x: x.clamp(0, 6), ["relu6"]),
    "relu by clamp": (lambda net, x: torch.clamp(x, min=0), ["relu"]),
    "relu6 by clamp_": (lambda net, x: x.clamp_(0, 6), ["relu6"]),
    "tanh": (lambda net, x: torch.tanh(x), ["tanh"]),
    "leaky": (lambda net, x: F.leaky_relu(x, 0.1), ["leaky_relu"]),
    "numbers": (lambda net, x: (2 * x - 1) / 4 + 0.5, ["mul_scalar", "add_scalar", "mul_scalar", "add_scalar"]),
    "written in place": (written_in_place, ["batch_norm", "relu", "conv2d", "add", "relu6"]),
    "same tensor twice": (lambda net, x: x + x, ["add"]),
    "identities": (lambda net, x: nn.Identity()(x.contiguous().clone()[:, :]), []),
    "max pool": (lambda net, x: F.max_pool2d(x, 3, 2, 1), ["max_pool2d"]),
    "max pool, ceil": (lambda net, x: F.max_pool2d(x, 3, 2, ceil_mode=True), ["max_pool2d"]),
    "average pool": (lambda net, x: F.avg_pool2d(x, 2), ["avg_pool2d"]),
    "average pool, padded": (lambda net, x: F.avg_pool2d(x, 3, 2, 1), ["avg_pool2d"]),
    "average pool, pad not counted": (
        lambda net, x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
        ["avg_pool2d"],
    ),
    "average pool, ceil": (lambda net, x: F.avg_pool2d(x, 3, 2, ceil_mode=True), ["avg_pool2d"]),
    "adaptive to 4": (lambda net, x: F.adaptive_avg_pool2d(x, (4, 2)), ["adaptive_avg_pool2d"]),
    "dilated, strided": (lambda net, x: F.conv2d(x, net.kernel, None, 2, 2, 2, 8), ["conv2d"]),
    "same padding": (lambda net, x: F.conv2d(x, net.kernel, padding="same", groups=8), ["conv2d"]),
    "squeeze and excite by linear": (
        gated_by_linear,
        ["mean", "linear", "relu", "linear", "sigmoid", "unsqueeze", "mul"],
    ),
    "squeeze and excite by index": (
        gated_by_index,
        ["mean", "linear", "relu", "linear", "sigmoid", "unsqueeze", "mul"],
    ),
}

HEADS = {
    "product with a matrix": (lambda net, x: x.mean((2, 3)) @ net.matrix + net.fc.bias, ["scale"]),
    "product with a turned matrix": (lambda net, x: torch.mm(x.mean((2, 3)), net.fc.weight.t()), ["linear"]),
    "cosines": (
        lambda net, x: 30 * F.linear(F.normalize(x.mean((2, 3))), F.normalize(net.fc.weight)),
        ["mul_scalar"],
    ),
    "sum over positions": (lambda net, x: net.fc(x.sum((2, 3))), []),
    "largest of rows and columns": (lambda net, x: net.fc(x.max(-1)[0].max(-1)[0]), []),
    "view with size": (lambda net, x: net.fc(F.adaptive_avg_pool2d(x, 1).view(x.size(0), -1)), []),
    "view with numbers": (lambda net, x: net.fc(F.adaptive_avg_pool2d(x, 1).view(-1, 8)), []),
    "reshape with shape": (lambda net, x: net.fc(F.adaptive_avg_pool2d(x, 1).reshape(x.shape[0], x.shape[1])), []),
    "squeeze": (lambda net, x: net.fc(F.adaptive_avg_pool2d(x, 1).squeeze(-1).squeeze(-1)), []),
    "flattened and averaged": (lambda net, x: net.fc(x.flatten(2).mean(-1)), []),
    "largest": (lambda net, x: net.fc(x.amax((2, 3))), []),
    "adaptive maximum": (lambda net, x: net.fc(F.adaptive_max_pool2d(x, 1).flatten(1)), []),
    "dropout in place": (
        lambda net, x: net.fc(F.dropout(F.dropout2d(x, 0.1, net.training).mean((2, 3)), 0.2, net.training, True)),
        [],
    ),
    "squeeze of two": (lambda net, x: net.fc(F.adaptive_avg_pool2d(x, 1).squeeze((2, 3))), []),
    "mean twice kept": (lambda net, x: net.fc(x.mean((2, 3), keepdim=True).flatten(1)), []),
    "convolution as head": (lambda net, x: net.other(F.adaptive_avg_pool2d(x, 1)).flatten(1), ["flatten"]),
    "log softmax": (lambda net, x: F.log_softmax(net.fc(x.mean((2, 3))), dim=1), ["log_softmax"]),
    "softmax": (lambda net, x: torch.softmax(net.fc(x.mean((2, 3))), dim=-1), ["softmax"]),
}


def check_agreement(module: nn.Module, network: Network) -> None:
    images = np.random.default_rng(2).standard_normal((3, *network.graph.input_shape)).astype(np.float32)
    with torch.inference_mode():
        expected = module.eval()(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(run_module(network, images), expected, atol=1e-5)
    assert largest_difference(network) < 1e-5


@pytest.mark.parametrize("case", sorted(BODIES))
def test_a_body_is_read_as_the_operators_that_it_is(case, tmp_path):
    body, operators = BODIES[case]
    module = Written(body)
    network = read(module, tmp_path, size=12)
    found = [node.operator for node in network.graph.nodes]
    assert operators is None or found == ["conv2d", *operators, "adaptive_avg_pool2d", "flatten", "linear"]
    check_agreement(module, network)
    (tmp_path / "again.onnx").write_bytes(write_onnx(network))
    check_agreement(module, read_network(tmp_path / "again.onnx"))


@pytest.mark.parametrize("batch", [None, 1, 2])
@pytest.mark.parametrize("case", sorted(HEADS))
def test_a_head_is_read_whether_the_batch_is_dynamic_or_fixed(case, batch, tmp_path):
    head, last = HEADS[case]
    module = Written(lambda net, x: x, head)
    network = read(module, tmp_path, batch=batch)
    assert [node.operator for node in network.graph.nodes][-1:] == (last or ["linear"])
    check_agreement(module, network)


def test_a_network_exported_in_training_mode_is_read_as_in_evaluation_mode(tmp_path):
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(True), nn.Flatten(), nn.Dropout(), nn.Linear(288, 3)
    )
    trained, evaluated = read(module, tmp_path, training=True), read(module, tmp_path)
    assert [n.operator for n in trained.graph.nodes] == [n.operator for n in evaluated.graph.nodes]
    assert trained.weights.keys() == evaluated.weights.keys() == module.state_dict().keys()
    check_agreement(module, trained)


@pytest.mark.parametrize("case", ["standardised kernel", "normalised kernel"])
def test_a_kernel_that_is_computed_from_a_weight_keeps_its_name(case, tmp_path):
    network = read(Written(BODIES[case][0]), tmp_path)
    assert network.weights["other.weight"].shape == (8, 8, 1, 1)


def test_a_layer_whose_kernel_is_normalised_keeps_its_own_name(tmp_path):
    network = read(Written(lambda net, x: net.narrow(net.long(x))), tmp_path)
    assert {"long.weight", "long.bias", "narrow.weight", "narrow.bias"} <= network.weights.keys()


def test_a_value_may_be_called_what_the_reader_would_call_a_weight(tmp_path):
    def head(net, x):
        x = x.mean((2, 3))
        early = torch.relu(x)
        return x @ net.matrix + early[:, :5]

    module = Written(lambda net, x: x, head)
    torch.manual_seed(0)
    contents = entries(exported(module))
    contents[MODEL] = contents[MODEL].replace(b'"relu"', b'"matmul_weight"')
    (tmp_path / "net.pt2").write_bytes(zipped(contents))
    check_agreement(module, read_pt2(tmp_path / "net.pt2"))


def test_a_value_that_has_the_name_of_a_step_is_not_taken_for_it(tmp_path):
    module = Written(lambda net, x: (lambda early: torch.lerp(x, torch.tanh(x), 0.3) + early)(torch.relu(x)))
    contents = entries(exported(module))
    contents[MODEL] = contents[MODEL].replace(b'"relu"', b'"lerp_way"')
    (tmp_path / "net.pt2").write_bytes(zipped(contents))
    with pytest.raises(NetworkRefused, match="'lerp_way' is computed twice"):
        read_pt2(tmp_path / "net.pt2")


def test_numbers_made_in_forward_are_not_trained(tmp_path):
    network = read(Written(BODIES["numbers made in forward"][0]), tmp_path)
    assert {name for name, _ in build_module(network).named_buffers()} == {"sub.weight", "div.weight"}


def test_channels_last_weights_are_read(tmp_path):
    module = Written(lambda net, x: x).to(memory_format=torch.channels_last)
    check_agreement(module, read(module, tmp_path))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_point_types_become_float32(dtype, tmp_path):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).to(dtype)
    path = tmp_path / "net.pt2"
    images = torch.zeros(2, 3, 8, 8, dtype=dtype)
    program = torch.export.export(module, (images,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, path)
    check_agreement(module.float(), read_pt2(path))


def test_a_parameter_that_no_layer_owns_gets_a_layer_of_its_own(tmp_path):
    network = read(Written(lambda net, x: F.conv2d(x, net.kernel, padding=1, groups=8)), tmp_path)
    assert "kernel" not in network.weights
    assert network.weights["conv2d_1.weight"].shape == (8, 1, 3, 3)


def test_a_batch_norm_without_a_counter_stays_without_one(tmp_path):
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, affine=False), nn.Flatten(), nn.Linear(288, 3))
    module[1].num_batches_tracked = None
    network = read(module, tmp_path)
    assert build_module(network).state_dict().keys() == network.weights.keys() == module.state_dict().keys()
    check_agreement(module, network)


def test_what_the_output_does_not_depend_on_is_left_out(tmp_path):
    network = read(Written(lambda net, x: (net.bn(x), x)[1]), tmp_path)
    assert set(network.weights) == {"conv.weight", "conv.bias", "fc.weight", "fc.bias"}


def overwrites_a_residual(net, x):
    y = net.other(x)
    F.relu_(y)
    z = torch.sigmoid(y)
    view = z.view(z.size(0), -1)
    view.mul_(2.0)
    return z + y


REFUSED = {
    "kernel of whole numbers by force": (lambda net, x: x * net.factor.view(1, 8, 1, 1).long(), "floating point"),
    "numbers without end": (lambda net, x: x * net.factor.expand(1 << 13, 1 << 13, 8).sum(), "numbers"),
    "deviation by part of a number": (
        lambda net, x: x / torch.var(x, (2, 3), correction=0.5, keepdim=True),
        "correction",
    ),
    "rounded kernel": (
        lambda net, x: F.conv2d(x, (net.other.weight * 16).to(torch.int8).float() / 16),
        "to other than floating point",
    ),
    "overwritten through a view": (overwrites_a_residual, "overwrites"),
    "unknown operator": (lambda net, x: torch.cumsum(x, 1), "cumsum"),
    "places of the largest": (lambda net, x: x * F.max_pool2d(x, 3, 1, 1, return_indices=True)[1], "getitem"),
    "weights shared by two layers": (
        lambda net, x: net.other(F.conv2d(x, net.other.weight, padding=1)),
        "other.weight is used by",
    ),
    "weight computed in another way": (lambda net, x: x * net.kernel.cumsum(0)[:, :, 0, 0, None], "cumsum"),
    "more numbers than weights": (lambda net, x: x * net.kernel.expand(1 << 16, 8, 1, 3, 3).sum(), "numbers"),
    "batch mixed into channels": (lambda net, x: x.reshape(-1, 8, 4, 4), "reshape"),
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_what_cannot_be_adapted_is_refused_by_name(case, tmp_path):
    body, named = REFUSED[case]
    with pytest.raises(NetworkRefused, match=named):
        read(Written(body), tmp_path)


def test_an_unsupported_operator_names_itself_and_its_layer(tmp_path):
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Hardshrink(), nn.Flatten(), nn.Linear(288, 3))
    with pytest.raises(UnsupportedOperator) as refused:
        read(module, tmp_path)
    assert refused.value.where == "1"
    assert refused.value.operator == "torch.ops.aten.hardshrink.default"


def test_a_buffer_stays_a_buffer_and_a_parameter_is_trained(tmp_path):
    network = read(Written(lambda net, x: x * net.column / net.spread), tmp_path)
    module = build_module(network)
    scales = [node.weights["weight"] for node in network.graph.nodes if node.operator == "scale"]
    assert [name in dict(module.named_parameters()) for name in scales] == [True, False]
    assert all(name in module.state_dict() for name in scales)


def test_a_patterns_every_number_counts(tmp_path):
    network = read(Written(lambda net, x: 0.5 * x * (1 + torch.erf(x / 2))), tmp_path)
    assert "gelu" not in {node.operator for node in network.graph.nodes}


def test_a_shuffle_that_is_none_is_a_reshape(tmp_path):
    def reversed_halves(net, x):
        n, c, h, w = x.shape
        return x.view(n, 2, c // 2, h, w).transpose(1, 3).reshape(n, c, h, w)

    module = Written(reversed_halves)
    network = read(module, tmp_path, size=12)
    assert [node.operator for node in network.graph.nodes[1:4]] == ["reshape", "permute", "reshape"]
    check_agreement(module, network)


def test_layers_with_dashes_slashes_and_spaces_in_their_names_keep_them(tmp_path):
    module = nn.Sequential(
        OrderedDict([("block1-0", nn.Conv2d(3, 8, 3)), ("b/n 1", nn.BatchNorm2d(8)), ("out", nn.Flatten())])
    )
    module.append(nn.Linear(288, 3))
    network = read(module, tmp_path)
    assert network.weights.keys() == module.state_dict().keys()
    check_agreement(module, network)
    for name, data in (("again.pt2", write_pt2(network)), ("again.safetensors", write_safetensors(network))):
        (tmp_path / name).write_bytes(data)
        assert read_network(tmp_path / name).weights.keys() == network.weights.keys()
    images = torch.zeros(2, 3, 8, 8)
    program = torch.export.load(tmp_path / "again.pt2").module()
    torch.testing.assert_close(program(images), module.eval()(images))
