# train --profile: a table whose rows add up to the step.
. tests/e2e/lib.sh
small_text
small_config
moira 0 prepare "$dir/text.txt" -o "$dir/text.h5"

moira 0 train "$dir/small.yaml" --profile
out_matches '^profile      [0-9.]+ ms a step, the mean of 19 steps$'
out_matches '^op +pass +calls +ms a step +share +GFLOP/s +GB/s +roofline +FLOP a step$'
out_matches '^experts +backward +6 +[0-9.]+ +[0-9.]+% +[0-9.]+ +[0-9.]+ +[0-9.]+% +[0-9.]+ [kMG]$'
for row in 'adamw and norm' statistics 'waiting for data' other; do
    out_matches "^$row +[0-9]+\.[0-9]{3} +[0-9.]+% *$"
done
out_matches '^peaks        [0-9.]+ GFLOP/s in products of 2048 x 2048, one per thread; [0-9.]+ GB/s through memory$'
out_matches "^cost         the profile's own clock took [0-9.]+ ms a step, [0-9.]+%$"
# The fourth column of ops, the first number of the other rows; up to half a unit of rounding each.
awk '/^profile/ { step = $2 }
    $2 == "forward" || $2 == "backward" { sum += $4; rows++ }
    /^(adamw and norm|waiting for data)/ { sum += $4; rows++ }
    /^(statistics|other) / { sum += $2; rows++ }
    /^[0-9]+ smaller ops / { sum += $4; rows += $1 }
    END { exit !(rows > 30 && sum - step < 0.0006 * rows && step - sum < 0.0006 * rows) }' "$out" ||
    fail "$ran: the rows do not add up"
moira 0 train "$dir/small.yaml" --profile --resume
grep -q '^profile' "$out" && fail "$ran: a profile of no step"
moira 0 train "$dir/small.yaml" --profile --resume train.steps=21
out_matches '^profile      [0-9.]+ ms a step, the mean of 1 step$'
finish
