"""Reads a run's TensorBoard events with TensorBoard's own readers, lists every tag, and holds the values against
metrics.jsonl, samples.txt and config.yaml (of the model: a resume may have changed other settings). Run by hand;
needs the package tensorboard.

    python tests/golden/read_events.py checkpoints/demo            the file
    python tests/golden/read_events.py checkpoints/demo --web      and what its web server answers, both backends
"""

import argparse
import codecs
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import unicodedata
import urllib.parse
import urllib.request

import numpy as np
from tensorboard.backend.event_processing import event_accumulator, event_file_loader
from tensorboard.util import tensor_util

EVENTS = "events.out.tfevents.moira"
LAYER = ["max_vio", "cv", "entropy", "top1", "top1_weight", "dropped", "z", "dead", "mutual_information"]
WARNING = re.compile(r"routing/layer_(\d+)/(dead_experts|no_entropy)")
STEP = {
    "loss/train": "train_loss",
    "loss/validation": "validation_loss",
    "loss/bits_per_byte": "bits_per_byte",
    "optimizer/learning_rate": "learning_rate",
    "optimizer/grad_norm": "grad_norm",
    "speed/tokens_per_second": "tokens_per_second",
    "speed/gflops": "gflops",
}


def expected_values(folder):
    """What metrics.jsonl says: {tag: {step: value}} of scalars, and of loads."""
    scalars, loads = {}, {}
    for line in open(os.path.join(folder, "metrics.jsonl")):
        m = json.loads(line)
        put = lambda tag, value: scalars.setdefault(tag, {}).__setitem__(m["step"], value)
        for tag, key in STEP.items():
            if key in m:
                put(tag, m[key])
        if "layers" in m:
            put("loss/balance", m["balance_loss"])
        for name, value in m.get("balance", {}).items():
            put("balance/" + name, value)
        for source in m.get("sources", []):
            for name, key in [("share", "share"), ("train", "train_loss"), ("validation", "validation_loss")]:
                if source.get(key) is not None:
                    put("sources/%s/%s" % (source["source"], name), source[key])
        for layer in m.get("layers", []):
            place = "routing/layer_%d/" % layer["layer"]
            for name in LAYER:
                if layer.get(name) is not None:
                    put(place + name, layer[name])
            loads.setdefault(place + "load", {})[m["step"]] = layer["load"]
    return scalars, loads


def printable(data):
    """As the program shows text: what is not UTF-8, and control characters, as U+FFFD."""
    codecs.register_error("each", lambda e: ("\ufffd" * (e.end - e.start), e.end))
    text = data.decode("utf-8", "each")
    return "".join("\ufffd" if unicodedata.category(c) == "Cc" and c not in "\n\t" else c for c in text)


def fenced(text):
    fence = "`" * (max([2] + [len(run) for run in re.findall("`+", text)]) + 1)
    return "%s\n%s\n%s" % (fence, text, fence)


def model_of(config):
    return re.search(r"(?ms)^model:\n(  .*?\n)(?! )", config).group(0)


def expected_texts(folder):
    config = open(os.path.join(folder, "config.yaml"), "rb").read()
    texts = {"config": {0: fenced(printable(config))}}
    path = os.path.join(folder, "samples.txt")
    if os.path.exists(path):
        parts = re.split(rb"(?m)^--- step (\d+) ---\n", open(path, "rb").read())
        texts["samples"] = {int(s): fenced(printable(t[:-1])) for s, t in zip(parts[1::2], parts[2::2])}
    return texts


def check(what, same, problems):
    if not same:
        problems.append(what)


