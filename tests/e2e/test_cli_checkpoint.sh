# Checkpoints that are cut short, damaged, or of something else: refused with status 2 and a message, by every
# command that takes one; a run is resumed from the newest whole one.
. tests/e2e/lib.sh
small_text
small_config
moira 0 prepare "$dir/text.txt" -o "$dir/text.h5"
moira 0 train "$dir/small.yaml" sample.tokens=0
best=$dir/run/best.h5
size=$(wc -c <"$best")

# broken 'message': $dir/bad.h5 is refused by every command that takes a checkpoint.
broken() {
    refused "$dir/bad.h5: $1" inspect "$dir/bad.h5"
    refused "$dir/bad.h5: $1" inspect "$dir/bad.h5" --verify
    refused "$dir/bad.h5: $1" generate "$dir/bad.h5" --prompt x
    refused "$dir/bad.h5: $1" eval "$dir/bad.h5" --data "$dir/text.h5"
}

for length in 20 511 512 3000 $((size / 2)) $((size - 1)); do
    head -c "$length" "$best" >"$dir/bad.h5"
    broken 'is cut short'
done
{
    cat "$best"
    echo more
} >"$dir/bad.h5"
broken 'is damaged'
# A byte of the hash, of the library's own structures, of the numbers.
for at in 30 550 $((size / 3)) $((size / 2)) $((size - 100)); do
    cp "$best" "$dir/bad.h5"
    byte=$(dd if="$best" bs=1 skip="$at" count=1 2>/dev/null | od -An -tu1)
    printf "\\$(printf %o $(((byte + 1) % 256)))" | dd of="$dir/bad.h5" bs=1 seek="$at" conv=notrunc 2>/dev/null
    broken 'is damaged'
done
# Stamped anew it is whole again where the stamp alone was wrong, and stays refused where it is not.
refused "$dir/bad.h5: " inspect "$dir/bad.h5" --restamp
cp "$best" "$dir/bad.h5"
printf 0 | dd of="$dir/bad.h5" bs=1 seek=40 conv=notrunc 2>/dev/null
cmp -s "$best" "$dir/bad.h5" && printf 1 | dd of="$dir/bad.h5" bs=1 seek=40 conv=notrunc 2>/dev/null
broken 'is damaged'
err_has '--restamp'
moira 0 inspect "$dir/bad.h5" --restamp
out_has 'checkpoint'
same "$dir/bad.h5" "$best"
refused '--restamp is for a checkpoint or a token file' inspect "$dir/small.yaml" --restamp
refused '--routing is shown alone' inspect "$best" --routing --data "$dir/text.h5" --restamp

# A later version's file says so, whatever else is in it.
sed '1s/CHECKPOINT 1/CHECKPOINT 9/' "$best" >"$dir/bad.h5"
broken 'is a checkpoint of version 9, moira 0.1.0 reads versions up to 2; use a newer moira'

for word in generate eval; do
    set -- --prompt x
    [ $word = eval ] && set -- --data "$dir/text.h5"
    : >"$dir/empty.h5"
    refused "$dir/none.h5: cannot open" $word "$dir/none.h5" "$@"
    refused "$dir/empty.h5: is empty" $word "$dir/empty.h5" "$@"
    refused "$dir/text.txt: is not a checkpoint" $word "$dir/text.txt" "$@"
    refused "$dir/text.h5: is a token file, a checkpoint is needed" $word "$dir/text.h5" "$@"
    refused "$dir: is a folder" $word "$dir" "$@"
done

# ---- resume passes over a damaged step, and refuses when none is whole ----

cp -r "$dir/run" "$dir/saved"
head -c 3000 "$dir/saved/step-00000020.h5" >"$dir/run/step-00000020.h5"
moira 0 train "$dir/small.yaml" sample.tokens=0 train.steps=22 --resume
err_has "moira train: warning: $dir/run/step-00000020.h5: is cut short"
out_matches '^training     steps 11 to 22,'
for file in "$dir"/run/step-*.h5 "$dir/run/best.h5"; do
    printf U | dd of="$file" bs=1 seek=700 conv=notrunc 2>/dev/null
done
moira 2 train "$dir/small.yaml" train.steps=30 --resume
err_has 'is damaged'
finish
