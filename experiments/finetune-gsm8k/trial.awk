# trial.awk -- one trial as a line of results.csv, from flattened JSON (../routers/flatten.awk): before and after (moira
# eval on the test file, of the base and of the trial), run (metrics.jsonl), model (moira inspect), and log.M (MiB of
# memory at most, of the program's last line about it). header=1: the line of names. Losses are nats per token of the
# completions; seconds are of training, without evaluations; peak_mib is the largest of the run's parts.

BEGIN {
    if (header) {
        print "way,seed,learning_rate,steps,validation_loss,test_before,test_after,seconds,peak_mib,trained,parameters," \
              "tokens"
        exit
    }
    mib["K"] = 1 / 1024
    mib["M"] = 1
    mib["G"] = 1024
}

$2 == "null" { next }
$1 == "before.loss" { before = $2 }
$1 == "after.loss" { after = $2 }
$1 == "run.step" { step = $2 }
$1 == "run.tokens" { tokens = $2 }
$1 == "run.seconds" { seconds = $2 }
$1 == "run.validation_loss" { loss = $2; evaluated = step }
$1 == "model.parameters.total" { parameters = $2 }
$1 == "model.parameters.trainable" { trained = $2 }
$1 ~ /^log\.[KMG]$/ && $2 * mib[substr($1, 5)] > peak { peak = $2 * mib[substr($1, 5)] }

END {
    if (header) exit
    if (loss == "" || evaluated != step || before == "" || trained == "" || peak == "") {
        print "trial.awk: of step " step " something is missing: validation loss " loss " of step " evaluated \
              ", loss before " before ", trained " trained ", memory " peak >"/dev/stderr"
        exit 1
    }
    printf "%s,%d,%s,%d,%.8g,%.8g,%s,%.4g,%.1f,%d,%d,%d\n", way, seed, rate, step, loss, before,
        after == "" ? "" : sprintf("%.8g", after), seconds, peak, trained, parameters, tokens
}
