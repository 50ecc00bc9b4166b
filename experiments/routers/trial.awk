# trial.awk -- one trial as a line of results.csv, from flattened JSON (flatten.awk): run (metrics.jsonl), model
# (moira inspect CHECKPOINT), inspect (moira inspect CHECKPOINT --routing). header=1: the line of names.
#
# Of the last step:                      steps, tokens, validation_loss, bits_per_byte, tokens_per_second (all of the run)
# Of the whole validation split:         max_vio = max_e load_e E - 1, cv = standard deviation of load_e E,
#   means over the layers but worst_vio  entropy (of the router's probabilities, nats), dropped (share of the choices),
#                                        mutual_information (expert and domain, bits), dead (experts below a tenth
#                                        of their fair share, of all layers)
# Of the training steps of the last fourth: batch_vio, max_vio of single batches, mean over steps and layers.
# A figure that the router does not have is empty.

function mean(total, n) { return n ? sprintf("%.8g", total / n) : "" }

BEGIN {
    names = "corpus,router,seed,steps,tokens,validation_loss,bits_per_byte,max_vio,worst_vio,batch_vio,cv,entropy," \
            "dropped,mutual_information,tokens_per_second,dead,warned,parameters,active_parameters,flops_per_token"
    if (header) {
        print names
        exit
    }
}

$1 == "run.step" { step = $2 }
$1 == "run.tokens" { tokens = $2 }
$1 == "run.seconds" { seconds = $2 }
$1 == "run.validation_loss" { loss = $2; evaluated = step }
$1 == "run.bits_per_byte" { bits = $2 }
$1 ~ /^run\.layers\.[0-9]+\.max_vio$/ { vio[step] += $2; vios[step]++ }

$1 == "model.parameters.total" { parameters = $2 }
$1 == "model.parameters.active" { active = $2 }
$1 == "model.flops_per_token" { flops = $2 }

$2 == "null" { next }
$1 ~ /^inspect\.routing\.layers\.[0-9]+\.(max_vio|entropy|dropped|mutual_information_bits)$/ {
    what = $1
    sub(/.*\./, "", what)
    sum[what] += $2
    count[what]++
    if (what == "max_vio" && (count[what] == 1 || $2 > worst)) worst = $2
}
$1 ~ /^inspect\.routing\.layers\.[0-9]+\.load\.[0-9]+$/ {
    split($1, part, ".")
    load[part[4], part[6]] = $2
    if (part[4] >= layers) layers = part[4] + 1
    if (part[6] >= experts) experts = part[6] + 1
}

END {
    if (header) exit
    if (loss == "" || evaluated != step) {
        print "trial.awk: the last step, " step ", has no validation loss" >"/dev/stderr"
        exit 1
    }
    for (s in vio)
        if (s > 0.75 * step) { late += vio[s]; lates += vios[s] }
    for (l = 0; l < layers; l++) {
        squares = 0
        for (e = 0; e < experts; e++) {
            squares += (load[l, e] * experts - 1) ^ 2
            if (load[l, e] * experts < 0.1) dead++
        }
        deviation += sqrt(squares / experts)
    }
    printf "%s,%s,%d,%d,%d,%.8g,%.8g,", corpus, router, seed, step, tokens, loss, bits
    printf "%s,%s,%s,%s,", mean(sum["max_vio"], layers), layers ? sprintf("%.8g", worst) : "", mean(late, lates),
        mean(deviation, layers)
    printf "%s,%s,%s,", mean(sum["entropy"], count["entropy"]), mean(sum["dropped"], layers),
        mean(sum["mutual_information_bits"], count["mutual_information_bits"])
    printf "%.6g,%s,%s,%d,%d,%.8g\n", tokens / seconds, layers ? dead + 0 : "", layers ? warned : "", parameters,
        active, flops
}
