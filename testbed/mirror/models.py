"""Synthetic Vosk models that the real libvosk loads.

They recognize the word hello in any sound. The acoustic model is a Kaldi nnet3 network with a single affine
component over 13 MFCCs and one phone; the decoding graph is an OpenFst vector FST with two states. A large
model is padded with files that libvosk does not read.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from pathlib import Path

from testbed.mirror import archives, part_cache
from testbed.mirror.archives import Member

SMALL = "vosk-model-small-en-us-0.15"
LARGE = "vosk-model-en-us-0.22"
MIB = 1 << 20
CEPSTRA = 13
FST_MAGIC = 2125659606
# With 64 symbols deflate compresses text to about three quarters, as it does with real graphs.
ALPHABET = bytes(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 \n" * 4)

ACOUSTIC_MODEL = """<TransitionModel>{end}
<Topology>{end}
<TopologyEntry>{end}
<ForPhones>{end}
1{end}
</ForPhones>{end}
<State> 0 <PdfClass> 0 <Transition> 0 0.5 <Transition> 1 0.5 </State>{end}
<State> 1 </State>{end}
</TopologyEntry>{end}
</Topology>{end}
<Triples> 1{end}
1 0 0{end}
</Triples>{end}
<LogProbs>{end}
 [ 0 -0.6931472 -0.6931472 ]
</LogProbs>{end}
</TransitionModel>{end}
<Nnet3>{end}
input-node name=input dim={dimension}
component-node name=affine component=affine input=input
output-node name=output input=affine objective=linear

<NumComponents> 1{end}
<ComponentName> affine <FixedAffineComponent> <LinearParams>  [
  {weights} ]
<BiasParams>  [ 0 ]
</FixedAffineComponent>{end}
</Nnet3>{end}
<LeftContext> 0 <RightContext> 0 <Priors>  [ ]
"""
MODEL_CONF = """--min-active=200
--max-active=3000
--beam=10.0
--lattice-beam=2.0
--acoustic-scale=1.0
--frame-subsampling-factor=1
--endpoint.silence-phones=1
"""


def part(name: str, pad_mib: int) -> part_cache.Part:
    """Return the part with the zip of the model ``name``.

    ``pad_mib`` MiB of padding are added, measured before compression.
    """

    def make(www: Path) -> None:
        target = www / "vosk" / "models" / f"{name}.zip"
        target.parent.mkdir(parents=True)
        members = {**required_files(name), **padding(name, pad_mib)}
        archives.write_zip(target, name, members, compression_level=1 if pad_mib else 6)

    sources = (Path(__file__), Path(archives.__file__))
    return part_cache.Part(name, make, sources, (str(pad_mib),))


def required_files(name: str) -> dict[str, Member]:
    """Return the files that libvosk 0.3.45 needs to load the model and decode."""
    # Kaldi's reader needs the space that its writer puts after every token at the end of a line.
    acoustic = ACOUSTIC_MODEL.format(end=" ", dimension=CEPSTRA, weights=" ".join("0" * CEPSTRA))
    return {
        "README": Member(
            f"{name}: synthetic one-phone model for tests; it recognizes hello in any sound.\n".encode()
        ),
        "am/final.mdl": Member(acoustic.encode()),
        "conf/mfcc.conf": Member(
            f"--sample-frequency=16000\n--num-ceps={CEPSTRA}\n--num-mel-bins=23\n".encode()
        ),
        "conf/model.conf": Member(MODEL_CONF.encode()),
        "graph/HCLG.fst": Member(_decoding_graph()),
        "graph/words.txt": Member(b"<eps> 0\nhello 1\n"),
    }


def _decoding_graph() -> bytes:
    """Return an OpenFst file.

    Its first arc gives the word; then it loops on the phone.
    """
    not_final = float("inf")
    states = [
        (not_final, [(2, 1, 0.0, 1)]),
        (0.0, [(1, 0, 0.0, 1), (2, 0, 0.0, 0)]),
    ]
    version, flags, properties, start = 2, 0, 3, 0
    out = [struct.pack("<i", FST_MAGIC), _fst_string("vector"), _fst_string("standard")]
    out.append(
        struct.pack("<iiQqqq", version, flags, properties, start, len(states), sum(len(a) for _, a in states))
    )
    for final_weight, arcs in states:
        out.append(struct.pack("<fq", final_weight, len(arcs)))
        out.extend(struct.pack("<iifi", *arc) for arc in arcs)
    return b"".join(out)


def _fst_string(text: str) -> bytes:
    return struct.pack("<i", len(text)) + text.encode()


def padding(name: str, mib: int) -> dict[str, Member]:
    """Return ``mib`` MiB of files that compress like a real model.

    5/8 of the bytes do not compress, the others a little.
    """
    if mib <= 0:
        return {}
    total = mib * MIB
    dense, middle = total * 5 // 8, total // 8
    parts = {
        "graph/phones/align_lexicon.int": (middle, True),
        "graph/phones/align_lexicon.txt": (middle, True),
        "graph/phones/align_lexicon.ctm": (total - dense - 2 * middle, True),
        "extra/arcs.bin": (dense, False),
    }
    return {path: Member(_noise(f"{name}/{path}", size, text)) for path, (size, text) in parts.items()}


def _noise(seed: str, size: int, text: bool) -> Iterator[bytes]:
    generator = random.Random(seed)
    table = ALPHABET if text else None
    while size > 0:
        chunk = generator.randbytes(min(size, MIB))
        yield chunk.translate(table)
        size -= len(chunk)
