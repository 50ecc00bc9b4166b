#!/usr/bin/env python3
"""run.py CONFIG.yaml [--peer 'NAME=[words] [options of torch_steps.py]']...: Moira and PyTorch, step by step in turns.

Words: tuned (allocator and --preload), env:VARIABLE=VALUE, python=PATH. See README.md. All sides train from the same weights on the same random tokens, in processes that wait for each other: a round
is some steps of each. Prints for each side the median time of a step, its spread, the ratio to Moira's (median over rounds of
the ratio within a round), the largest relative difference of a loss, and the peak of memory less 16 bytes for each parameter."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

import numpy as np
import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "../../..")
# The balancing loss that both sides have; Moira's other two are off.
BALANCE = ["balance.switch=0", "balance.z_loss=0", "balance.mixtral=0.01"]
ALLOCATOR = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000", "MALLOC_TOP_PAD_": "268435456"}


def arguments():
    p = argparse.ArgumentParser()
    p.add_argument("config")
    p.add_argument("--peer", action="append", default=[], metavar="NAME=[words] [options]")
    p.add_argument("--moira", action="append", default=[], metavar="NAME=[section.key=value...]", help="Moira again, otherwise")
    p.add_argument("--python", default=os.environ.get("MOIRA_PEER_PYTHON", sys.executable), help="one that has torch")
    p.add_argument("--preload", default=os.environ.get("MOIRA_PEER_PRELOAD", ""), help="LD_PRELOAD of tuned peers")
    p.add_argument("--steps-program", default=os.path.join(ROOT, "build/release/tests/bench/steps"))
    p.add_argument("--work", default="", help="folder of weights and tokens, kept; else a temporary one")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--steps", type=int, default=3, help="of each side in a round")
    p.add_argument("--warmup", type=int, default=2, help="steps of a process before the first that counts")
    p.add_argument("--alone", action="store_true", help="a process for each round, one at a time, where two do not fit into memory")
    p.add_argument("--random", action="store_true", help="weights of each side's own: memory without the file of the weights")
    p.add_argument("--json", default="", help="write the figures there too")
    return p.parse_args()


class Side:
    def __init__(self, name, command, environment):
        self.name, self.command, self.environment, self.process = name, command, environment, None
        self.seconds, self.losses, self.rounds, self.peak = [], [], [], 0

    def start(self):
        self.process = subprocess.Popen(self.command, env=self.environment, text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def run(self, steps):
        self.process.stdin.write("%d\n" % steps)
        self.process.stdin.flush()
        out = []
        for line in self.process.stdout:
            if line.startswith("peak"):
                self.peak = max(self.peak, int(line.split()[1]))
                return out
            out.append(tuple(map(float, line.split())))
        sys.exit("%s ended: %s" % (self.name, " ".join(self.command)))

    def measure(self, steps):
        done = self.run(steps)
        self.losses += [loss for loss, _ in done]
        self.seconds += [s for _, s in done]
        self.rounds.append(statistics.median(s for _, s in done))

    def warm_up(self, steps):
        self.losses = [loss for loss, _ in self.run(steps)]

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def environment(a, tuned):
    """OpenBLAS chooses its own kernel; a tuned peer gets its allocator and the library to load before others."""
    e = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS")}
    e["OMP_NUM_THREADS"] = str(a.threads)
    if tuned:
        e.update(ALLOCATOR)
        if a.preload:
            e["LD_PRELOAD"] = os.path.abspath(a.preload)
    return e


def prepare(a, run, work):
    """Weights by transformers' own initialisation, and four batches of random tokens."""
    name = os.path.splitext(os.path.basename(a.config))[0]
    weights, batches = os.path.join(work, name), os.path.join(work, name + ".ids")
    t = run["train"]
    if not os.path.exists(batches):
        ids = np.random.default_rng(1337).integers(0, run["model"]["vocab_size"],
                                                   (4, t["batch_size"], t["sequence_length"] + 1), dtype=np.int32)
        ids.tofile(batches)
    if not a.random and not os.path.exists(weights):
        subprocess.run([a.python, os.path.join(HERE, "torch_steps.py"), a.config, "-", "--save", weights], check=True,
                       stderr=subprocess.DEVNULL)
    return "-" if a.random else weights, batches


def sides(a, run, weights, batches):
    base = [a.steps_program, a.config, weights, batches, "run.threads=%d" % a.threads]
    base += BALANCE if run["model"].get("num_local_experts", 0) else []
    out = [Side("moira", base, environment(a, False))]
    for spec in a.moira:
        name, _, words = spec.partition("=")
        out.append(Side(name, base + words.split(), environment(a, False)))
    for spec in a.peer:
        name, _, words = spec.partition("=")
        words = words.split()
        tuned = "tuned" in words
        variables = dict(w[4:].split("=", 1) for w in words if w.startswith("env:"))
        python = next((w[7:] for w in words if w.startswith("python=")), a.python)
        command = [python, os.path.join(HERE, "torch_steps.py"), a.config, weights, batches, "--threads", str(a.threads)]
        options = [w for w in words if w != "tuned" and not w.startswith(("env:", "python="))]
        out.append(Side(name, command + options, {**environment(a, tuned), **variables}))
    return out


def take_turns(a, all_sides):
    if not a.alone:
        for side in all_sides:
            side.start()
            side.warm_up(a.warmup)
    for _ in range(a.rounds):
        for side in all_sides:
            if a.alone:
                side.start()
                side.warm_up(a.warmup)
            side.measure(a.steps)
            if a.alone:
                side.stop()
    if not a.alone:
        for side in all_sides:
            side.stop()


def parameters(run):
    m = run["model"]
    d, L, V = m["hidden_size"], m["num_hidden_layers"], m["vocab_size"]
    E, kv = m.get("num_local_experts", 0), m["num_key_value_heads"] / m["num_attention_heads"]
    ffn = 3 * d * m["intermediate_size"] * max(E, 1) + d * E
    return int(L * (2 * d * d + 2 * d * d * kv + ffn + 2 * d) + 2 * d * V + d)


def figures(side, moira, states):
    difference = max(abs(x - y) / abs(y) for x, y in zip(side.losses, moira.losses))
    return {"name": side.name, "seconds": statistics.median(side.seconds), "low": min(side.seconds), "high": max(side.seconds),
            "ratio": statistics.median(x / y for x, y in zip(side.rounds, moira.rounds)), "loss_difference": difference,
            "peak_bytes": side.peak, "beyond_16_bytes": side.peak - states, "losses": side.losses}


def main():
    a = arguments()
    with open(a.config) as f:
        run = yaml.safe_load(f)
    with tempfile.TemporaryDirectory() as temporary:
        work = a.work or temporary
        os.makedirs(work, exist_ok=True)
        all_sides = sides(a, run, *prepare(a, run, work))
        take_turns(a, all_sides)
    rows = [figures(s, all_sides[0], 16 * parameters(run)) for s in all_sides]
    print("%-20s %10s %21s %7s %10s %9s %9s" % (os.path.basename(a.config), "s/step", "spread", "ratio", "loss diff", "peak MB",
                                             "-16 B/par"))
    for r in rows:
        print("%-20s %10.4f %10.4f %10.4f %7.2f %10.1e %9.0f %9.0f" % (r["name"], r["seconds"], r["low"], r["high"], r["ratio"],
              r["loss_difference"], r["peak_bytes"] / 1e6, r["beyond_16_bytes"] / 1e6))
    if a.json:
        with open(a.json, "w") as f:
            json.dump({"config": a.config, "threads": a.threads, "rounds": a.rounds, "sides": rows}, f, indent=1)


main()
