"""The formulas that the components cite, in plain torch: matrix products, softmax, loops over samples and tokens.

Nothing here knows mmspec but for the names of the weights. A value is tokens [B, N, D] with `present`, bool[B, N] or None
where all are there. Fusions are generators: they yield what there is after each block, so that an exit is one `next` away.
"""

import math
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

Stream = tuple[Tensor, Tensor | None]


class Weights:
    """A model's parameters in double precision, by name below a module; it remembers which were read."""

    def __init__(self, tensors: Mapping[str, Tensor], read: set[str], path: str = "") -> None:
        self.tensors, self.read, self.path = tensors, read, path

    @classmethod
    def of(cls, model: nn.Module) -> "Weights":
        return cls({name: p.detach().double().requires_grad_() for name, p in model.named_parameters()}, set())

    def at(self, module: str) -> "Weights":
        return Weights(self.tensors, self.read, f"{self.path}{module}.")

    def __getitem__(self, name: str) -> Tensor:
        self.read.add(self.path + name)
        return self.tensors[self.path + name]

    def unread(self) -> list[str]:
        """Parameters below here that no formula has asked for."""
        return [name for name in self.tensors if name.startswith(self.path) and name not in self.read]

    def __contains__(self, module: str) -> bool:
        return any(name.startswith(f"{self.path}{module}.") for name in self.tensors)

    def depth(self) -> int:
        """How many blocks there are."""
        indices = [
            name.removeprefix(f"{self.path}blocks.").partition(".")[0]
            for name in self.tensors
            if name.startswith(f"{self.path}blocks.")
        ]
        return 1 + max(map(int, indices))


# layers -----------------------------------------------------------------------------------------------------------------


def linear(w: Weights, x: Tensor, bias: bool = True) -> Tensor:
    y = torch.einsum("...i,oi->...o", x, w["weight"])
    return y + w["bias"] if bias else y


def layer_norm(w: Weights, x: Tensor, eps: float = 1e-5) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    variance = (centred**2).mean(-1, keepdim=True)
    return centred / (variance + eps) ** 0.5 * w["weight"] + w["bias"]


