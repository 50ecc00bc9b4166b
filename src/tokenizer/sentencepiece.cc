/* sentencepiece.cc -- the one door to the SentencePiece library. Statuses and exceptions of C++ end here. */
#include <sentencepiece_processor.h>

#include <exception>
#include <memory>
#include <new>
#include <string_view>
#include <vector>

#include "sentencepiece_shim.h"

namespace sentencepiece
{
namespace logging
{
void SetMinLogLevel(int level); /* exported, but declared in no installed header */
}
} // namespace sentencepiece

struct mo__sp_processor {
    sentencepiece::SentencePieceProcessor processor;
};

namespace
{

/* Above every level that is logged; a CHECK that fails ends the process whatever the level. */
constexpr int kSilent = 9;

template <typename Body> mo_status guarded(const char *what, Body body)
{
    try {
        return body();
    } catch (const std::bad_alloc &) {
        return mo_error(MO_E_MEMORY, "tokenizer: not enough memory to %s", what);
    } catch (const std::exception &e) {
        return mo_error(MO_E_CORRUPT, "tokenizer: could not %s: %s", what, e.what());
    } catch (...) {
        return mo_error(MO_E_INTERNAL, "tokenizer: could not %s", what);
    }
}

} // namespace

mo_status mo__sp_open(const char *model, size_t size, mo__sp_processor **out)
{
    *out = nullptr;
    return guarded("load the model", [&] {
        sentencepiece::logging::SetMinLogLevel(kSilent);
        std::unique_ptr<mo__sp_processor> p(new mo__sp_processor);
        const auto status = p->processor.LoadFromSerializedProto(std::string_view(model, size));
        if (!status.ok())
            return mo_error(MO_E_CORRUPT, "model: SentencePiece refuses it: %s", status.message());
        *out = p.release();
        return MO_OK;
    });
}

void mo__sp_close(mo__sp_processor *p)
{
    delete p;
}

int32_t mo__sp_bos(const mo__sp_processor *p)
{
    return p->processor.bos_id();
}

int32_t mo__sp_eos(const mo__sp_processor *p)
{
    return p->processor.eos_id();
}

mo_status mo__sp_encode(const mo__sp_processor *p, const char *text, size_t size, int32_t **ids,
                        int64_t *count)
{
    return guarded("encode", [&] {
        std::vector<int> made;
        const auto status = p->processor.Encode(std::string_view(text, size), &made);
        if (!status.ok()) return mo_error(MO_E_INTERNAL, "tokenizer: SentencePiece: %s", status.message());
        *ids = static_cast<int32_t *>(mo_malloc(made.size() * sizeof(int32_t)));
        if (!*ids) return MO_E_MEMORY;
        for (size_t i = 0; i < made.size(); i++) (*ids)[i] = made[i];
        *count = static_cast<int64_t>(made.size());
        return MO_OK;
    });
}
