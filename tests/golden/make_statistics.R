# make_statistics.R -- statistics by R, for tests/unit/test_statistics.c:
#
#   Rscript tests/golden/make_statistics.R | sed "s/ $//" > tests/golden/statistics.txt
#
# A line: what is computed, how many numbers go in, the numbers, what comes out.
show <- function(kind, input, output)
  cat(kind, length(input), trimws(formatC(c(input, output), digits = 15, format = "g")), "\n")
interval <- function(x) { t <- t.test(x); c(mean(x), sd(x), t$conf.int[1:2]) }
cat("#", R.version.string, "\n")
set.seed(20)

for (v in c(0.5, 1, 2, 3, 4, 7, 11, 29, 100, 1000, 123456))
  for (p in c(1e-9, 0.001, 0.025, 0.4, 0.4999999, 0.5, 0.6, 0.95, 0.975, 0.995, 0.999)) show("quantile", c(p, v), qt(p, v))

for (n in c(2, 3, 5, 12)) show("estimate", x <- round(rnorm(n, 1.5, 0.02), 4), interval(x))
show("estimate", x <- 1e6 + c(0.001, 0.002, 0.004), interval(x)) # sums of squares would lose it
for (n in c(2, 5, 9)) {
  a <- round(rnorm(n, 1.5, 0.1), 4); b <- round(a + rnorm(n, 0.02, 0.01), 4)
  t <- t.test(a, b, paired = TRUE)
  show("paired", c(a, b), c(mean(a - b), sd(a - b), t$conf.int[1:2]))
}
for (n in c(2, 5)) show("ratios", x <- round(exp(rnorm(n, 0.7, 0.2)), 4), {
  i <- interval(log(x)); c(exp(i[1]), i[2], exp(i[3:4])) })
for (n in c(1, 2, 5, 8)) show("median", x <- round(rnorm(n), 4), median(x))

# Two-way analysis of variance: residual deviation and its degrees of freedom; input is rows, columns, values.
for (size in list(c(2, 2), c(12, 2), c(4, 5))) {
  v <- size[1]; s <- size[2]
  x <- round(outer(rnorm(v, 1.5, 0.2), rnorm(s, 0, 0.05), "+") + rnorm(v * s, 0, 0.01), 5)
  fit <- aov(c(x) ~ factor(c(row(x))) + factor(c(col(x))))
  show("residual", c(v, s, c(t(x))), c(sqrt(deviance(fit) / df.residual(fit)), df.residual(fit)))
}

# Epsilon squared, which is the adjusted R squared of a one-way fit; input is values, then their groups.
for (groups in list(c(0, 0, 1, 1), c(0, 1, 2, 0, 1, 2, 0, 1, 2), c(0, 0, 0, 1, 1, 2, 2, 2, 2, 2), rep(0:1, 10))) {
  x <- round(rnorm(length(groups), 1.5, 0.1) + 0.1 * groups, 4)
  show("between", c(x, groups), max(0, summary(lm(x ~ factor(groups)))$adj.r.squared))
}

# A comparison over seeds: losses of a variant and of its reference after 100, 200, ... tokens. Input is seeds,
# evaluations, the variant's losses seed by seed, the reference's; what comes out: where both are compared, the
# paired difference there with its interval, the speed-up likewise (over logarithms), seeds that got there.
has <- function(x, loss, level) {
  above <- which(loss > level)
  if (length(above) == 0) return(x[1])
  k <- max(above)
  if (k == length(x)) NA else approx(loss[k:(k + 1)], x[k:(k + 1)], level)$y
}
for (shift in c(0.06, 0, -0.05)) {
  seeds <- 4; n <- 6; x <- 100 * (1:n)
  curve <- function(better) t(sapply(1:seeds, function(s) round(1.5 + 0.8 * (1:n)^-0.7 - better + rnorm(n, 0, 0.02), 4)))
  a <- curve(shift); b <- curve(0)
  up <- sapply(1:seeds, function(s) if (a[s, n] <= b[s, n]) x[n] / has(x, a[s, ], b[s, n]) else has(x, b[s, ], a[s, n]) / x[n])
  d <- interval(a[, n] - b[, n]); l <- interval(log(up))
  show("contrast", c(seeds, n, t(a), t(b)), c(x[n], d, exp(l[1]), l[2], exp(l[3:4]), sum(a[, n] <= b[, n])))
}
