#!/bin/sh
# test_cli_sweep.sh -- moira sweep: kills at any moment, several jobs, failures, halving, trials that others run.
. tests/e2e/lib.sh

small_text
small_config
moira 0 prepare "$dir/text.txt" -o "$dir/text.h5"

# sweep NAME LINE...: a file with these lines besides what all have.
sweep() {
    name=$1
    shift
    cat >"$dir/$name.yaml" <<END
name: $name
dir: $dir/$name
base: small.yaml
set: {sample.tokens: 0, log.tensorboard: false, log.routing: false, eval.every: 20, checkpoint.every: 10}
END
    printf '%s\n' "$@" >>"$dir/$name.yaml"
}

# What came of an experiment, without what hangs on the clock: every loss with all its digits.
figures() {
    cut -d, -f1-10 "$dir/$1/report/trials.csv"
    cut -d, -f1-7,9- "$dir/$1/report/evaluations.csv"
}
same_figures() {
    figures "$1" >"$dir/.a"
    figures "$2" >"$dir/.b"
    diff "$dir/.a" "$dir/.b" >/dev/null || fail "$ran: $2 has other figures than $1: $(diff "$dir/.a" "$dir/.b" | head -4)"
}
# How often the trials of an experiment were started, those whose folders match, in all.
starts() { cat "$dir/$1"/trials/$2/log.txt 2>/dev/null | grep -c '^run  '; }
# The number that is read, to the bit, whatever digits stand for it.
last_loss_is() {
    cat >"$dir/.given"
    sed -n '$s/.*"validation_loss":\([0-9.]*\).*/\1/p' "$1/metrics.jsonl" | cat - "$dir/.given" >"$dir/.numbers"
    awk 'NR == 1 { a = $1 } NR == 2 { b = $1 } END { exit !(NR == 2 && a + 0 == b + 0) }' "$dir/.numbers" ||
        fail "$ran: validation losses $(tr '\n' ' ' <"$dir/.numbers")"
}
children_of() { cat "/proc/$1/task/$1/children" 2>/dev/null; }

# ---- jobs ----

grid='parameters: {model.router: [topk, sigmoid], optimizer.learning_rate: [1e-3, 3e-3]}'
sweep one "$grid" 'seeds: [1, 2]' 'budget: {steps: 100}'
sweep two "$grid" 'seeds: [1, 2]' 'budget: {steps: 100}'
moira 0 sweep "$dir/one.yaml"
out_has 'trials       4 variants by grid, 2 seeds; 8 trials so far'
out_matches '^ +8 of 8  v0004\.s2  step 100  validation loss [0-9.]+  [0-9.]+ s  \(router=sigmoid, learning_rate=3e-3\)$'
out_has 'running      1 trial at a time'
[ "$(figures one | grep -c ',done,')" -eq 8 ] || fail "$ran: not eight trials done"
[ "$(figures one | cut -d, -f10 | sort -u | wc -l)" -ge 8 ] || fail "$ran: trials have the same losses"
moira 0 sweep "$dir/two.yaml" --jobs 3
same_figures one two
# The trial is what moira train makes of the same settings.
moira 0 train "$dir/small.yaml" sample.tokens=0 eval.every=20 model.router=sigmoid optimizer.learning_rate=1e-3 \
    train.steps=100 run.seed=2 "run.dir=$dir/alone"
figures one | awk -F, '$1 == "v0003.s2" && NF == 10 { print $10 }' | last_loss_is "$dir/alone"
# Again: nothing is left to do.
moira 0 sweep "$dir/two.yaml" --jobs 2 --resume
out_has 'before       8 done, 0 failed: they stay as they are'
grep -q 'at a time' "$out" && fail "$ran: says how many run at a time when nothing is to be run"
[ "$(starts two '*')" -eq 8 ] || fail "$ran: $(starts two '*') starts of 8 trials"

# Folders that another experiment left are not taken for this one's, whatever became of its results.
sweep left 'parameters: {optimizer.learning_rate: [1e-3, 3e-3]}' 'budget: {steps: 20}'
moira 0 sweep "$dir/left.yaml"
rm "$dir"/left/results.db*
sed -i 's/1e-3, 3e-3/1e-4, 3e-3/' "$dir/left.yaml"
moira 1 sweep "$dir/left.yaml"
err_has "$dir/left/trials/v0001.s1: holds another run, with optimizer.learning_rate 0.001 where the trial has 0.0001; move that folder away"
[ "$(starts left '*')" -eq 2 ] || fail "$ran: $(starts left '*') starts in folders of others"
moira 0 sweep "$dir/left.yaml" --collect
err_has 'where the trial has 0.0001'
rm -r "$dir/left/trials/v0001.s1"
moira 0 sweep "$dir/left.yaml" --retry