def check_file(folder, problems):
    scalars, loads = expected_values(folder)
    texts = expected_texts(folder)
    # the loader that the web server uses refuses a record whose checksum is wrong
    events = list(event_file_loader.EventFileLoader(os.path.join(folder, EVENTS)).Load())
    check("the version comes first", events[0].file_version == "brain.Event:2", problems)
    check("steps only rise", all(a.step <= b.step for a, b in zip(events, events[1:])), problems)
    a = event_accumulator.EventAccumulator(folder, size_guidance={"scalars": 0, "tensors": 0})
    a.Reload()
    check("scalar tags", sorted(a.Tags()["scalars"]) == sorted(scalars), problems)
    tensors = [tag for tag in a.Tags()["tensors"] if not WARNING.fullmatch(tag)]
    check("tensor tags", sorted(tensors) == sorted([*loads, *texts]), problems)
    for tag in sorted(a.Tags()["scalars"]):
        found = {e.step: np.float32(e.value) for e in a.Scalars(tag)}
        wanted = {step: np.float32(value) for step, value in scalars.get(tag, {}).items()}
        check("%s: %s, not %s" % (tag, found, wanted), found == wanted, problems)
        print("scalar     %-32s %d values, last %g" % (tag, len(found), found[max(found)]))
    for tag in sorted(a.Tags()["tensors"]):
        found = {e.step: tensor_util.make_ndarray(e.tensor_proto) for e in a.Tensors(tag)}
        plugin = a.SummaryMetadata(tag).plugin_data.plugin_name
        if plugin == "histograms":
            for step, load in loads[tag].items():
                rows = [[e - 0.5, e + 0.5, share] for e, share in enumerate(load)]
                check("%s at step %d" % (tag, step), np.array_equal(found.get(step), rows), problems)
            check(tag + ": steps", sorted(found) == sorted(loads[tag]), problems)
            print("histogram  %-32s %d values of %d experts" % (tag, len(found), len(load)))
        else:
            check(tag + ": is text", plugin == "text", problems)
            shown = {step: value.item().decode() for step, value in found.items()}
            warning = WARNING.fullmatch(tag)
            if warning:
                begins = "```\nstep %d: the routing of layer %s collapses: "
                wanted = {s: t for s, t in shown.items() if t.startswith(begins % (s, warning.group(1)))}
            else:
                wanted = texts[tag]
            if tag == "config":
                shown, wanted = ({step: model_of(t) for step, t in each.items()} for each in (shown, wanted))
            check("%s: %r, not %r" % (tag, shown, wanted), shown == wanted, problems)
            print("text       %-32s %d values" % (tag, len(found)))
    return scalars, loads, texts


def check_web(folder, scalars, loads, texts, fast, problems):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    folder = os.path.abspath(folder)
    run = os.path.basename(folder)
    get = lambda path, **query: json.load(
        urllib.request.urlopen(
            "http://127.0.0.1:%d/data/%s?%s" % (port, path, urllib.parse.urlencode(query)), timeout=10
        )
    )
    with tempfile.TemporaryDirectory() as logs:
        os.symlink(folder, os.path.join(logs, run))
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", logs, "--host", "127.0.0.1"]
        command += ["--port", str(port), "--load_fast", fast, "--samples_per_plugin", "text=100000,histograms=100000,scalars=100000"]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            for attempt in range(120):
                try:  # it loads in the background
                    if len(get("plugin/scalars/scalars", run=run, tag="loss/train")) == len(scalars["loss/train"]):
                        break
                except OSError:
                    pass
                time.sleep(0.5)
            check("web: runs", get("runs") == [run], problems)
            check("web: scalar tags", sorted(get("plugin/scalars/tags")[run]) == sorted(scalars), problems)
            found = get("plugin/histograms/tags").get(run, {})
            check("web: histogram tags", sorted(found) == sorted(loads), problems)
            for tag, wanted in scalars.items():
                rows = get("plugin/scalars/scalars", run=run, tag=tag)
                same = {step: np.float32(v) for _, step, v in rows} == {s: np.float32(v) for s, v in wanted.items()}
                check("web: " + tag, same, problems)
            for tag, wanted in loads.items():
                rows = get("plugin/histograms/histograms", run=run, tag=tag)
                same = all(wanted[step] == [bucket[2] for bucket in buckets] for _, step, buckets in rows)
                whole = len(rows) >= min(51, len(wanted))  # the histogram view's own limit
                check("web: " + tag, same and whole, problems)
            for tag, wanted in texts.items():
                rows = get("plugin/text/text", run=run, tag=tag)
                check("web: %s: steps" % tag, sorted(r["step"] for r in rows) == sorted(wanted), problems)
                check("web: %s: preformatted" % tag, all(r["text"].startswith("<pre><code>") for r in rows), problems)
            print("web        load_fast=%s: %d scalar, %d histogram, %d text tags" % (fast, len(scalars), len(loads), len(texts)))
        finally:
            server.terminate()
            server.wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--web", action="store_true")
    o = parser.parse_args()
    problems = []
    values = check_file(o.folder, problems)
    for fast in ["true", "false"] if o.web else []:
        check_web(o.folder, *values, fast, problems)
    for problem in problems:
        print("WRONG:", problem)
    print("%d problems" % len(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
