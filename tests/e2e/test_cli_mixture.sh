# data.mixture from the command line's side: what is refused, what a run shows of its sources, and a run that is
# resumed after it and its data have moved.
. tests/e2e/lib.sh
small_text
small_config
for name in a b c; do
    sed "s/^Line/$name/" "$dir/text.txt" >"$dir/$name.txt"
    moira 0 prepare "$dir/$name.txt" -o "$dir/$name.h5"
done
sed "s|^data:.*|data: {mixture: [{path: $dir/a.h5, weight: 5}, {path: $dir/b.h5, weight: 3}, {path: $dir/c.h5, weight: 2}]}|" \
    "$dir/small.yaml" >"$dir/mix.yaml"

# ---- what is refused ----

set_wrong() { refused "$1" train "$dir/mix.yaml" "$2"; }
set_wrong 'data.path and data.mixture are both given; keep one' "data.path=$dir/a.h5"
set_wrong 'neither data.path nor data.mixture is given' 'data.mixture=[]'
set_wrong "data.mixture[1].weight: '-1' is out of range; expected above 0" \
    "data.mixture=[{path: $dir/a.h5}, {path: $dir/b.h5, weight: -1}]"
set_wrong "data.mixture[0].weight: '0' is out of range; expected above 0" "data.mixture=[{path: $dir/a.h5, weight: 0}]"
set_wrong "data.mixture[1].path: $dir/a.h5 is data.mixture[0] already" \
    "data.mixture=[{path: $dir/a.h5}, {path: $dir/a.h5}]"
set_wrong 'data.mixture[0].wieght: unknown key; did you mean weight?' "data.mixture=[{path: $dir/a.h5, wieght: 2}]"
set_wrong 'data.mixture: one value stands where a list of {path, weight} should' "data.mixture=$dir/a.h5"
set_wrong "$dir/none.h5: cannot open" "data.mixture=[{path: $dir/a.h5}, {path: $dir/none.h5}]"
set_wrong "$dir/text.txt: is not a token file" "data.mixture=[{path: $dir/a.h5}, {path: $dir/text.txt}]"
cp "$dir/a.h5" "$dir/copy.h5"
set_wrong "$dir/copy.h5 has the same content as $dir/a.h5" "data.mixture=[{path: $dir/a.h5}, {path: $dir/copy.h5}]"
echo 'a text that is too short' >"$dir/short.txt"
moira 0 prepare "$dir/short.txt" -o "$dir/short.h5"
set_wrong "train.sequence_length 32: $dir/short.h5 has only" "data.mixture=[{path: $dir/a.h5}, {path: $dir/short.h5}]"
refused 'data.mixture '"$dir/none.h5 does not exist, and without it the vocabulary is not known" \
    inspect "$dir/mix.yaml" "data.mixture=[{path: $dir/a.h5}, {path: $dir/none.h5}]"
# Two mistakes that are made with a config's name.
refused "$dir/a.h5: is a token file, not a config; a config names it as data.path" train "$dir/a.h5"
refused "did you mean 'moira help config extends'?" help extends
moira 0 help config extends
out_has 'extends: other.yaml'
moira 0 help config mixture
out_matches '^      weight +1 +above 0, at most 1000000000$'

# ---- what is shown ----

moira 0 inspect "$dir/mix.yaml"
out_has 'data         3 sources, '
out_matches "^a +5 +50\.0% +[0-9,]+ +[0-9.]+ +$dir/a\.h5\$"
moira 0 inspect "$dir/mix.yaml" --json
out_has '"source": "c"'
out_has '"share": 0.20000000000000001'
# Memory counts every file: a second one of 37 KiB adds as much.
data_bytes() { moira 0 inspect "$dir/small.yaml" --memory --json "$@" && sed -n 's/.*"data_bytes": \([0-9]*\),*$/\1/p' "$out"; }
one=$(data_bytes 'data.path=' "data.mixture=[{path: $dir/a.h5}]")
two=$(data_bytes 'data.path=' "data.mixture=[{path: $dir/a.h5}, {path: $dir/b.h5}]")
[ -n "$one" ] && [ $((two - one)) -gt 30000 ] || fail "memory of one file $one, of two $two"

moira 0 train "$dir/mix.yaml" schedule.warmup_steps=21
err_has "warning: schedule.warmup_steps 21 are more than the run's 20 steps"
out_matches "^b +3 +30\.0% +[0-9,]+ +[0-9.]+ +$dir/b\.h5\$"
out_matches '^ +by source, training and validation: a [0-9.]+ [0-9.]+, b [0-9.]+ [0-9.]+, c [0-9.]+ [0-9.]+$'
out_matches '^sources      a [0-9.]+ [0-9.]+, b '
# 80 sequences, 40 : 24 : 16, of 32 tokens.
tail -n 1 "$dir/run/metrics.jsonl" >"$out"
out_has '"sources":[{"source":"a","tokens":1280,"share":0.5,'
out_has '{"source":"b","tokens":768,'
out_has '{"source":"c","tokens":512,'

# ---- moved ----

cp "$dir/run/config.yaml" "$dir/first.yaml"
mkdir "$dir/there"
mv "$dir/run" "$dir/there/run"
mv "$dir/a.h5" "$dir/b.h5" "$dir/c.h5" "$dir/there"
moved="data.mixture=[{path: $dir/there/a.h5, weight: 5}, {path: $dir/there/b.h5, weight: 3}, {path: $dir/there/c.h5, weight: 2}]"
refused "$dir/run: there is no run to resume" train "$dir/first.yaml" --resume train.steps=25 "$moved"
refused "$dir/a.h5: cannot open" train "$dir/first.yaml" --resume train.steps=25 "run.dir=$dir/there/run"
refused 'data.mixture[0].weight was 5 and is now 4' train "$dir/first.yaml" --resume train.steps=25 "run.dir=$dir/there/run" \
    "data.mixture=[{path: $dir/there/a.h5, weight: 4}, {path: $dir/there/b.h5, weight: 3}, {path: $dir/there/c.h5, weight: 2}]"
refused "$dir/there/c.h5 is not the file that the run began with" train "$dir/first.yaml" --resume train.steps=25 \
    "run.dir=$dir/there/run" \
    "data.mixture=[{path: $dir/there/a.h5, weight: 5}, {path: $dir/there/c.h5, weight: 3}, {path: $dir/there/b.h5, weight: 2}]"
moira 0 train "$dir/first.yaml" --resume train.steps=25 "run.dir=$dir/there/run" "$moved"
out_has 'done         25 steps'
refused "$dir/there/run/best.h5: is a checkpoint, not a config; that of its run is config.yaml" train "$dir/there/run/best.h5"
finish
