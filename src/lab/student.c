/* student.c -- quantiles of Student's t, tails of Fisher's F.
 *     P(|T| > t) = I_x(v/2, 1/2),  x = v / (v + t^2),  v degrees of freedom
 *     P(F > f) = I_x(v/2, u/2),  x = v / (v + u f),  u and v degrees of freedom
 *     I_x(a, b) = x^a (1-x)^b / (a B(a, b)) * 1/(1+ d_1/(1+ d_2/(1+ ...)))           DLMF 8.17.22
 *     d_2m = m (b-m) x / ((a+2m-1)(a+2m)),   d_2m+1 = -(a+m)(a+b+m) x / ((a+2m)(a+2m+1))
 * The fraction is evaluated forward (modified Lentz); it converges fast for x < (a+1)/(a+b+2), and beyond
 * that I_x(a, b) = 1 - I_{1-x}(b, a) is taken. */
#include <math.h>

#include "lab/statistics.h"

static double log_gamma(double x)
{
    int sign; /* lgamma would leave it in a global */
    return lgamma_r(x, &sign);
}

static double away_from_0(double x)
{
    const double least = 1e-300;
    return fabs(x) < least ? least : x;
}

static double fraction(double a, double b, double x)
{
    enum { MOST_TERMS = 100000 };
    double c = 1, d = 0, f = 1;
    for (int k = 1; k <= MOST_TERMS; k++) {
        double m = k / 2;
        double term = k % 2 == 0 ? m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
                                 : -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1 / away_from_0(1 + term * d);
        c = away_from_0(1 + term / c);
        f *= c * d;
        if (fabs(c * d - 1) < 1e-16) break;
    }
    return 1 / f;
}

/* I_x(a, b), with y = 1 - x. */
static double incomplete_beta(double a, double b, double x, double y)
{
    if (x > (a + 1) / (a + b + 2)) return 1 - incomplete_beta(b, a, y, x);
    double logarithm = a * log(x) + b * log(y) + log_gamma(a + b) - log_gamma(a) - log_gamma(b);
    return exp(logarithm) / a * fraction(a, b, x);
}

/* P(|T| > t), or P(|T| <= t), whichever is asked for: so that neither is 1 less a small number. */
static double two_sided(double t, double v, bool beyond)
{
    double whole = v + t * t, x = v / whole, y = t * t / whole;
    if (!(y > 0)) return beyond;
    if (!(x > 0) || isinf(whole)) return !beyond;
    return beyond ? incomplete_beta(v / 2, 0.5, x, y) : incomplete_beta(0.5, v / 2, y, x);
}

double mo_student_quantile(double p, double degrees)
{
    enum { HALVINGS = 80 };
    if (!(p > 0 && p < 1 && degrees > 0)) return (double)NAN;
    double v = fmin(degrees, 1e8), /* from there on it is the normal distribution, to eight digits */
        tail = 2 * fmin(p, 1 - p), centre = 2 * fabs(p - 0.5);
    bool beyond = tail < 0.5;
    if (!(centre > 0)) return 0;
    double low = -350, high = 350; /* of log t, whose square is a number */
    for (int i = 0; i < HALVINGS; i++) {
        double middle = (low + high) / 2, share = two_sided(exp(middle), v, beyond);
        bool farther = beyond ? share > tail : share < centre;
        if (farther)
            low = middle;
        else
            high = middle;
    }
    double t = exp((low + high) / 2);
    return p < 0.5 ? -t : t;
}

double mo__f_beyond(double f, double degrees, double degrees_left)
{
    if (isnan(f)) return f;
    double whole = degrees_left + degrees * f, x = degrees_left / whole, y = degrees * f / whole;
    if (isinf(whole) || !(x > 0)) return 0;
    return y > 0 ? incomplete_beta(degrees_left / 2, degrees / 2, x, y) : 1;
}