# Interrupted while the page is drawn: it is drawn to its end, and the status says so.
mkdir "$dir/bin"
printf '#!/bin/sh\n: >"%s"\nsleep 0.2\nexec %s "$@"\n' "$dir/drawing" "$(command -v gnuplot)" >"$dir/bin/gnuplot"
chmod +x "$dir/bin/gnuplot"
PATH=$dir/bin:$PATH "$MOIRA" sweep "$dir/two.yaml" >"$out" 2>"$err" &
pid=$!
ran='sweep whose page is drawn'
for wait in $(seq 300); do
    [ -e "$dir/drawing" ] && break
    sleep 0.02
done
kill -TERM $pid
wait $pid
[ $? -eq 130 ] || fail "$ran: not exit status 130"
out_has "report       $dir/two/report.html"

# ---- kills ----

seed=$(date +1%N) # a 0 in front would make it octal
# A moment in the life of a sweep, which takes about two seconds.
moment() {
    seed=$(((seed * 1103 + 12345) % 1000003))
    awk "BEGIN { print 0.02 + 1.2 * $seed / 1000003 }"
}
# killed NAME: the sweep, whose trials then go on. killed NAME all: them too.
killed() {
    "$MOIRA" sweep "$dir/$1.yaml" --jobs 2 >"$out" 2>"$err" &
    pid=$!
    sleep "$(moment)"
    trials=$(children_of $pid)
    kill -9 $pid $([ "$2" = all ] && echo $trials) 2>/dev/null && kills=$((kills + 1))
    wait $pid 2>/dev/null
}
kills=0
sweep sweeper "$grid" 'seeds: [1, 2]' 'budget: {steps: 100}'
for round in 1 2 3 4; do killed sweeper; done
moira 0 sweep "$dir/sweeper.yaml" --jobs 2
same_figures one sweeper
[ $kills -gt 0 ] || fail "$ran: no sweep was killed"
# Its trials were not, so each was started once, however often the sweep was.
[ "$(starts sweeper '*')" -eq 8 ] || fail "$ran: $(starts sweeper '*') starts of 8 trials that nobody killed"
sweep everyone "$grid" 'seeds: [1, 2]' 'budget: {steps: 100}'
kills=0
for round in 1 2 3 4; do killed everyone all; done
moira 0 sweep "$dir/everyone.yaml" --jobs 2
same_figures one everyone
# At most two trials are at work at a time.
[ "$(starts everyone '*')" -le $((8 + 2 * kills)) ] || fail "$ran: $(starts everyone '*') starts after $kills kills"

# Trials that end while nobody watches are not begun again.
sweep unwatched "$grid" 'seeds: [1, 2]' 'budget: {steps: 100}'
"$MOIRA" sweep "$dir/unwatched.yaml" --jobs 2 >"$out" 2>"$err" &
pid=$!
for wait in $(seq 300); do
    ls "$dir"/unwatched/trials/*/lock >/dev/null 2>&1 && break
    sleep 0.02
done
kill -9 $pid
wait $pid 2>/dev/null
for wait in $(seq 300); do
    ls "$dir"/unwatched/trials/*/lock >/dev/null 2>&1 || break
    sleep 0.02
done
moira 0 sweep "$dir/unwatched.yaml" --jobs 2
same_figures one unwatched
[ "$(starts unwatched '*')" -eq 8 ] || fail "$ran: $(starts unwatched '*') starts of 8 trials"

# ---- interrupted ----

sweep stopped 'parameters: {model.router: [topk, sigmoid]}' 'budget: {steps: 20000}'
"$MOIRA" sweep "$dir/stopped.yaml" --jobs 2 >"$out" 2>"$err" &
pid=$!
ran='interrupted sweep'
for wait in $(seq 300); do
    [ "$(cat "$dir"/stopped/trials/*/log.txt 2>/dev/null | grep -c '^ *5 ')" -eq 2 ] && break
    sleep 0.05
done
# Nobody else works on it meanwhile.
moira 2 sweep "$dir/stopped.yaml"
err_has "$dir/stopped: another process works on this experiment (process $pid on "
kill -INT $pid
wait $pid
[ $? -eq 130 ] || fail "$ran: not exit status 130"
for trial in v0001.s1 v0002.s1; do
    ls "$dir/stopped/trials/$trial" | grep -q '^step-.*h5$' || fail "$ran: $trial saved nothing"
    [ -e "$dir/stopped/trials/$trial/lock" ] && fail "$ran: $trial is still at work"
