# trial.awk -- one trial as a line of results.csv, from flattened JSON (flatten.awk): run (metrics.jsonl), model
# (moira inspect CHECKPOINT), inspect (moira inspect CHECKPOINT --routing). header=1: the line of names.
#
# Of the last step:                      steps, tokens, validation_loss, bits_per_byte, tokens_per_second of the run
# Of the whole validation split:         max_vio, cv, entropy, dropped, mutual_information (mean of the layers),
#                                        worst_vio (largest max_vio), dead (experts of all layers)
# Of the steps of the last quarter:      batch_vio, max_vio of single batches (mean over steps and layers)
# A figure that a router does not have is empty.

function mean(what) { return count[what] ? sprintf("%.8g", sum[what] / count[what]) : "" }

BEGIN {
    if (header) {
        print "corpus,router,seed,steps,tokens,validation_loss,bits_per_byte,max_vio,worst_vio,batch_vio,cv,entropy," \
              "dropped,mutual_information,tokens_per_second,dead,warned,parameters,active_parameters,flops_per_token"
        exit
    }
}

$2 == "null" { next }
$1 == "run.step" { step = $2 }
$1 == "run.tokens" { tokens = $2 }
$1 == "run.seconds" { seconds = $2 }
$1 == "run.validation_loss" { loss = $2; evaluated = step }
$1 == "run.bits_per_byte" { bits = $2 }
$1 ~ /^run\.layers\.[0-9]+\.max_vio$/ { vio[step] += $2; vios[step]++ }

$1 == "model.parameters.total" { parameters = $2 }
$1 == "model.parameters.active" { active = $2 }
$1 == "model.flops_per_token" { flops = $2 }

$1 ~ /^inspect\.routing\.layers\.[0-9]+\.[a-z_]+$/ {
    sub(/.*\./, "", $1)
    sum[$1] += $2
    count[$1]++
    if ($1 == "max_vio" && (count[$1] == 1 || $2 > worst)) worst = $2
}

END {
    if (header) exit
    if (loss == "" || evaluated != step) {
        print "trial.awk: the last step, " step ", has no validation loss" >"/dev/stderr"
        exit 1
    }
    for (s in vio)
        if (s + 0 > 0.75 * step) { sum["batch"] += vio[s]; count["batch"] += vios[s] }
    routes = count["max_vio"] > 0
    printf "%s,%s,%d,%d,%d,%.8g,%.8g,", corpus, router, seed, step, tokens, loss, bits
    printf "%s,%s,%s,%s,", mean("max_vio"), routes ? sprintf("%.8g", worst) : "", mean("batch"), mean("cv")
    printf "%s,%s,%s,", mean("entropy"), mean("dropped"), mean("mutual_information_corrected")
    printf "%.6g,%s,%s,%d,%d,%.8g\n", tokens / seconds, count["dead"] ? sum["dead"] : "", routes ? warned : "",
        parameters, active, flops
}
