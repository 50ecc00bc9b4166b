# table.awk -- results.csv into a table: awk -F, -v ways="full frozen lora" -f table.awk results.csv
#
# Each figure is the mean over the seeds and its standard deviation; of losses after, the 95% interval of the mean too:
# t sd / sqrt(n), t the 97.5% quantile of Student's distribution with n - 1 degrees of freedom. Differences of ways are
# paired by seed, which has the same order of the data in all.

BEGIN {
    split("12.706 4.303 3.182 2.776 2.571 2.447 2.365 2.306 2.262", t975, " ")
    n_ways = split(ways, order, " ")
}

NR == 1 {
    for (i = 1; i <= NF; i++) column[$i] = i
    next
}

{
    w = $column["way"]
    k = ++n[w]
    for (name in column) value[w, k, name] = $column[name]
    after[w, $column["seed"]] = $column["test_after"]
    if ($column["seed"] > seeds) seeds = $column["seed"]
    before = $column["test_before"]
    steps = $column["steps"]
}

function thousands(x,    text) {
    text = sprintf("%d", x)
    while (match(text, /[0-9][0-9][0-9][0-9]($|,)/))
        text = substr(text, 1, RSTART) "," substr(text, RSTART + 1)
    return text
}

# Of the N numbers in x: MEAN, SD and HALF of the interval of the mean.
function moments(    i) {
    MEAN = SD = HALF = 0
    for (i = 1; i <= N; i++) MEAN += x[i] / N
    for (i = 1; i <= N; i++) SD += (x[i] - MEAN) ^ 2
    SD = N > 1 ? sqrt(SD / (N - 1)) : 0
    if (N > 1) HALF = (N - 1 in t975 ? t975[N - 1] : 1.96) * SD / sqrt(N)
}

function of(w, name,    i) {
    N = n[w]
    for (i = 1; i <= N; i++) x[i] = value[w, i, name]
    moments()
}

function paired(w, v,    s) {
    N = 0
    for (s = 1; s <= seeds; s++)
        if ((w, s) in after && (v, s) in after) x[++N] = after[w, s] - after[v, s]
    moments()
}

END {
    printf "Loss on the completions of the test file, nats per token; %d steps. Before: %.4f.\n\n", steps, before
    print "| way | seeds | rate | trained parameters | loss after | 95% interval | perplexity | gain | seconds | peak MiB |"
    print "|:--|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    for (i = 1; i <= n_ways; i++) {
        w = order[i]
        if (!(w in n)) continue
        of(w, "seconds")
        took = sprintf("%.1f ± %.1f", MEAN, SD)
        of(w, "peak_mib")
        peak = sprintf("%.0f ± %.0f", MEAN, SD)
        of(w, "test_after")
        printf "| %s | %d | %s | %s (%.1f%%) | %.4f ± %.4f | %.4f to %.4f | %.2f | %.4f | %s | %s |\n", w, N,
            value[w, 1, "learning_rate"], thousands(value[w, 1, "trained"]),
            100 * value[w, 1, "trained"] / value[w, 1, "parameters"], MEAN, SD, MEAN - HALF, MEAN + HALF, exp(MEAN),
            before - MEAN, took, peak
    }
    for (i = 2; i <= n_ways; i++) {
        if (!(order[1] in n) || !(order[i] in n)) continue
        paired(order[i], order[1])
        if (N < 2) continue
        printf "%s%s minus %s, by seed: %+.4f ± %.4f (95%%).\n", i == 2 ? "\n" : "", order[i], order[1], MEAN, HALF
    }
}
