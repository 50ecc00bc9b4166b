# table.awk -- results.csv into tables: awk -F, -v routers="NAME ..." -f table.awk results.csv
#
# A difference to a control is paired by seed: d_s = loss_s - loss of the control with seed s, over the n seeds that
# both have; mean d +- t sd(d) / sqrt(n), t the 97.5% quantile of Student's distribution with n - 1 degrees of freedom.

BEGIN {
    split("12.706 4.303 3.182 2.776 2.571 2.447 2.365 2.306 2.262", t975, " ")
    n_routers = split(routers, order, " ")
    # The controls visit as many experts as the router does.
    own["switch"] = own["switch-1.25"] = own["hash-1"] = own["random-1"] = "-1"
    note["switch"] = note["switch-1.25"] = note["hash-1"] = note["random-1"] = "a"
    note["expert_choice"] = "b"
    note["soft"] = "c"
    told["a"] = "every token visits 1 expert, and so do its controls, hash-1 and random-1; all others visit 2 of 8, " \
                "but hierarchical 4 of 16 of half the width"
    told["b"] = "which experts a token visits hangs on tokens behind it, so this loss leaks the future: it is " \
                "no loss of a language model, and no verdict is given"
    told["c"] = "every token visits all 8 experts"
}

NR == 1 {
    for (i = 1; i <= NF; i++) column[$i] = i
    next
}

{
    c = $column["corpus"]
    r = $column["router"]
    if (!(c in seen)) { seen[c] = 1; corpora[++n_corpora] = c }
    k = c SUBSEP r
    n[k]++
    seed[k, n[k]] = $column["seed"]
    for (name in column) value[k, n[k], name] = $column[name]
    loss[k, $column["seed"]] = $column["validation_loss"]
    if ($column["seed"] > seeds) seeds = $column["seed"]
    steps = $column["steps"]
    tokens = $column["tokens"]
}

# ---- statistics ----

# Mean and standard deviation of a column; n of them in N, none if it is empty.
function moments(k, name,    i, x) {
    N = MEAN = SD = 0
    for (i = 1; i <= n[k]; i++) {
        x = value[k, i, name]
        if (x == "") continue
        N++
        MEAN += x
    }
    if (N) MEAN /= N
    for (i = 1; i <= n[k]; i++)
        if (value[k, i, name] != "") SD += (value[k, i, name] - MEAN) ^ 2
    SD = N > 1 ? sqrt(SD / (N - 1)) : 0
}

# d of router r to control: mean in MEAN, half of the interval in HALF, their number in N.
function paired(c, r, control,    s, d, sum, squares) {
    N = sum = squares = MEAN = HALF = 0
    for (s = 1; s <= seeds; s++) {
        if (!((c, r, s) in loss) || !((c, control, s) in loss)) continue
        d[++N] = loss[c, r, s] - loss[c, control, s]
        sum += d[N]
    }
    if (!N) return
    MEAN = sum / N
    for (s = 1; s <= N; s++) squares += (d[s] - MEAN) ^ 2
    if (N > 1) HALF = (N > 10 ? 2.262 : t975[N - 1]) * sqrt(squares / (N - 1) / N)
}

# ---- cells ----

function cell(k, name, digits) {
    moments(k, name)
    if (MEAN < 0 && MEAN > -0.5 / 10 ^ digits) MEAN = 0 # not -0.000
    return N ? sprintf("%.*f", digits, MEAN) : "–"
}

function spread(k, name, digits) {
    moments(k, name)
    if (!N) return "–"
    return N > 1 ? sprintf("%.*f ± %.*f", digits, MEAN, digits, SD) : sprintf("%.*f", digits, MEAN)
}

# Of the seeds: other work on the machine can only slow a trial.
function fastest(k,    i, most) {
    for (i = 1; i <= n[k]; i++)
        if (value[k, i, "tokens_per_second"] > most) most = value[k, i, "tokens_per_second"]
    return thousands(most)
}

function difference(c, r, control) {
    if (r == control) return "–"
    paired(c, r, control)
    if (!N) return "–"
    return N > 1 ? sprintf("%+.4f ± %.4f", MEAN, HALF) : sprintf("%+.4f", MEAN)
}

function thousands(x) { return sprintf("%.0f k", x / 1000) }

function label(r) { return r (r in note ? " (" note[r] ")" : "") }

# ---- tables ----