done

# ---- trials that fail ----

sweep wild 'parameters: {optimizer.learning_rate: [1e-3, 100]}' 'budget: {steps: 100}'
sed -i 's/^set: {/&optimizer.max_grad_norm: 0, schedule.warmup_steps: 0, /' "$dir/wild.yaml"
moira 1 sweep "$dir/wild.yaml" --jobs 2
err_has '1 of 2 trials failed, the first v0002.s1: '
out_matches '^ +[12] of 2  v0002\.s1  failed: .*Try a lower optimizer\.learning_rate'
figures wild | grep -q '^v0001.s1,.*,done,' || fail "$ran: v0001.s1 is not done"
figures wild | grep -q '^v0002.s1,.*,failed,' || fail "$ran: v0002.s1 is not marked as failed"
moira 1 sweep "$dir/wild.yaml"
[ "$(starts wild v0002.s1)" -eq 1 ] || fail "$ran: a failed trial was tried again without --retry"
moira 1 sweep "$dir/wild.yaml" --retry
[ "$(starts wild v0002.s1)" -eq 2 ] || fail "$ran: --retry tried nothing"
[ "$(starts wild v0001.s1)" -eq 1 ] || fail "$ran: --retry ran a trial that was done"
# Where the ends of programs are not told unless asked for, a trial that fails has failed all the same.
ran='sweep with SIGCHLD ignored'
timeout 60 env --ignore-signal=CHLD "$MOIRA" sweep "$dir/wild.yaml" --retry >"$out" 2>"$err"
[ $? -eq 1 ] || fail "$ran: not exit status 1"
[ "$(starts wild v0002.s1)" -eq 3 ] || fail "$ran: $(starts wild v0002.s1) starts"

# ---- halving ----

halving='strategy: halving
trials: 6
draw_seed: 3
halving: {first_steps: 20, factor: 2}
budget: {steps: 80}
parameters: {optimizer.learning_rate: {from: 1e-4, to: 1e-2, log: true}}'
sweep halved "$halving"
moira 0 sweep "$dir/halved.yaml" --jobs 2
# 6 go to step 20, 3 of them to 40, 1 to 80: the best of those at each step.
for wanted in '0,20 3' '1,40 2' '2,80 1'; do
    n=$(figures halved | cut -d, -f6,7 | grep -cx "${wanted% *}")
    [ "$n" -eq "${wanted#* }" ] || fail "$ran: $n trials ended at rung,step ${wanted% *}, not ${wanted#* }"
done
evaluations() { awk -F, -v step="$2" '$5 == step { print $10, $1 }' "$dir/$1/report/evaluations.csv" | sort -g; }
best=$(evaluations halved 20 | head -3 | cut -d' ' -f2 | sort)
[ "$best" = "$(evaluations halved 40 | cut -d' ' -f2 | sort)" ] || fail "$ran: others than the best went on"
# The pause changed nothing: the whole run has the same loss.
best=$(figures halved | awk -F, '$7 == 80 { print $1, $10 }')
rate=$(sed -n 's/^ *learning_rate: //p' "$dir/halved/trials/${best% *}/config.yaml" | head -1)
moira 0 train "$dir/small.yaml" sample.tokens=0 eval.every=20 "optimizer.learning_rate=$rate" train.steps=80 \
    run.seed=1 "run.dir=$dir/whole"
echo "${best#* }" | last_loss_is "$dir/whole"
sweep halfway "$halving"
for round in 1 2; do killed halfway all; done
moira 0 sweep "$dir/halfway.yaml" --jobs 2
same_figures halved halfway
sweep uneven "$(echo "$halving" | sed 's/first_steps: 20/first_steps: 25/')"
refused 'is no multiple of eval.every 20' sweep "$dir/uneven.yaml"

# ---- trials that others run ----

sweep listed "$halving"
for rung in 1 2 3; do
    moira 0 sweep "$dir/listed.yaml" --list --jobs 2
    tr ' ' '\n' <"$out" | grep -q '^train.tokens=' || fail "$ran: no train.tokens"
    awk '{ for (i = 1; i <= NF; i++) { split($i, a, "="); if (index($i, "=") && n[NR, a[1]]++) exit 1 } }' "$out" ||
        fail "$ran: has a setting twice"
    cp "$out" "$dir/commands"
    xargs -d '\n' -P 2 -n 1 sh -c <"$dir/commands" >/dev/null 2>"$err" || fail "$ran: a listed command failed"
