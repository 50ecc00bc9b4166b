/* dot.c -- the graph as Graphviz text. */
#include <stdlib.h>
#include <string.h>

#include "autograd/graph.h"

static void write_shape(FILE *f, const mo_tensor *t)
{
    for (int i = 0; i < t->ndim; i++) fprintf(f, "%s%lld", i ? "x" : "", (long long)t->dim[i]);
}

static const char *fate(const mo_graph *g, const mo_tensor *t)
{
    const value *v = &g->values[t->id];
    if (!g->plan.backward) return "";
    return v->again != NO_LIFE                                           ? ", recomputed"
           : v->data != NO_LIFE && g->lives[v->data].end >= g->n_forward ? ", kept"
                                                                         : "";
}

static void write_graph(const mo_graph *g, FILE *f)
{
    fputs("digraph moira {\n  rankdir=TB; node [fontname=\"monospace\", fontsize=10];\n", f);
    for (int t = 0; t < g->n_tensors; t++) {
        const mo_tensor *tensor = g->tensors[t];
        if (tensor->producer) continue;
        fprintf(f, "  t%d [shape=%s, label=\"%s\\n", t, tensor->role == MO_ROLE_PARAM ? "note" : "ellipse",
                tensor->name);
        write_shape(f, tensor);
        fputs("\"];\n", f);
    }
    for (int n = 0; n < g->n_nodes; n++) {
        const mo_node *node = g->nodes[n];
        fprintf(f, "  n%d [shape=box, label=\"%s", n, node->op->name);
        if (node->layer >= 0) fprintf(f, " (layer %d)", node->layer);
        for (int j = 0; j < node->n_out; j++) {
            fputs("\\n", f);
            write_shape(f, node->out[j]);
            fputs(fate(g, node->out[j]), f);
        }
        fputs("\"];\n", f);
        for (int i = 0; i < node->n_in; i++) {
            const mo_tensor *in = node->in[i];
            if (in->producer)
                fprintf(f, "  n%d -> n%d;\n", in->producer->id, n);
            else
                fprintf(f, "  t%d -> n%d;\n", in->id, n);
        }
    }
    fputs("}\n", f);
}

mo_status mo_graph_dot(const mo_graph *g, char **out)
{
    MO_ASSERT(g->planned);
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    if (!f) return mo_error(MO_E_MEMORY, "graph dump: out of memory");
    write_graph(g, f);
    if (fclose(f) != 0) {
        free(text);
        return mo_error(MO_E_MEMORY, "graph dump: out of memory");
    }
    *out = mo_strdup(text);
    free(text);
    return *out ? MO_OK : MO_E_MEMORY;
}