def gelu(x: Tensor) -> Tensor:
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def attention(w: Weights, x: Tensor, context: Tensor, present: Tensor | None, heads: int) -> Tensor:
    """softmax(Q K^T / sqrt(d)) V for each head, then the output projection; with nothing to attend to, its bias alone."""
    (batch, queries, width), keys = x.shape, context.shape[1]
    q = linear(w.at("query"), x).reshape(batch, queries, heads, -1)
    k = linear(w.at("key"), context).reshape(batch, keys, heads, -1)
    v = linear(w.at("value"), context).reshape(batch, keys, heads, -1)
    weight = torch.exp(torch.einsum("bnhd,bmhd->bhnm", q, k) / math.sqrt(width // heads))
    if present is not None:
        weight = weight * present[:, None, None, :]
    total = weight.sum(-1, keepdim=True)
    weight = weight / torch.where(total > 0, total, 1.0)
    return linear(w.at("output"), torch.einsum("bhnm,bmhd->bnhd", weight, v).reshape(batch, queries, width))


# feed-forward networks and routers --------------------------------------------------------------------------------------

Mix = Callable[[Weights, Tensor, Tensor | None], Tensor]


def feed_forward(w: Weights, x: Tensor, present: Tensor | None = None) -> Tensor:
    return linear(w.at("down"), gelu(linear(w.at("up"), x)))


def top_k(k: int, balance: float = 0.0, losses: list[Tensor] | None = None) -> Mix:
    """Each token by itself to its k likeliest experts, their probabilities made to sum to one."""

    def mix(w: Weights, x: Tensor, present: Tensor | None) -> Tensor:
        probabilities = linear(w.at("router"), x, bias=False).softmax(-1)
        if losses is not None:
            losses.append(balance * imbalance(probabilities, k, present))
        samples = []
        for tokens, chances in zip(x, probabilities, strict=True):
            mixed = []
            for token, chance in zip(tokens, chances, strict=True):
                best = likeliest(chance, k)
                total = sum(chance[e] for e in best)
                mixed.append(sum(chance[e] / total * feed_forward(w.at(f"experts.{e}"), token) for e in best))
            samples.append(torch.stack(mixed))
        return torch.stack(samples)

    return mix


def likeliest(chance: Tensor, k: int) -> list[int]:
    return sorted(range(len(chance)), key=lambda e: -chance[e].item())[:k]


def imbalance(probabilities: Tensor, k: int, present: Tensor | None) -> Tensor:
    """E sum_e f_e P_e over the tokens that are present.   [B, N, E] -> []"""
    tokens = probabilities.flatten(0, 1) if present is None else probabilities[present]
    count = probabilities.shape[-1]
    share = torch.zeros(count, dtype=tokens.dtype)
    for chance in tokens:
        for e in likeliest(chance, k):
            share[e] += 1 / (k * len(tokens))
    return count * (share * tokens.mean(0)).sum()


# encoders ---------------------------------------------------------------------------------------------------------------


def pre_norm_blocks(w: Weights, x: Tensor, present: Tensor | None, heads: int, eps: float, mix: Mix) -> Tensor:
    for i in range(w.depth()):
        b = w.at(f"blocks.{i}")
        y = layer_norm(b.at("norm1"), x, eps)
        x = x + attention(b.at("attention"), y, y, present, heads)
        x = x + mix(b.at("feed_forward"), layer_norm(b.at("norm2"), x, eps), present)
    return layer_norm(w.at("norm"), x, eps)


def vit(
    w: Weights,
    image: Tensor,
    patch: int,
    heads: int,
    eps: float = 1e-5,
    position: str = "learned",
    mix: Mix = feed_forward,
) -> Tensor:
    """Patches flattened one by one, row by row, times E, plus positions (Dosovitskiy et al., eq. 1), then eq. 2 to 4."""
    side = image.shape[-1] // patch
    tokens = []
    for row in range(side):
        for column in range(side):
            piece = image[:, :, row * patch : (row + 1) * patch, column * patch : (column + 1) * patch]
            token = piece.flatten(1) @ w["patches.weight"].flatten(1).T + w["patches.bias"]
            if position == "learned":
                token = token + w["position"][row * side + column]
            elif position == "learned_2d":
                token = token + torch.cat([w["row_position"][row], w["column_position"][column]])
            tokens.append(token)
    return pre_norm_blocks(w, torch.stack(tokens, dim=1), None, heads, eps, mix)


def text_transformer(
    w: Weights,
    ids: Tensor,
    present: Tensor,
    heads: int,
    eps: float = 1e-5,
    position: str = "learned",
    mix: Mix = feed_forward,
) -> Tensor:
    x = w["embedding"][ids]
    if position == "learned":
        x = x + w["position"][: ids.shape[1]]
    return pre_norm_blocks(w, x, present, heads, eps, mix)


# fusion -----------------------------------------------------------------------------------------------------------------


def row(*streams: Stream) -> Stream:
    """All tokens in a row."""
    masks = [torch.ones(x.shape[:2], dtype=torch.bool) if present is None else present for x, present in streams]
    return torch.cat([x for x, _ in streams], dim=1), torch.cat(masks, dim=1)


def adapted(w: Weights, streams: Mapping[str, Stream]) -> dict[str, Stream]:
    """Streams through the projections that the compiler inserts where widths differ."""
    return {
        name: (linear(w.at(f"adapt_{name}"), x) if f"adapt_{name}" in w else x, present)
        for name, (x, present) in streams.items()
    }


def concat(w: Weights, streams: Mapping[str, Stream], mix: Mix = feed_forward) -> Iterator[Stream]:
    x, present = row(*adapted(w, streams).values())
    for i in range(w.depth()):
        b = w.at(f"blocks.{i}")
        x = layer_norm(b.at("feed_forward_norm"), x + mix(b.at("feed_forward"), x, present))
        yield x, present


def attention_over_modalities(
    w: Weights, streams: Mapping[str, Stream], heads: int, mix: Mix = feed_forward
) -> Iterator[Stream]:
    (_first, (x, present)), *others = adapted(w, streams).items()
    for i in range(w.depth()):
        b = w.at(f"blocks.{i}")
        seen = {"self": attention(b.at("self_attention"), x, x, present, heads)}
        for name, (context, there) in others:
            seen[name] = attention(b.at(f"{name}_attention"), x, context, there, heads)
        energies = []
        for name, c in seen.items():
            hidden = torch.tanh(linear(b.at("ask"), x) + linear(b.at(f"judge_{name}"), c, bias=False))
            energies.append(hidden @ b[f"score_{name}.weight"][0])
        weights = torch.stack(energies, dim=-1).softmax(-1)
        y = torch.einsum("bni,bnid->bnd", weights, torch.stack(list(seen.values()), dim=2))
        x = layer_norm(b.at("norm"), x + y)
        x = layer_norm(b.at("feed_forward_norm"), x + mix(b.at("feed_forward"), x, present))
        yield x, present


def gated(w: Weights, streams: Mapping[str, Stream], heads: int, mix: Mix = feed_forward) -> Iterator[Stream]:
    (x, present), *others = adapted(w, streams).values()
    context, there = row(*others)
    for i in range(w.depth()):
        b = w.at(f"blocks.{i}")
        own = attention(b.at("self_attention"), x, x, present, heads)
        cross = attention(b.at("cross_attention"), x, context, there, heads)
        z = 1 / (1 + torch.exp(-linear(b.at("gate"), torch.cat([own, cross], dim=-1))))
        x = x + layer_norm(b.at("norm1"), z * cross + (1 - z) * own)
        x = x + mix(b.at("feed_forward"), layer_norm(b.at("norm2"), x), present)
        yield x, present


def cross_attention(
    w: Weights, streams: Mapping[str, Stream], heads: int, order: str, mix: Mix = feed_forward
) -> Iterator[Stream]:
    (_, (x, present)), *others = adapted(w, streams).items()
    for i in range(w.depth()):
        b = w.at(f"blocks.{i}")
        x = layer_norm(b.at("self_attention_norm"), x + attention(b.at("self_attention"), x, x, present, heads))
        if order == "sequential":
            for name, (context, there) in others:
                seen = attention(b.at(f"{name}_attention"), x, context, there, heads)
                x = layer_norm(b.at(f"{name}_attention_norm"), x + seen)
        else:
            seen = sum(
                attention(b.at(f"{name}_attention"), x, context, there, heads) for name, (context, there) in others
            )
            x = layer_norm(b.at("cross_norm"), x + seen)
        x = layer_norm(b.at("feed_forward_norm"), x + mix(b.at("feed_forward"), x, present))
        yield x, present


def post_norm_sublayers(
    w: Weights, x: Tensor, present: Tensor | None, contexts: Mapping[str, Stream | None], heads: int, mix: Mix
) -> Tensor:
    """LN(x + Attention(x, context)) for each context (None: x itself), then LN(x + FeedForward(x))."""
    for name, context in contexts.items():
        c, there = context or (x, present)
        x = layer_norm(w.at(f"{name}_norm"), x + attention(w.at(name), x, c, there, heads))
    return layer_norm(w.at("feed_forward_norm"), x + mix(w.at("feed_forward"), x, present))


def single_stream(w: Weights, streams: Mapping[str, Stream], heads: int, mix: Mix = feed_forward) -> Iterator[Stream]:
    typed = [(x + w[f"{name}_type"], present) for name, (x, present) in adapted(w, streams).items()]
    x, present = row(*typed)
    for i in range(w.depth()):
        x = post_norm_sublayers(w.at(f"blocks.{i}"), x, present, {"self_attention": None}, heads, mix)
        yield x, present


def multi_stream(
    w: Weights, streams: Mapping[str, Stream], heads: int, mix: Mix = feed_forward
) -> Iterator[dict[str, Stream]]:
    streams = adapted(w, streams)
    for i in range(w.depth()):
        before = dict(streams)
        for name, (x, present) in before.items():
            others = row(*(stream for other, stream in before.items() if other != name))
            contexts = {"cross_attention": others, "self_attention": None}
            streams[name] = post_norm_sublayers(w.at(f"blocks.{i}.{name}"), x, present, contexts, heads, mix), present
        yield dict(streams)


# heads and objectives ---------------------------------------------------------------------------------------------------


def pooled(w: Weights, how: str, x: Tensor, present: Tensor | None) -> Tensor:
    """Each sample by itself: what its tokens that are there come to, zeros where there are none."""
    vectors = []
    for b in range(len(x)):
        tokens = x[b] if present is None else x[b][present[b]]
        if len(tokens) == 0:
            vectors.append(torch.zeros_like(x[b, 0]))
        elif how == "attention":
            vectors.append((tokens @ w["score.weight"][0]).softmax(0) @ tokens)
        else:
            vectors.append(
                {"mean": tokens.mean(0), "max": tokens.max(0).values, "first": tokens[0], "last": tokens[-1]}[how]
            )
    return torch.stack(vectors)


def classification(w: Weights, x: Tensor, present: Tensor | None, pool: str = "mean") -> Tensor:
    return linear(w.at("output"), pooled(w, pool, x, present))


def cross_entropy(logits: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean over samples of -sum_c q_c log p_c, q the target with `smoothing` of it spread over all classes."""
    losses = []
    for scores, answer in zip(logits, target, strict=True):
        log_p = scores - torch.log(torch.exp(scores).sum())
        losses.append(-(1 - smoothing) * log_p[answer] - smoothing * log_p.mean())
    return torch.stack(losses).mean()
