/* places.h -- which tensors of a folder hold a parameter, by name.
 *
 *     ours, with a layer's experts stacked         a tensor for each expert          fused (transformers 5)
 *     ...block_sparse_moe.gate.weight              the same                          mlp.gate.weight
 *     ...block_sparse_moe.experts.w1.weight EFD    experts.M.w1.weight [F, D]        mlp.experts.gate_up_proj
 *                                                                                      [E, 2F, D],
 *     ...block_sparse_moe.experts.w3.weight EFD    experts.M.w3.weight [F, D]          its first F rows w1,
 *                                                                                      its last w3
 *     ...block_sparse_moe.experts.w2.weight EDF    experts.M.w2.weight [D, F]        mlp.experts.down_proj
 *                                                                                      [E, D, F]
 *     every other                                  the same                          the same */
#ifndef MOIRA_HF_PLACES_H
#define MOIRA_HF_PLACES_H

#include "moira/model.h"

enum { MO__PLACE_NAME = 256 };

typedef struct mo__place {
    char name[MO__PLACE_NAME]; /* of the tensor */
    int ndim;
    int64_t dim[4];             /* of the whole tensor */
    int64_t first, part_stride; /* elements: where part 0 begins, and how far the next one is from it */
    int64_t parts;              /* that lie in this tensor */
} mo__place;

/* How many tensors hold a parameter; its i-th. */
int64_t mo__place_count(const mo_param *p, bool fused);
void mo__place_of(const mo_param *p, bool fused, int64_t i, mo__place *out);
/* Whether a parameter is a stack of experts' matrices (three dimensions). */
bool mo__is_experts(const mo_param *p);
/* Whether a tensor's name is one that only the fused layout has. */
bool mo__is_fused_name(const char *name);

#endif