function losses(c,    i, r, k) {
    print "| router | active parameters | MFLOP per token | validation loss | bits per byte | minus hash | " \
          "minus random | tokens/s |"
    print "|:--|--:|--:|--:|--:|--:|--:|--:|"
    for (i = 1; i <= n_routers; i++) {
        r = order[i]
        k = c SUBSEP r
        if (!(k in n)) continue
        printf "| %s | %s | %.2f | %s | %s | %s | %s | %s |\n", label(r),
            thousands(value[k, 1, "active_parameters"]), value[k, 1, "flops_per_token"] / 1e6,
            spread(k, "validation_loss", 4), cell(k, "bits_per_byte", 4), difference(c, r, "hash" own[r]),
            difference(c, r, "random" own[r]), fastest(k)
    }
}

function routing(c,    i, r, k) {
    print "| router | MaxVio | worst layer | single batches | CV | entropy | dropped | MI with domain | dead | warned |"
    print "|:--|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    for (i = 1; i <= n_routers; i++) {
        r = order[i]
        k = c SUBSEP r
        if (!(k in n) || r == "dense") continue
        moments(k, "dropped")
        drop = N ? sprintf("%.2f%%", 100 * MEAN) : "–"
        printf "| %s | %s | %s | %s | %s | %s | %s | %s | %s | ", r, spread(k, "max_vio", 3), cell(k, "worst_vio", 3),
            cell(k, "batch_vio", 3), cell(k, "cv", 3), cell(k, "entropy", 3), drop, cell(k, "mutual_information", 3),
            cell(k, "dead", 1)
        moments(k, "warned")
        printf "%d of %d |\n", MEAN * N + 0.5, N
    }
}

# ---- in words ----

function against(c, r, control,    by) {
    paired(c, r, control)
    if (!N) return "is not compared with " control
    by = sprintf("%.4f ± %.4f", MEAN < 0 ? -MEAN : MEAN, HALF)
    if (N == 1) return sprintf("is %s %s by %.4f (one seed)", MEAN < 0 ? "below" : "above", control,
        MEAN < 0 ? -MEAN : MEAN)
    if (MEAN + HALF < 0) return "beats " control " by " by
    if (MEAN - HALF > 0) return "**does worse than " control "** by " by
    return sprintf("is **not told apart from %s** (%+.4f ± %.4f)", control, MEAN, HALF)
}

function verdicts(c,    i, r) {
    for (i = 1; i <= n_routers; i++) {
        r = order[i]
        if (!((c, r) in n) || r == "dense" || r ~ /^(hash|random)/) continue
        if (r == "expert_choice") {
            print "- `expert_choice`: no verdict, its loss leaks the future."
            continue
        }
        printf "- `%s` %s and %s%s.\n", r, against(c, r, "hash" own[r]), against(c, r, "random" own[r]),
            r == "soft" ? ", with all experts' operations" : ""
    }
}

function balance(c,    k, i, high) {
    k = c SUBSEP "topk-free"
    if (k in n) {
        moments(k, "warned")
        printf "- Without any loss (`topk-free`) the warning came in %d of %d runs", MEAN * N + 0.5, N
        printf "; MaxVio is %s", cell(k, "max_vio", 3)
        if ((c, "topk") in n) printf ", with the loss %s", cell(c SUBSEP "topk", "max_vio", 3)
        print "."
    }
    k = c SUBSEP "sigmoid"
    if (k in n) {
        high = 0
        for (i = 1; i <= n[k]; i++)
            if (value[k, i, "max_vio"] > high) high = value[k, i, "max_vio"]
        printf "- The bias of `sigmoid` alone reaches a MaxVio of %s, at most %.3f of any seed: %s 0.2.\n",
            cell(k, "max_vio", 3), high, high < 0.2 ? "below" : "**not below**"
    }
}

END {
    for (i = 1; i <= n_corpora; i++) {
        c = corpora[i]
        printf "%s### %s\n\n", (i > 1 ? "\n" : ""), c == "synth" ? "Synthetic corpus of 8 domains" : "Real text"
        losses(c)
        print ""
        routing(c)
        print ""
        verdicts(c)
        balance(c)
    }
    printf "\n%d steps, %d tokens read in training, seeds 1 to %d; ± after a mean: standard deviation over the " \
           "seeds; after a difference: 95%% interval of the paired differences (Student's t, %d degrees of " \
           "freedom).\n\n", steps, tokens, seeds, seeds - 1
    for (i = 1; i <= n_routers; i++) {
        x = note[order[i]]
        if (x != "" && !(x in done)) {
            done[x] = 1
            printf "- (%s) %s.\n", x, told[x]
        }
    }
}
