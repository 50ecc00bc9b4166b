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

# Tails of Fisher's F; input is f and both degrees.
for (f in c(1e-6, 0.3, 1, 4.2, 60, 1e5)) for (d in list(c(1, 3), c(2, 5), c(11, 40))) show("tail", c(f, d), pf(f, d[1], d[2], lower.tail = FALSE))

# Additive models, unbalanced and with values that are tried together only: what the first factor does. Input is
# rows, factors, values, levels of each factor; what comes out: squares lost without it and their degrees, squares
# left and theirs, P(F), mean of its second level by the model with its interval.
additive <- function(n, ...) {
  levels <- list(...)
  x <- round(rnorm(n, 1.5, 0.1) + Reduce(`+`, lapply(levels, function(l) 0.1 * l)), 4)
  data <- data.frame(x = x, lapply(setNames(levels, letters[seq_along(levels)]), factor))
  fit <- lm(x ~ ., data)
  test <- drop1(fit, ~ a, test = "F")["a", ]
  at <- data; at$a <- factor(1, levels(data$a))
  design <- colMeans(model.matrix(delete.response(terms(fit)), at)); kept <- !is.na(coef(fit))
  mean <- sum(design[kept] * coef(fit)[kept])
  half <- qt(0.975, df.residual(fit)) * sqrt(drop(design[kept] %*% vcov(fit, complete = FALSE) %*% design[kept]))
  show("additive", c(n, length(levels), x, unlist(levels)), c(test[["Sum of Sq"]], test[["Df"]], deviance(fit),
    df.residual(fit), test[["Pr(>F)"]], mean, mean - half, mean + half))
}
additive(9, rep(0:2, 3))                                                         # one way
additive(12, rep(0:1, 6), rep(0:2, each = 4))                                    # balanced
additive(11, c(0,0,0,0,0,1,1,1,2,2,2), c(0,0,0,1,2,0,1,1,1,2,2))                 # not
additive(13, c(0,0,0,0,0,1,1,1,1,1,1,0,1), c(0,1,0,1,1,0,1,2,2,2,0,0,0), c(0,0,0,1,1,0,0,2,2,2,1,1,0)) # rank-deficient

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
