/* words.h -- numbers with their uncertainty in sentences. Each returns its text by value. */
#ifndef MOIRA_LAB_WORDS_H
#define MOIRA_LAB_WORDS_H

#include "moira/lab.h"

typedef struct mo__words {
    char text[160];
} mo__words;

/* How far an interval says that a loss is lower or higher, by as many digits as its width bears:
 * "0.0523 nats per token lower (95% interval 0.0436 to 0.0610, 5 seeds)", and, where it holds 0,
 * "0.003 nats per token lower (95% interval 0.010 lower to 0.004 higher, 5 seeds)". Without interval the mean
 * alone.
 */
mo__words mo__words_difference(const mo_estimate *difference);
/* What a speed-up says of tokens, FLOPs, seconds: "2.10 times fewer tokens (1.90 to 2.32)", "1.20 times as
 * much time (1.10 to 1.31)", "about as many FLOPs (0.94 to 1.05 times as many)". inverse: seen from the other
 * one.
 */
mo__words mo__words_speedup(const mo_estimate *speedup, mo_axis axis, bool inverse);
/* Of counts, how many times fewer: "6.7 times fewer", and of 0.5 "2.0 times as many". */
mo__words mo__words_times(double ratio);
/* "2.46 M tokens", "12.3 TFLOPs", "3:05 of training". */
mo__words mo__words_spent(double x, mo_axis axis);

#endif
