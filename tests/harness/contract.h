/* contract.h -- what every op owes to the rest, whatever it computes. */
#ifndef MOIRA_TESTS_CONTRACT_H
#define MOIRA_TESTS_CONTRACT_H

#include "harness/opcase.h"

/* 1, 2, 4 threads: the same bits in outputs and gradients. A second forward and backward: twice the gradient
 * of parameters, the same of inputs. mo_graph_train: the same as forward and backward. Frozen inputs one by
 * one: the other gradients stay the same bits, and so they do when one input has a second reader. Inputs are
 * not written to. */
void contract(const op_case *c);
/* A NaN in each real input (its first element) must make the loss non-finite. */
void contract_nan(const op_case *c);
/* The constructor must refuse these inputs with this status and a message that contains `text`. */
void contract_refused(const op_case *c, mo_status status, const char *text);

#endif