done
moira 0 sweep "$dir/listed.yaml" --collect
out_has "$dir/listed/results.db: 6 of 6 trials done, 0 failed, 0 to be run"
moira 0 sweep "$dir/listed.yaml" --list
[ -s "$out" ] && fail "$ran: lists trials that are done" && show
moira 0 report "$dir/listed"
same_figures halved listed

# Whatever words hold, a command is a line, and a shell gives the words back.
cat >"$dir/odd.yaml" <<'END'
name: odd
base: small.yaml
budget: {steps: 10}
set: {sample.prompt: "a\nb 'c' $d \\n %s\n"}
parameters: {optimizer.learning_rate: [1e-3]}
END
echo "dir: \"$dir/o 'd\"" >>"$dir/odd.yaml"
moira 0 sweep "$dir/odd.yaml" --list
[ "$(wc -l <"$out")" -eq 1 ] || fail "$ran: a command is not one line"
cp "$out" "$dir/commands"
xargs -d '\n' -n 1 sh -c <"$dir/commands" >/dev/null 2>"$err" || fail "$ran: the listed command failed"
ran='odd words'
has "$dir/o 'd/trials/v0001.s1/config.yaml" 'prompt: "a\nb '"'c'"' $d \\n %s\n"' config
moira 0 sweep "$dir/odd.yaml" --collect
out_has '1 of 1 trials done'

# ---- data ----

# The same data may lie elsewhere; other data at the same place is no seed more.
sweep fed 'parameters: {model.router: [topk, sigmoid]}' 'seeds: [1]' 'budget: {steps: 20}'
sed -i "s|^set: {|&data.path: $dir/fed.h5, |" "$dir/fed.yaml"
cp "$dir/text.h5" "$dir/fed.h5"
moira 0 sweep "$dir/fed.yaml"
mv "$dir/fed.h5" "$dir/moved.h5"
sed -i 's/fed\.h5/moved.h5/; s/seeds: \[1\]/seeds: [1, 2]/' "$dir/fed.yaml"
moira 0 sweep "$dir/fed.yaml"
[ "$(figures fed | grep -c ',done,')" -eq 4 ] || fail "$ran: not four trials done"
tr 'a-z' 'b-za' <"$dir/text.txt" >"$dir/other.txt"
rm "$dir/moved.h5"
moira 0 prepare "$dir/other.txt" -o "$dir/moved.h5"
sed -i 's/seeds: \[1, 2\]/seeds: [1, 2, 3]/' "$dir/fed.yaml"
refused 'base data (hash of its content) was ' sweep "$dir/fed.yaml"
rm "$dir/moved.h5"
refused '`moira prepare` makes such a file' sweep "$dir/fed.yaml"

# The file, and the configs beside it, may be seen from elsewhere than at first.
sweep moved 'parameters: {optimizer.learning_rate: [1e-3]}' 'budget: {steps: 10}'
moira 0 sweep "$dir/moved.yaml" --list
out_has " train $dir/small.yaml "
moira 0 sweep "$dir/../${dir##*/}/moved.yaml" --list
out_has " train $dir/../${dir##*/}/small.yaml "

# So is a model that trials begin with.
for seed in 1 2; do
    moira 0 train "$dir/small.yaml" sample.tokens=0 train.steps=20 run.seed=$seed "run.dir=$dir/begin$seed"
    cp "$dir/begin$seed"/step-*20.h5 "$dir/begin$seed.h5"
done
sweep begun 'parameters: {optimizer.learning_rate: [1e-3]}' 'seeds: [1]' 'budget: {steps: 20}'
sed -i "s|^set: {|&init.from: $dir/begin1.h5, |" "$dir/begun.yaml"
moira 0 sweep "$dir/begun.yaml"
cp "$dir/begin1.h5" "$dir/begin3.h5"
sed -i 's/begin1/begin3/; s/seeds: \[1\]/seeds: [1, 2]/' "$dir/begun.yaml"
moira 0 sweep "$dir/begun.yaml"
cp "$dir/begin2.h5" "$dir/begin3.h5"
refused 'base model of init.from (hash of its content) was ' sweep "$dir/begun.yaml"

# ---- requests that are wrong ----

refused 'so --collect beside it says nothing' sweep "$dir/one.yaml" --list --collect
refused 'is a folder; give the experiment' sweep "$dir/one"
refused 'jobs' sweep "$dir/one.yaml" --jobs 0
finish
