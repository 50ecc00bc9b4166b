#!/usr/bin/env python3
"""programs.py llm.c|moe.c PROGRAM: training steps of a built train_gpt2 or moe, in turns with Moira's at the same sizes.

See README.md. PROGRAM runs in a folder of its own, with weights and tokens that are made here, and is ended when it has done its
steps. Its architecture is not quite Moira's, so losses are shown, not compared."""

import argparse
import array
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "../../..")


def arguments():
    p = argparse.ArgumentParser()
    p.add_argument("kind", choices=["llm.c", "moe.c"])
    p.add_argument("program")
    p.add_argument("--steps-program", default=os.path.join(ROOT, "build/release/tests/bench/steps"))
    p.add_argument("--work", default="", help="folder of its weights and tokens, kept; else a temporary one")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--steps", type=int, default=3, help="of each side in a round; of moe.c 1 or 20")
    return p.parse_args()


def normals(count, scale, rng):
    """Cheap and good enough: a block of normal numbers, over and over from another place."""
    block = array.array("f", (rng.gauss(0, scale) for _ in range(1 << 16)))
    out = array.array("f")
    while len(out) < count:
        begin = rng.randrange(len(block))
        out += block[begin:]
    return out[:count]


def write_gpt2(work):
    """The checkpoint that llm.c reads: 256 integers, then the tensors in the order of its struct; GPT-2's initial spread."""
    L, C, V, Vp, T, rng = 12, 768, 50257, 50304, 1024, random.Random(1337)
    matrices = [(Vp * C, 0.02), (T * C, 0.01), (L * C, None), (L * C, 0), (L * 3 * C * C, 0.02), (L * 3 * C, 0), (L * C * C, 0.02),
                (L * C, 0), (L * C, None), (L * C, 0), (L * 4 * C * C, 0.02), (L * 4 * C, 0), (L * 4 * C * C, 0.02), (L * C, 0),
                (C, None), (C, 0)]
    with open(os.path.join(work, "gpt2_124M.bin"), "wb") as f:
        array.array("i", [20240326, 3, T, V, L, 12, C, Vp] + [0] * 248).tofile(f)
        for count, scale in matrices:
            values = array.array("f", [1.0] if scale is None else [0.0]) * count if not scale else normals(count, scale, rng)
            values.tofile(f)
    folder = os.path.join(work, "dev/data/tinyshakespeare")
    os.makedirs(folder, exist_ok=True)
    for split in ("train", "val"):
        with open(os.path.join(folder, "tiny_shakespeare_%s.bin" % split), "wb") as f:
            array.array("i", [20240520, 1, 32768] + [0] * 253).tofile(f)
            array.array("H", [rng.randrange(V) for _ in range(32768)]).tofile(f)


def write_text(work):
    rng = random.Random(1337)
    words = ["".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randrange(2, 9))) for _ in range(3000)]
    with open(os.path.join(work, "text.txt"), "w") as f:
        for _ in range(600):
            f.write(" ".join(rng.choice(words) for _ in range(12)) + ".\n")


def llm_c(a, work):
    """Its own clock: forward, zero_grad, backward, update. The first step of a process is left out."""
    seconds, loss = [], None
    for line in lines_of(a, ["stdbuf", "-oL", os.path.abspath(a.program)], work):
        found = re.match(r"step \d+: train loss ([0-9.]+) \(took ([0-9.]+) ms\)", line)
        if found:
            loss = loss or float(found[1])
            seconds.append(float(found[2]) / 1e3)
        if len(seconds) > a.steps:
            break
    return seconds[1:], loss


def moe_c(a, work):
    """Our clock, from the begin of training to the line of step 1 or 20. Its own tokens per second count one of the 4 sequences."""
    begin = loss = None
    for line in lines_of(a, [os.path.abspath(a.program), "--depth", "4", "--data", "text.txt"], work):
        if line.startswith("[model] vocab="):
            print("  moe.c:", line.strip())
        if line.startswith("[train]"):
            begin = time.monotonic()
        found = re.match(r" *step +(\d+)/\d+ +loss=([0-9.]+)", line)
        if found:
            loss = loss or float(found[2])
            if int(found[1]) >= a.steps:
                return [(time.monotonic() - begin) / int(found[1])], loss
    return [], loss


def lines_of(a, command, work):
    """Ends the program when its reader leaves."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS")}
    environment["OMP_NUM_THREADS"] = str(a.threads)
    with subprocess.Popen(command, cwd=work, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as p:
        try:
            yield from p.stdout
        finally:
            p.kill()


def moira(a, config, batches):
    command = [a.steps_program, os.path.join(HERE, config), "-", batches, "run.threads=%d" % a.threads]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS")}
    done = subprocess.run(command, env=environment, input="%d\n" % (3 + 2 * a.steps), text=True, capture_output=True)
    rows = [tuple(map(float, line.split())) for line in done.stdout.splitlines() if not line.startswith("peak")]
    if not rows:
        sys.exit(done.stderr)
    return [s for _, s in rows[3:]], rows[0][0]


def prepare(a, work):
    """The program's files, and random tokens of the same shape for Moira."""
    config, shape, vocabulary = {"llm.c": ("gpt2-124m.yaml", (4, 65), 50257), "moe.c": ("moe-depth4.yaml", (4, 257), 4261)}[a.kind]
    marker = os.path.join(work, "gpt2_124M.bin" if a.kind == "llm.c" else "text.txt")
    if not os.path.exists(marker):
        (write_gpt2 if a.kind == "llm.c" else write_text)(work)
    batches, rng = os.path.join(work, "tokens.ids"), random.Random(1)
    with open(batches, "wb") as f:
        array.array("i", [rng.randrange(vocabulary) for _ in range(4 * shape[0] * shape[1])]).tofile(f)
    return config, batches


def main():
    a = arguments()
    with tempfile.TemporaryDirectory() as temporary:
        work = a.work or temporary
        os.makedirs(work, exist_ok=True)
        config, batches = prepare(a, work)
        peer, ours, ratios = [], [], []
        for _ in range(a.rounds):
            theirs, their_loss = (llm_c if a.kind == "llm.c" else moe_c)(a, work)
            seconds, loss = moira(a, config, batches)
            if not theirs:
                sys.exit("%s did no step" % a.program)
            ratios.append(statistics.median(theirs) / statistics.median(seconds))
            peer, ours = peer + theirs, ours + seconds
    for name, seconds, first in ((a.kind, peer, their_loss), ("moira", ours, loss)):
        print("%-8s %9.4f s/step   %9.4f to %9.4f   first loss %.3f" % (name, statistics.median(seconds), min(seconds),
                                                                     max(seconds), first))
    print("ratio    %9.2f (of each round: %s)" % (statistics.median(ratios), ", ".join("%.2f" % r for r in ratios)))


main()
